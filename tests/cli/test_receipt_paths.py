"""`--receipt` never destroys what is at its path."""

import json
import os
import threading
from pathlib import Path

import pytest
from cli_machine import PROJECT, Machine

from cavatica_upload import disk

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
