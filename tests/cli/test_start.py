"""Start and end of the command: few imports, and one sentence after Ctrl-C at any time."""

import os
import subprocess
import sys
import textwrap

import pytest
from cli_machine import Machine

import cavatica_upload

HEAVY = ("httpx", "rich", "sqlite3", "cavatica_client", "cavatica_upload.engine", "cavatica_upload.public")
LOADED = f"import sys; print(*[name for name in {HEAVY} if name in sys.modules])"


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["--version"], {}),
        (["--help"], {}),
        (["upload", "--help"], {}),
        (["uploads", "--help"], {}),
        ([], {"_CAVATICA_COMPLETE": "bash_complete", "COMP_WORDS": "cavatica upload --r", "COMP_CWORD": "2"}),
    ],
    ids=["version", "help", "upload help", "uploads help", "completion"],
)
def test_what_uploads_nothing_imports_no_uploader(machine: Machine, words: list[str], env: dict[str, str]) -> None:
    """Version, help and completion import no network, terminal or database library."""
    script = f"import sys; sys.argv = {['cavatica', *words]!r}\n"
    script += "from cavatica_upload.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    script += "sys.stdout = sys.stderr\n" + LOADED
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=machine.environment | env,
        capture_output=True,
        text=True,
        check=True,
        cwd=machine.home,
    )
    assert done.stdout
    assert done.stderr.strip() == ""


def test_the_public_names_are_all_there() -> None:
    """Each name of `__all__` can be imported and is in `dir()`; another name is an AttributeError."""
    assert set(cavatica_upload.__all__) <= set(dir(cavatica_upload))
    for name in cavatica_upload.__all__:
        assert getattr(cavatica_upload, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        cavatica_upload.nothing_of_the_kind  # noqa: B018


INTERRUPT = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass\n"
IN_A_CLASS = f"""
class Name:
    def __set_name__(self, owner, name):
{textwrap.indent(INTERRUPT, "        ")}
class Owner:
    name = Name()
"""


@pytest.mark.parametrize("content", [INTERRUPT, IN_A_CLASS], ids=["", "in a class"])
@pytest.mark.parametrize("module", ["click", "filelock"])  # imported before the command runs, and by it
def test_ctrl_c_while_modules_are_imported_is_a_sentence(machine: Machine, module: str, content: str) -> None:
    """Ctrl-C during the imports exits with 130 and one line, also while a class is made, as of an enumeration."""
    machine.file("x")
    place = machine.file(f"modules/{module}.py", content.encode()).parent
    ended = machine.run("upload", "x", "--project", "mlin/study", env={"PYTHONPATH": str(place)})
    assert ended.code == 130
    assert ended.err.splitlines()[0] == "Error: Interrupted."
    assert "Internal error" not in ended.err


def test_paths_are_completed(machine: Machine) -> None:
    """The shell completes files for a path."""
    for words, at in (("cavatica upload sam", "2"), ("cavatica verify sam", "2"), ("cavatica upload --receipt r", "3")):
        env = {"_CAVATICA_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": at}
        done = subprocess.run(
            [sys.executable, "-c", "from cavatica_upload.cli import main; main()"],
            env=machine.environment | env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith(("file,", "dir,")), os.fspath(words)
