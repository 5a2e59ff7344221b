"""--dask-scheduler on a machine without Dask, and wrong values that need no Dask to be refused."""

import sys

import pytest
from cli_machine import PROJECT, Ended, Machine


def refused(machine: Machine, *words: str) -> Ended:
    """Check that the command is refused as wrong usage and nothing is sent."""
    machine.file("a.bam")
    ended = machine.call("upload", "a.bam", "--project", PROJECT, *words)
    assert ended.code == 2
    assert not machine.mock.calls
    return ended


@pytest.mark.parametrize(
    "address", ["node01", "node01:none", "tcp://node01", "http://node01:8786", "tcp://:1", "a:99999"]
)
def test_malformed_address(machine: Machine, address: str) -> None:
    """A malformed address is refused before anything is sent."""
    ended = refused(machine, "--dask-scheduler", address)
    assert ended.err == (
        f"Error: --dask-scheduler {address} is not the address of a scheduler.\nWrite it like tcp://node01:8786.\n"
    )


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"\xff"])
def test_file_without_an_address(machine: Machine, content: bytes | None) -> None:
    """A file that is missing or was not written by a scheduler is refused before anything is sent."""
    if content is not None:
        machine.file("scheduler.json", content)
    ended = refused(machine, "--dask-scheduler", "scheduler.json")
    assert ended.err.startswith("Error: --dask-scheduler scheduler.json has no address of a scheduler: ")
    assert ended.err.count("\n") == 2


def test_without_the_extra(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Dask one sentence names the package that is missing, and another installs it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    ended = refused(machine, "--dask-scheduler", "tcp://127.0.0.1:8786")
    assert ended.err == (
        "Error: --dask-scheduler needs the package distributed, which is not installed.\nRun: pip install distributed\n"
    )


def test_no_limit_of_bytes_for_workers(machine: Machine) -> None:
    """--bwlimit is refused, since workers would not follow it."""
    ended = refused(machine, "--dask-scheduler", "tcp://127.0.0.1:8786", "--bwlimit", "1MiB")
    assert "--bwlimit does not hold for the workers" in ended.err
