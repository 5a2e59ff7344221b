"""Pipes, devices and impossible names where the command looks or writes by itself: it never waits for them or falls."""

import os
import subprocess
from pathlib import Path

import pytest
from cli_machine import PROJECT, Machine

from cavatica_upload import Event, PartSent, Uploader

TO = ("--project", PROJECT)
LONG = "n" * 300


def test_a_pipe_where_a_digest_or_a_receipt_could_be(machine: Machine) -> None:
    """A named pipe called FILE.md5, or lying among the receipts, is not opened."""
    machine.file("a.bam")
    os.mkfifo(machine.home / "a.bam.md5")
    (machine.home / "state/receipts").mkdir(parents=True)
    os.mkfifo(machine.home / "state/receipts/20260101T000000Z-a_bam-5bd7c53ee4b04b8fb1a9f63d.json")
    assert machine.run("upload", "a.bam", *TO).code == 0
    assert machine.run("receipts").out.count("\n") == 1


def test_a_file_that_becomes_a_pipe_during_its_upload(machine: Machine) -> None:
    """What is open is still the file: nobody waits for a writer of the pipe that has its path now."""
    path = machine.file("a.bam", b"ACGT" * 100)

    def replace(event: Event) -> None:
        if isinstance(event, PartSent):
            path.unlink()
            os.mkfifo(path)

    with Uploader(
        token=machine.mock.token, endpoint=machine.mock.base_url, state_dir=machine.home / "state", listeners=[replace]
    ) as uploader:
        receipt = uploader.upload(path, PROJECT)
    assert machine.mock.file_bytes(receipt.file_id) == b"ACGT" * 100


@pytest.mark.parametrize("option", ["--receipt", "--log-file"])
def test_a_name_that_no_file_system_takes(machine: Machine, option: str) -> None:
    """A path that cannot exist is wrong usage, and nothing is uploaded."""
    machine.file("a.bam")
    ended = machine.call("upload", "a.bam", *TO, option, LONG)
    assert (ended.code, machine.mock.files()) == (2, [])
    assert "cannot be written" in ended.err


def test_a_state_folder_that_cannot_be(machine: Machine) -> None:
    """A state folder with an impossible name costs the journal, not the upload."""
    machine.file("a.bam")
    ended = machine.run("upload", "a.bam", *TO, env={"CAVATICA_STATE_DIR": str(machine.home / LONG)})
    assert ended.code == 0, ended.err
    assert machine.run("receipts", env={"CAVATICA_STATE_DIR": str(machine.home / LONG)}).code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_log_on_a_full_disk(machine: Machine) -> None:
    """An upload whose log could not be written has succeeded, and says once that the log is incomplete."""
    machine.file("a.bam")
    ended = machine.run("upload", "a.bam", *TO, "--log-file", "/dev/full")
    assert ended.code == 0, ended.err
    assert ended.err.count("The log file is incomplete: No space left on device.") == 1
    assert "Traceback" not in ended.err


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout here")
def test_a_receipt_into_a_pipe_that_is_open(machine: Machine) -> None:
    """`--receipt /dev/stdout` in a pipeline writes the receipt into the pipe."""
    machine.file("a.bam")
    process = machine.start("upload", "a.bam", *TO, "--receipt", "/dev/stdout", "-q", stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b'"schema": "cavatica-upload receipt"' in out
