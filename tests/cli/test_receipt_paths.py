"""Where `--receipt` leads, nothing of the user's is destroyed."""

import json
import os
import threading
from pathlib import Path

from cli_machine import PROJECT, Machine

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
    """`--receipt /dev/null` keeps none, and /dev/null is what it was."""
    machine.file("a.bam")
    (machine.home / "null").symlink_to("/dev/null")
    assert machine.run("upload", "a.bam", *TO, "--receipt", "null").code == 0
    assert (machine.home / "null").is_symlink()
    assert Path("/dev/null").is_char_device()


def test_a_link_is_followed_and_a_file_keeps_its_permissions(machine: Machine) -> None:
    """What the link leads to gets the receipt; the link stays."""
    machine.file("a.bam")
    real = machine.file("kept/r.json", b"old")
    real.chmod(0o640)
    (machine.home / "r.json").symlink_to("kept/r.json")
    assert machine.run("upload", "a.bam", *TO, "--receipt", "r.json").code == 0
    assert (machine.home / "r.json").is_symlink()
    assert json.loads(real.read_text())["name"] == "a.bam"
    assert real.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (machine.home / "kept").iterdir()] == ["r.json"]
