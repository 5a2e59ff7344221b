"""`make generate` leaves nothing behind that disturbs another target."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.toolbox.conftest import Run
from tests.toolbox.test_upgrade import clone, with_key  # noqa: F401  the fixture

PROGRAM = """\
from cavatica_client import AuthenticatedClient
from cavatica_client.api.uploads import start_upload

def start(client: AuthenticatedClient) -> object:
    return start_upload.sync_detailed
"""


class Clone:
    """A clone whose .venv counts as installed, with the programs of this one."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder, self.environ = folder, {**environ, "MYPYPATH": str(folder / "generated")}
        (folder / ".venv").mkdir()
        (folder / ".venv" / "installed").touch()
        (folder / "program.py").write_text(PROGRAM)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.folder, env=self.environ, check=False, capture_output=True, text=True)

    def generate(self, spec: str) -> None:
        (self.folder / "openapi.yaml").write_text(spec)
        done = self.run("make", "generate")
        assert done.returncode == 0, done.stdout + done.stderr

    def installs(self) -> bool:
        """Whether the next target would install again."""
        return "pip install" in self.run("make", "--dry-run", "install").stdout

    def type_errors(self) -> str:
        """The output of mypy, with the cache of the runs before."""
        alone = (
            "--no-site-packages",
            "--ignore-missing-imports",
            "--follow-imports=silent",
        )  # not the client of this environment
        return self.run("mypy", "--strict", *alone, "--config-file", os.devnull, "program.py").stdout


@pytest.fixture
def tree(clone: Path, environ: dict[str, str], run: Run) -> Clone:  # noqa: F811
    return Clone(clone, environ)


def test_nothing_is_installed_again(tree: Clone) -> None:
    """A new key in the document causes no reinstallation; a new version of the client does."""
    spec = (tree.folder / "openapi.yaml").read_text()
    assert not tree.installs()
    tree.generate(with_key(spec))
    assert not tree.installs()
    head, mark, rest = spec.partition("\n  version: ")
    tree.generate(f"{head}{mark}9{rest}")
    assert tree.installs()


def test_a_rename_and_back_gives_no_false_error(tree: Clone) -> None:
    """The type checker finds an operation missing after a rename, and finds it again after the rename is undone."""
    spec = (tree.folder / "openapi.yaml").read_text()
    tree.generate(spec)
    assert "Success" in tree.type_errors()
    tree.generate(spec.replace("startUpload", "beginUpload"))
    assert "start_upload" in tree.type_errors()
    tree.generate(spec)
    assert "Success" in tree.type_errors()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("operationId: listUploads", "operationId: startUpload"), "has the same operationId"),
        (("      operationId: listUploads\n", ""), "lacks"),
        (("      summary: Start an upload\n", ""), "lacks"),
        (("      tags: [uploads]\n", ""), "lacks"),
        (("      tags: [uploads]\n", "      tags: []\n"), "lacks"),
        (("\nservers:\n", "\nx-servers:\n"), "lacks"),
        (("\ntags:\n", "\nx-tags:\n"), "lacks"),
        (("    authToken:\n", "    otherToken:\n"), "lacks"),
    ],
)
def test_a_document_that_makes_no_client_is_refused(tree: Clone, change: tuple[str, str], sentence: str) -> None:
    """One sentence, no traceback, and everything generated stays as it was."""
    spec = (tree.folder / "openapi.yaml").read_text()
    assert change[0] in spec
    (tree.folder / "openapi.yaml").write_text(spec.replace(*change, 1))
    done = tree.run("make", "generate")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "spec-lint" in done.stderr or re.search(r"openapi\.yaml:\d+: line \d+ ", done.stderr)
    assert "Traceback" not in done.stderr
    assert tree.run("git", "status", "--porcelain", "generated", "src").stdout == ""
