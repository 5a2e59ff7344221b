"""The README says what the programs do."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cavatica_upload.cli.app import app
from cavatica_upload.cli.messages import MEANINGS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    """The code blocks of the README, or of another text, in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def typed(program: str) -> list[list[str]]:
    """The arguments of every call of a program in the console blocks of the README."""
    calls = []
    for block in blocks("console"):
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if line.startswith("$ ") else []
            calls += [words[at + 1 :] for at, word in enumerate(words) if word == program]
    return calls


@pytest.mark.parametrize("words", typed("cavatica"), ids=" ".join)
def test_commands_in_the_readme_exist(words):
    """Each `cavatica …` line of the README has only options that exist."""
    command: click.Command = app
    context = click.Context(app, info_name="cavatica")
    while isinstance(command, click.Group):
        _, command, words = command.resolve_command(context, words)
        context = click.Context(command, parent=context)
    command.parse_args(context, list(words))


def test_every_command_is_in_the_readme():
    """The README has every command."""
    for name in app.commands:
        assert f"`cavatica {name}" in README


def test_exit_codes_in_the_readme_are_the_real_ones():
    """The README has the exit codes of the code."""
    table = dict(re.findall(r"^\| (\d+) \| (.+) \|$", README, flags=re.MULTILINE))
    assert table == {str(int(code)): meaning for code, meaning in MEANINGS.items()}


def test_variables_in_the_readme_are_those_of_the_help():
    """README and `--help` name the same environment variables."""
    section = README.partition("### Environment")[2].partition("\n## ")[0]
    variables = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", section))
    epilog = (app.epilog or "").partition("Environment:")[2]
    assert variables == set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", epilog))


def test_make_targets_in_the_readme_exist():
    """Each `make …` of the README is a target, and every target says what it does."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", README))
    assert {"demo", "test", "generate", "contract", "mock"} <= named <= targets
    assert targets == set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))


def test_python_in_the_readme_runs(cavatica_mock, tmp_path):
    """The Python of the README uploads files and lists uploads."""
    for name in ("sample-07.cram", "sample-08.cram"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    environ = {
        "SB_API_ENDPOINT": cavatica_mock.base_url,
        "SB_AUTH_TOKEN": cavatica_mock.token,
        "CAVATICA_STATE_DIR": str(tmp_path / "state"),
    }
    for source in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", source], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert {item["name"] for item in cavatica_mock.files()} == {"run-7", "sample-07.cram", "sample-08.cram"}


def test_python_in_the_documents_is_typed(tmp_path):
    """The Python of the README and of `docs/`, and calls of generated functions, pass `mypy --strict`."""
    generated = (
        "from cavatica_client.api.uploads import get_upload\n"
        "from cavatica_upload import Receipt, connect, upload\n"
        "with connect() as api:\n"
        '    get_upload.sync("id", client=api)\n'
        'one: Receipt = upload("a", "owner/study", if_exists="rename")\n'
        'two: Receipt | None = upload("a", "owner/study", if_exists="skip")\n'
    )
    documents = [block for path in (ROOT / "docs").glob("*.md") for block in blocks("python", path.read_text())]
    for number, source in enumerate([*blocks("python"), *documents, generated]):
        (tmp_path / f"snippet_{number}.py").write_text(source)
    # Schedulers such as Dask are not installed
    options = ["--strict", "--ignore-missing-imports", "--cache-dir", ROOT / ".mypy_cache"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *tmp_path.glob("*.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert documents
    assert done.returncode == 0, done.stdout
