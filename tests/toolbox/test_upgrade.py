"""`make upgrade` follows four invented versions of the API in a clone of this repository."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.toolbox.conftest import ROOT, Run

NEW_OPERATION = """\
  /things:
    put:
      operationId: putThing
      tags: [files]
      summary: Put a thing
      description: Stores a thing as it is.
      externalDocs:
        url: https://docs.cavatica.org/reference/put-a-thing
        description: Put a thing
      security:
        - authToken: []
      parameters:
        - name: kind
          in: query
          description: What it is.
          required: true
          schema:
            type: string
            description: What it is.
            enum: [red, green]
            examples: [red]
      requestBody:
        required: true
        content:
          application/octet-stream:
            schema: { type: string, format: binary }
      responses:
        '204':
          description: It is stored.
          headers:
            X-RateLimit-Limit: { $ref: '#/components/headers/RateLimitLimit' }
            X-RateLimit-Remaining: { $ref: '#/components/headers/RateLimitRemaining' }
            X-RateLimit-Reset: { $ref: '#/components/headers/RateLimitReset' }
ERRORS
"""
OPTIONAL_KEY = """\
        checksum_kind:
          type: string
          description: How the file's checksum was taken.
          examples: [md5]
"""


@pytest.fixture
def clone(run: Run, tmp_path: Path) -> Path:
    """The working tree as a repository of its own, with the programs installed here."""
    folder = tmp_path / "clone"
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard").stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "as it stands")):
        assert run("git", *command, cwd=folder).returncode == 0
    return folder


def started(clone: Path, environ: dict[str, str], spec: str, *words: str) -> subprocess.Popen[str]:
    """Start `make upgrade` with a document, in a process group of its own."""
    (clone / "new.yaml").write_text(spec)
    (clone / "new (1).yaml").write_text(spec)
    make = "make --assume-old=install --assume-old=toolbox"
    env = {**environ, "PYTHONPATH": f"{clone}/src:{clone}/generated"}
    command = [*make.split(), "upgrade", "SPEC=new.yaml", "CHECKS=demo", f"MAKE={make}", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=clone, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def upgraded(clone: Path, environ: dict[str, str], spec: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `make upgrade` with a document, and with the demo as its only check."""
    process = started(clone, environ, spec, *words)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def raised(spec: str, part: int) -> str:
    """The document with the next version; part 0 is the major one."""
    found = re.search(r"(?m)^  version: (\d+)\.(\d+)\.(\d+)$", spec)
    assert found
    numbers = [int(number) for number in found.groups()]
    numbers[part:] = [numbers[part] + 1, *[0] * (2 - part)]
    return spec.replace(found[0], f"  version: {'.'.join(map(str, numbers))}", 1)


def with_key(spec: str) -> str:
    """The document with one more optional key in the answer of getFile."""
    before, mark, after = spec.partition("\n    FileDetails:\n")
    head, properties, tail = after.partition("      properties:\n")
    return f"{before}{mark}{head}{properties}{OPTIONAL_KEY}{tail}"


def with_operation(spec: str) -> str:
    """The document with one more operation, which has a binary body and an enum parameter."""
    found = re.findall(r"'([45]\d\d)':\n +\$ref: '#/components/responses/(\w+)'", spec)
    named = dict(reversed(found))  # the first answer of each status
    errors = "".join(
        f"        '{status}':\n          $ref: '#/components/responses/{name}'\n" for status, name in named.items()
    )
    return spec.replace("\ncomponents:\n", "\n" + NEW_OPERATION.replace("ERRORS\n", errors) + "\ncomponents:\n", 1)


def dropped(node: Any, key: str) -> None:
    """Remove a key from all schemas and examples."""
    if isinstance(node, dict):
        node.pop(key, None)
        for inner in node.values():
            dropped(inner, key)
    elif isinstance(node, list):
        if key in node:
            node.remove(key)
        for inner in node:
            dropped(inner, key)


def is_untouched(clone: Path, run: Run) -> bool:
    """Whether the tree has no changes."""
    return run("git", "status", "--porcelain", "--untracked-files=no", cwd=clone).stdout == ""


@pytest.mark.parametrize("change", [with_key, with_operation])
def test_a_compatible_version_needs_no_hand(change, clone, environ, run):
    """With a new key and a new operation the client has both, uploads run, and the changelog names them."""
    spec = raised(change((clone / "openapi.yaml").read_text()), 1)
    done = upgraded(clone, environ, spec)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (clone / "openapi.yaml").read_text() == spec
    assert run("git", "diff", "--quiet", "--", "generated", cwd=clone).returncode == 1
    assert run("git", "diff", "--name-only", "--", "src", cwd=clone).stdout.split() in (
        [],
        ["src/cavatica_upload/api/contract.json"],
    )
    log = (clone / "CHANGELOG-contract.md").read_text()
    assert "checksum_kind" in log or "putThing" in log


def test_a_rename_is_a_decision(clone, environ, run):
    """A renamed operation stops with file and line, first for the version, then for the code that it breaks."""
    spec = (clone / "openapi.yaml").read_text().replace("startUpload", "beginUpload")
    done = upgraded(clone, environ, spec)
    assert done.returncode != 0
    assert "needs" in done.stderr or "need" in done.stderr
    assert "set it in new.yaml" in done.stderr
    assert is_untouched(clone, run)
    done = upgraded(clone, environ, raised(spec, 0))
    line = 1 + spec.split("\n").index("      operationId: beginUpload")
    assert f"new.yaml:{line}: beginUpload" in done.stderr
    assert "BREAKING=accepted" in done.stderr
    assert "Traceback" not in done.stderr
    assert is_untouched(clone, run)


def test_a_removed_key_is_noticed(clone, environ, run):
    """A removed key of an answer is reported with its line, even if no hand-written code uses it."""
    spec = yaml.safe_load((clone / "openapi.yaml").read_text())
    dropped(spec, "origin")
    del spec["components"]["schemas"]["FileOrigin"]
    done = upgraded(clone, environ, yaml.safe_dump(spec, sort_keys=False, allow_unicode=True))
    assert done.returncode != 0
    assert "origin" in done.stderr
    assert "info.version" in done.stderr
    assert is_untouched(clone, run)
    (clone / "openapi.yaml").write_text((clone / "new.yaml").read_text())  # the same, edited in place
    done = upgraded(clone, environ, "", "SPEC=openapi.yaml")
    assert done.returncode != 0
    assert "set it in openapi.yaml" in done.stderr


def at_its_check(clone: Path, environ: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    """A `make upgrade` whose check does not end by itself, and its document."""
    spec = raised(with_key((clone / "openapi.yaml").read_text()), 1)
    process = started(clone, environ, spec, "CHECKS=mock", "PORT=0")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("5. make mock"):
            break
    return process, spec


def running(clone: Path) -> list[int]:
    """The processes that run in the clone."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is another user's
            if (folder / "cwd").readlink() == clone:
                found.append(int(folder.name))
    return found


@pytest.mark.parametrize(
    ("send", "name"),
    [(os.killpg, "SIGINT"), (os.killpg, "SIGTERM"), (os.killpg, "SIGHUP"), (os.kill, "SIGTERM")],
    ids=["Ctrl-C", "cancelled", "closed", "make-alone"],
)
def test_an_interrupted_upgrade_replaces_nothing(send, name, clone, environ, run):
    """Ctrl-C, a cancelled job, a closed terminal or a kill of make ends all it runs and restores everything."""
    process, _ = at_its_check(clone, environ)
    assert not is_untouched(clone, run)
    send(process.pid, getattr(signal, name))
    _, errors = process.communicate()
    assert process.returncode != 0
    assert "Interrupted. Nothing was replaced." in errors
    assert "Traceback" not in errors
    assert is_untouched(clone, run)
    assert not running(clone)


def test_an_upgrade_goes_on_after_a_kill(clone, environ):
    """After a kill -9, which restores nothing, the same upgrade compares with the commit and ends as if nothing was."""
    process, spec = at_its_check(clone, environ)
    while left := running(clone):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert (clone / "openapi.yaml").read_text() == spec
    done = upgraded(clone, environ, spec)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checksum_kind" in (clone / "CHANGELOG-contract.md").read_text()


def test_a_failed_check_replaces_nothing(clone, environ, run):
    """If a check fails, everything is restored, later than it was installed, so that make installs it again."""
    version = clone / "generated" / "pyproject.toml"
    before = version.stat().st_mtime_ns
    spec = raised(with_key((clone / "openapi.yaml").read_text()), 1)
    done = upgraded(clone, environ, spec, "CHECKS=upstream-diff", "SPEC=new (1).yaml")
    assert done.returncode != 0
    assert "Name the vendor's export" in done.stderr
    assert "cp 'new (1).yaml' openapi.yaml && make generate upstream-diff\nNothing was replaced.\n" in done.stderr
    assert is_untouched(clone, run)
    assert version.stat().st_mtime_ns > before


def test_a_broken_document_replaces_nothing(clone, environ, run):
    """A broken house rule is reported with line and what to do, a missing file in a sentence."""
    spec = (clone / "openapi.yaml").read_text()
    lost = re.sub(r"      externalDocs:\n(?: {8}.*\n)+", "", spec, count=1)
    done = upgraded(clone, environ, raised(lost, 1))
    assert done.returncode != 0
    assert re.search(r"new\.yaml:\n +\d+:\d+ +error .* Add `externalDocs`", done.stderr), done.stderr
    assert is_untouched(clone, run)
    env = {**environ, "PYTHONPATH": f"{clone}/src:{clone}/generated"}
    command = ["make", "--assume-old=install", "--assume-old=toolbox", "upgrade", "SPEC=nowhere.yaml"]
    missing = subprocess.run(command, cwd=clone, env=env, check=False, capture_output=True, text=True)
    assert "nowhere.yaml is not a file" in missing.stderr
