"""Runs uploads in processes of their own, and measures those from outside: from their start to their end."""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.server import PROJECT, Server

SDK, OURS, UNVERIFIED = "SDK", "ours", "ours, --no-verify"
COMMANDS = {
    SDK: [str(Path(__file__).with_name("sdk.py")), PROJECT],
    OURS: ["-m", "cavatica_upload", "upload", "--quiet", "--project", PROJECT],
    UNVERIFIED: ["-m", "cavatica_upload", "upload", "--quiet", "--no-verify", "--project", PROJECT],
}
PATIENCE = 600.0  # seconds that one upload may take before it is killed and noted as endless
TICK = 0.005  # seconds between two looks at a process


@dataclass(frozen=True)
class Run:
    """What one upload took and came to."""

    client: str
    outcome: str  # "completed", "failed" or "endless", as the client says
    message: str
    whole: bool  # as the server says
    wall: float  # seconds
    cpu: float  # seconds
    peak_memory: int  # bytes
    api_calls: int
    refused: int  # of these, calls answered with 429
    most_in_flight: int  # parts
    bytes_received: int  # by the sink

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def verdict(self) -> str:
        """Whole, an honest error, or the thing that must never be."""
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
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> Run:
        """Wait for its end; then the server is asked for its part."""
        peak, outcome = 0, ""
        while not (ended := os.wait4(self._process.pid, os.WNOHANG))[0]:
            peak = max(peak, _peak_memory(self._process.pid))
            time.sleep(TICK)
            if time.perf_counter() - self._began > PATIENCE:
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
            api_calls=self.server.calls.total(),
            refused=self.server.refusals.count,
            most_in_flight=self.server.sink.most_in_flight,
            bytes_received=self.server.sink.bytes_received - self._received,
        )


def _peak_memory(pid: int) -> int:
    """Peak resident bytes of a process so far, 0 if the system does not tell. What wait4 says begins with our own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def upload(client: str, server: Server, *options: str) -> Run:
    """One upload to a server that has forgotten all before, without a journal of an earlier one."""
    server.reset()
    with tempfile.TemporaryDirectory(prefix="bench-state-") as state:
        return Process(client, server, Path(state), *options).finish()


def rounds(clients: Sequence[str], server: Server, count: int) -> list[dict[str, Run]]:
    """Rounds of one upload by each client, in random order; one more to warm up is thrown away.

    A round is what is compared: its uploads ran within seconds of each other, so that whatever else the machine did
    weighs on all of them.
    """
    dice = random.Random(count)
    series = []
    for number in range(count + 1):
        order = list(clients)
        dice.shuffle(order)
        runs = {client: upload(client, server) for client in order}
        if number:
            series.append(runs)
    return series


def ratios(series: Sequence[dict[str, Run]], client: str, base: str) -> list[float]:
    """How many times as fast as `base` a client was, by round; only uploads that ended whole are compared."""
    return [runs[base].wall / runs[client].wall for runs in series if runs[base].whole and runs[client].whole]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
