"""`--receipt` never destroys what is at its path."""

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest
from cli_machine import PROJECT, Machine

from cavatica_mock import Fault
from cavatica_upload import disk
from cavatica_upload.cli.output import Output
from cavatica_upload.cli.progress import Meter
from cavatica_upload.cli.receipts import ReceiptFiles
from cavatica_upload.cli.summary import Failure, Tally, show
from cavatica_upload.errors import SourceError

TO = ("--project", PROJECT)


def test_a_pipe_gets_the_receipt_and_stays_a_pipe(machine: Machine) -> None:
    """A program that reads from a named pipe gets the receipt."""
    machine.file("a.bam")
    pipe = machine.home / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert machine.run("upload", "a.bam", *TO, "--receipt", "pipe").code == 0
    reader.join()
    assert json.loads(read[0])["name"] == "a.bam"
    assert pipe.is_fifo()


def test_a_device_stays_a_device(machine: Machine) -> None:
    """`--receipt /dev/null` keeps no receipt, and /dev/null stays a device."""
    machine.file("a.bam")
    (machine.home / "null").symlink_to("/dev/null")
    assert machine.run("upload", "a.bam", *TO, "--receipt", "null").code == 0
    assert (machine.home / "null").is_symlink()
    assert Path("/dev/null").is_char_device()


def test_a_link_is_followed_and_a_file_keeps_its_permissions(machine: Machine) -> None:
    """The receipt replaces the target of a link, and the link stays."""
    machine.file("a.bam")
    real = machine.file("kept/r.json", b"old")
    real.chmod(0o640)
    (machine.home / "r.json").symlink_to("kept/r.json")
    assert machine.run("upload", "a.bam", *TO, "--receipt", "r.json").code == 0
    assert (machine.home / "r.json").is_symlink()
    assert json.loads(real.read_text())["name"] == "a.bam"
    assert real.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (machine.home / "kept").iterdir()] == ["r.json"]


def test_a_dry_run_makes_no_folder_for_receipts(machine: Machine) -> None:
    """A dry run leaves the place of the receipts as it is."""
    machine.file("a.bam")
    assert machine.run("upload", "a.bam", *TO, "--receipt", "new/receipts/", "--dry-run").code == 0
    assert not (machine.home / "new").exists()


def test_a_pipe_without_a_reader_does_not_block(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nobody reads the pipe, the file is uploaded, and the command fails because the receipt is missing."""
    monkeypatch.setattr(disk, "READER_SECONDS", 0)
    machine.file("a.bam")
    os.mkfifo(machine.home / "pipe")
    ended = machine.call("upload", "a.bam", *TO, "--receipt", "pipe")
    assert (ended.code, len(machine.remote())) == (1, 1)
    assert "but without its receipt: pipe could not be written: nobody reads the pipe." in ended.err


def test_a_link_into_a_folder_that_is_missing(machine: Machine) -> None:
    """The missing folder of a link's target is made."""
    machine.file("a.bam")
    (machine.home / "r.json").symlink_to("not/yet/r.json")
    assert machine.call("upload", "a.bam", *TO, "--receipt", "r.json").code == 0
    assert json.loads((machine.home / "not/yet/r.json").read_text())["name"] == "a.bam"


def test_no_place_at_all(machine: Machine) -> None:
    """An empty path, as from an unset variable, is wrong usage, and nothing is uploaded."""
    machine.file("a.bam")
    assert machine.call("upload", "a.bam", *TO, "--receipt", "").code == 2
    assert machine.mock.files() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_receipt_that_is_missing_at_the_end(machine: Machine) -> None:
    """If a receipt cannot be written at the end, the command fails, and repeated it writes it without an upload."""
    machine.file("a.bam")
    failed = machine.call("upload", "a.bam", *TO, "--receipt", "/dev/full", "--json")
    assert (failed.code, failed.event("run_finished")["exit_code"]) == (1, 1)
    assert "but without its receipt: /dev/full could not be written: No space left on device." in failed.err
    assert machine.call("upload", "a.bam", *TO, "--receipt", "r.json").code == 0
    assert json.loads((machine.home / "r.json").read_text())["name"] == "a.bam"
    assert machine.mock.calls["startUpload"] == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("more", [("-", "--name", "s"), ("a.bam", "--expect-md5", hashlib.md5(b"ACGT\n").hexdigest())])
def test_a_missing_receipt_that_no_second_run_adds(machine: Machine, more: tuple[str, ...]) -> None:
    """If the same command would send the bytes again, it is not named; the other copy of the receipt is."""
    machine.file("a.bam")
    ended = machine.run("upload", *more, *TO, "--receipt", "/dev/full", data=b"ACGT\n")
    (kept,) = (machine.home / "state/receipts").iterdir()
    assert (ended.code, f"“cavatica receipts” lists its receipt: {kept}\n" in ended.err) == (1, True), ended.err
    assert "again" not in ended.err
    assert "To resume" not in ended.err


def test_metadata_that_no_second_run_sets(machine: Machine) -> None:
    """If the metadata of a stream is refused, the command does not say that it can be repeated."""
    machine.mock.faults.add(Fault("editFiles", "status", status=400, code=90000))
    ended = machine.run("upload", "-", "--name", "s", *TO, "--metadata", "a=b", data=b"ACGT\n")
    assert (ended.code, "\nSet it on the platform: the same command would send the file again.\n" in ended.err) == (
        1,
        True,
    )


def test_files_that_lack_their_receipts_have_not_failed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The summary says that uploaded files are not complete, and never that they failed."""

    def fail(*_: object) -> None:
        raise SourceError("kept/ could not be written: No space left on device.")

    monkeypatch.setattr(ReceiptFiles, "keep", fail)
    machine.file("a.bam")
    machine.file("b.bam", b"b")
    ended = machine.call("upload", "a.bam", "b.bam", *TO, "--receipt", "kept/")
    assert (ended.code, "; 2 without receipts.\nError: 2 files are not complete:\n" in ended.err) == (1, True), (
        ended.err
    )
    assert "failed" not in ended.err


def test_an_interrupted_run_counts_files_without_receipts(capsys: pytest.CaptureFixture[str]) -> None:
    """Both lines about an interrupted run have the same number of uploaded files."""
    lacking = Failure("a.bam", SourceError("r.json could not be written."), "5bd7c53ee4b04b8fb1a9f63d", "receipt")
    tally = Tally(files=2, done=1, size=5, failures=[lacking], stopped=True)
    show(Output(), tally, Meter(2, 10, 0.0), 1.0, ["cavatica"])
    said = capsys.readouterr().err
    assert "Uploaded 1 of 2 files, 5 B in 1.0 s; 1 without its receipt.\n" in said
    assert "Interrupted: 1 of 2 files finished.\n" in said


@pytest.mark.parametrize("place", ["a.bam/b/", "a.bam/r.json", "/proc/r.json"])
def test_a_place_that_takes_no_receipt(machine: Machine, place: str) -> None:
    """If nothing can be written at a place, that is found out before the upload."""
    machine.file("a.bam")
    ended = machine.call("upload", "a.bam", *TO, "--receipt", place)
    assert (ended.code, not machine.mock.calls) == (2, True)
    assert f"Error: --receipt {place} cannot be written: " in ended.err


@pytest.mark.parametrize("letter", ["n", "ü"])
def test_names_that_leave_no_room_for_the_suffix(machine: Machine, letter: str) -> None:
    """Files with names of the maximum length get separate receipts too."""
    length = 254 // len(letter.encode())
    names = [letter * length, letter * (length - 1) + "x"]
    for name in names:
        machine.file(name)
    assert machine.call("upload", *names, *TO, "--receipt", "kept/").code == 0
    kept = [json.loads(path.read_text())["name"] for path in (machine.home / "kept").iterdir()]
    assert sorted(kept) == sorted(names)
