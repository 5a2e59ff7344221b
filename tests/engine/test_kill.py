import contextlib
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_rig import KIB, Rig

from cavatica_mock import Fault
from cavatica_upload import Event
from cavatica_upload.events import UploadStarted
from cavatica_upload.receipt import receipts

PART = 16 * KIB
PARTS = 24
JOBS = 4
KILLS = 50


class Driver:
    """A process that uploads files in processes of its own."""

    def __init__(self, rig: Rig) -> None:
        path = Path(__file__).with_name("engine_driver.py")
        self._process = subprocess.Popen(
            [sys.executable, path, rig.mock.base_url, rig.mock.token, rig.state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self.said: list[str] = []

    def start(self, file: Path, rate: float = 0, jobs: int = JOBS) -> int:
        """Start an upload; returns the PID."""
        print(PART, rate, jobs, file, file=self._in, flush=True)
        return int(self._out.readline().split()[1])

    def end(self) -> int:
        """Wait for the upload to end, and return its exit status."""
        for line in self._out:
            if line.startswith("ended"):
                return int(line.split()[1])
            self.said.append(line)
        raise AssertionError("the driver is gone")

    def close(self) -> None:
        self._in.close()
        self._process.wait()
        self._out.close()


@pytest.fixture
def driver(rig: Rig) -> Iterator[Driver]:
    made = Driver(rig)
    yield made
    made.close()


def kill_later(rig: Rig, pid: int, requests: int, seconds: float) -> None:
    """Kill a process after it has made this many requests, if it is still running."""
    until = rig.calls.total() + requests
    while rig.calls.total() < until:
        if wait_for_exit(pid, 0.001):
            return
    if not wait_for_exit(pid, seconds):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for_exit(pid: int, seconds: float) -> bool:
    """Wait for the end of a process that is not a child, for a bounded time; return whether it has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def test_kill_at_any_moment_loses_nothing_but_what_was_in_flight(rig: Rig, driver: Driver) -> None:
    """Killed fifty times at random moments, every file arrives whole, and a kill costs at most the parts in flight.

    The moments are counted in requests instead of seconds, so that each run makes progress on a slow machine too.
    """
    dice = random.Random(7)
    kills = files = 0
    while kills < KILLS:
        files += 1
        path = rig.file(PARTS * PART - 5, f"file-{files}", seed=files)
        before, kills_before = rig.mock.bytes_received, kills
        while True:
            pid = driver.start(path, rate=1_200_000)
            kill_later(rig, pid, dice.randint(0, PARTS), dice.uniform(0, 0.02))
            status = driver.end()
            if status == 0:
                break
            assert status == -signal.SIGKILL, driver.said
            kills += 1
        sent_again = rig.mock.bytes_received - before - path.stat().st_size
        assert sent_again <= (kills - kills_before) * JOBS * PART
    kept = list(receipts(rig.state / "receipts"))
    by_name = {receipt.name: receipt for receipt in kept}
    assert len(by_name) == files
    for name, receipt in by_name.items():
        rig.assert_whole(receipt, rig.folder / name)
    assert [upload for upload in rig.mock.uploads() if upload["parts"]] == []


def test_interrupt_reports_and_says_how_to_go_on(rig: Rig, driver: Driver) -> None:
    """After Ctrl-C parts in flight are finished and reported, and the next run sends the rest and nothing twice."""
    path = rig.file(PARTS * PART)
    rig.mock.faults.add(Fault("putPart", "stall", part=PARTS, times=None))  # it does not end before the interrupt
    pid = driver.start(path, rate=60_000)
    while rig.calls["putPart"] < 5:
        assert not wait_for_exit(pid, 0.01)
    os.kill(pid, signal.SIGINT)
    assert driver.end() == 130
    rig.mock.faults.clear()
    assert "Run the same command again" in driver.said[0]
    (upload,) = rig.mock.uploads()
    assert 0 < len(upload["parts"]) < PARTS
    assert rig.mock.bytes_received == len(upload["parts"]) * PART
    driver.start(path)
    assert driver.end() == 0
    assert rig.mock.bytes_received == PARTS * PART


def test_two_processes_on_one_file(rig: Rig, driver: Driver) -> None:
    """The second process says that another one uploads the file, and ends; the file is uploaded once."""
    path = rig.file(PARTS * PART)
    ended: list[int] = []

    def second(event: Event) -> None:
        if isinstance(event, UploadStarted):
            driver.start(path)
            ended.append(driver.end())

    receipt = rig.upload(path, part_size=PART, uploader={"listeners": [second]})
    assert ended == [1]
    assert "UploadBusy" in driver.said[0]
    assert [file["id"] for file in rig.mock.files()] == [receipt.file_id]
    assert rig.mock.bytes_received == PARTS * PART
