"""What a user without permission to read or to write sees; root runs these commands without its capabilities."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_machine import PROJECT, Machine

TO = ("--project", PROJECT)
SHEET = ("--sheet", "samples.csv", "--sheet-out")
ROOT = os.geteuid() == 0
PREFIX = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if ROOT else ()

pytestmark = pytest.mark.skipif(ROOT and shutil.which("setpriv") is None, reason="root may do all; setpriv is missing")


@pytest.fixture
def home(machine: Machine) -> Iterator[Path]:
    """A folder with a file, a sheet of it, and files and folders that cannot be read or written."""
    machine.file("a.bam")
    machine.file("samples.csv", b"id,file\n1,a.bam\n")
    machine.file("fixed/there", b"old\n")
    (machine.home / "closed").mkdir()
    modes = {machine.file("secret", b"ACGT\n"): 0o000, machine.home / "closed": 0o000, machine.home / "fixed": 0o555}
    modes[machine.file("receipts/secret.json")] = 0o000
    for path, mode in modes.items():
        path.chmod(mode)
    yield machine.home
    for path in modes:
        path.chmod(0o700)


def call(machine: Machine, *words: str, **env: str) -> tuple[int, str]:
    """Run a command; return its exit code, and its output and errors together."""
    done = subprocess.run(
        [*PREFIX, sys.executable, "-m", "cavatica_upload", *words],
        cwd=machine.home,
        env=machine.environment | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout
    return done.returncode, done.stdout


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("upload", "a.bam", "secret", *TO), 2, "secret cannot be uploaded: you have no permission to read it."),
        (("upload", "closed", "-r", *TO), 2, "The folder closed cannot be read: you have no permission to read it."),
        (("upload", "--manifest", "secret", *TO), 2, "The manifest secret cannot be read: Permission denied."),
        (("upload", "--files-from", "secret", *TO), 2, "The list secret cannot be read: Permission denied."),
        (("upload", "a.bam", *TO, "--receipt", "fixed/r"), 2, "--receipt fixed/r cannot be written"),
        (
            ("upload", "a.bam", *TO, "--receipt", "fixed/there"),
            2,
            "--receipt fixed/there cannot be written",
        ),
        (("upload", "a.bam", *TO, "--receipt", "closed/"), 2, "--receipt closed/ cannot be written"),
        (("upload", "a.bam", *TO, "--log-file", "fixed/log"), 2, "The log file fixed/log cannot be written"),
        (
            ("upload", "a.bam", *TO, *SHEET, "fixed/out.csv"),
            2,
            "--sheet-out fixed/out.csv cannot be written",
        ),
        (("upload", "a.bam", *TO, *SHEET, "fixed/there"), 2, "--sheet-out fixed/there cannot be written"),
        (("upload", "a.bam", *TO, *SHEET, "closed/out.csv"), 2, "--sheet-out closed/out.csv cannot be written"),
        (("receipts", "--dir", "receipts"), 0, "The receipt receipts/secret.json cannot be read: Permission denied."),
        (
            ("upload", "a.bam", *TO, "--sheet", "secret", "--sheet-out", "out.csv"),
            2,
            "The sheet secret cannot be read: Permission denied.",
        ),
        (("uploads", "list", "--token-file", "secret"), 3, "The token file secret cannot be read: Permission denied."),
        (("verify", "secret", "a.bam"), 2, "The receipt secret cannot be read: Permission denied."),
    ],
)
def test_no_permission_is_a_sentence(machine: Machine, words: tuple[str, ...], code: int, says: str) -> None:
    """One sentence names the path, and nothing is uploaded."""
    ended = call(machine, *words)
    assert (ended[0], says in ended[1]) == (code, True), ended
    assert not machine.mock.calls["startUpload"]


@pytest.mark.usefixtures("home")
def test_files_that_cannot_be_read_are_left_out(machine: Machine) -> None:
    """With --skip-bad-files the other files are uploaded."""
    code, said = call(machine, "upload", "a.bam", "secret", "closed", "-r", *TO, "--skip-bad-files")
    assert (code, list(machine.remote())) == (1, ["a.bam"])
    assert "2 files failed" in said


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("folder", ["closed", "fixed"])
def test_a_home_folder_without_permission(
    machine: Machine, folder: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The journal and the receipts are in a folder for temporary files; a missing token is one sentence."""
    env = {"HOME": str(machine.home / folder), "CAVATICA_STATE_DIR": "", "TMPDIR": str(tmp_path_factory.mktemp("tmp"))}
    code, said = call(machine, "upload", "a.bam", *TO, **env)
    assert (code, f"{folder} cannot be written: journal and receipts are in " in said) == (0, True)
    assert call(machine, "receipts", "--map", **env)[1].endswith(f"\t{PROJECT}/a.bam\n")
    code, said = call(machine, "uploads", "list", **env, SB_AUTH_TOKEN="")
    assert (code, "Error: " in said) == (3, True)
