"""Run each upload as a process, and measure it from outside, from its start to its end."""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.server import PROJECT, Server

SDK, OURS, UNVERIFIED = "SDK", "ours", "ours, --no-verify"
COMMANDS = {
    SDK: [str(Path(__file__).with_name("sdk.py")), PROJECT],
    OURS: ["-m", "cavatica_upload", "upload", "--quiet", "--project", PROJECT],
    UNVERIFIED: ["-m", "cavatica_upload", "upload", "--quiet", "--no-verify", "--project", PROJECT],
}
TIMEOUT = 600.0
"""Seconds after which an upload is killed and counts as endless."""
POLL_INTERVAL = 0.005


@dataclass(frozen=True)
class Run:
    """The figures and the result of one upload."""

    client: str
    outcome: str  # "completed", "failed" or "endless", as the client says
    message: str
    whole: bool  # as the server says
    wall: float  # seconds
    cpu: float  # seconds
    peak_memory: int  # bytes
    api_calls: int
    most_in_flight: int  # parts
    bytes_received: int  # by the sink

    @property
    def verdict(self) -> str:
        """Whether the file is whole, and what the client says of it."""
        if self.outcome == "completed":
            return "whole" if self.whole else "**said to be complete, and is not whole**"
        return f"{'whole, but ' if self.whole else ''}{self.outcome}: {self.message}"


class Process:
    """An upload of the server's files by one client. `state` is the folder of our journal."""

    def __init__(self, client: str, server: Server, state: Path, *options: str) -> None:
        self.client, self.server = client, server
        self._received = server.sink.bytes_received
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in finish
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, *COMMANDS[client], *options, *map(str, server.files)],
            env={**server.environment, "CAVATICA_STATE_DIR": str(state)},
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> Run:
        """Wait for its end, and return what the system and the server say of it."""
        peak, outcome = 0, ""
        while not (ended := os.wait4(self._process.pid, os.WNOHANG))[0]:
            peak = max(peak, peak_memory(self._process.pid))
            time.sleep(POLL_INTERVAL)
            if time.perf_counter() - self._began > TIMEOUT:
                self._process.kill()
                outcome = "endless"
        wall = time.perf_counter() - self._began
        self._process.returncode = os.waitstatus_to_exitcode(ended[1])
        with self._errors as errors:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines() or [""]
        return Run(
            client=self.client,
            outcome=outcome or ("failed" if self._process.returncode else "completed"),
            message=next((line for line in lines if line.startswith("Error: ")), lines[-1]),
            whole=self.server.whole,
            wall=wall,
            cpu=ended[2].ru_utime + ended[2].ru_stime,
            peak_memory=peak or ended[2].ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            api_calls=self.server.api_calls,
            most_in_flight=self.server.sink.most_in_flight,
            bytes_received=self.server.sink.bytes_received - self._received,
        )


def peak_memory(pid: int) -> int:
    """Return the peak resident bytes of a process so far, 0 if unknown. That of wait4 includes the parent's."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = status.partition("VmHWM:")[2].split()  # a process that has ended has none
    return int(found[0]) << 10 if found else 0


def upload(client: str, server: Server, *options: str) -> Run:
    """Upload once, to an empty server and without a journal."""
    server.reset()
    with tempfile.TemporaryDirectory(prefix="bench-state-") as state:
        return Process(client, server, Path(state), *options).finish()


def rounds(clients: Sequence[str], server: Server, count: int) -> list[dict[str, Run]]:
    """Return rounds of one upload by each client, in random order. A first round warms up and is left out.

    The uploads of a round are compared with each other: they run within seconds, so that other load on the machine
    slows all of them.
    """
    dice = random.Random(count)
    series = []
    for _ in range(count + 1):
        order = list(clients)
        dice.shuffle(order)
        series.append({client: upload(client, server) for client in order})
    return series[1:]
