"""Runs clients against sinks: each sink and each upload in a fresh process."""

import json
import os
import random
import ssl
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.certificates import Certificates

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 600.0  # seconds that one upload may take before it is written down as endless


@dataclass(frozen=True)
class Run:
    """What one upload took and came to."""

    client: str
    outcome: str  # "completed", "failed", "died" or "endless", as the client says
    said: str
    whole: bool  # as the sink says: completed, and storage keeps every byte
    wall: float  # seconds
    cpu: float  # seconds
    peak_memory: int  # bytes
    api_calls: int
    refused: int  # of these, calls answered with 429
    max_in_flight: int  # parts
    bytes_received: int  # by storage

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Sink:
    """A sink in a process of its own, for uploads of one file; with `certificates` it speaks https."""

    def __init__(self, file: Path, *options: str, certificates: Certificates | None = None) -> None:
        self.file = file
        self.environment = dict(os.environ)
        self._trust = None
        if certificates is not None:
            options = (*options, f"--tls={certificates.server}")
            # What httpx, requests and curl read, each its own.
            trusted = dict.fromkeys(["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"], certificates.authority)
            self.environment |= trusted
            self._trust = ssl.create_default_context(cafile=certificates.authority)
        command = [sys.executable, "-m", "bench.sink", str(file), *options]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._process.stdout is None:
            raise RuntimeError("the sink has no output")
        word, _, port = self._process.stdout.readline().partition(" ")
        if word != "ready":
            raise RuntimeError("the sink did not start")
        self._origin = f"{'https' if certificates else 'http'}://127.0.0.1:{int(port)}"

    @property
    def endpoint(self) -> str:
        """The base URL of its API."""
        return f"{self._origin}/v2"

    def stats(self) -> dict[str, Any]:
        """What came in since the last reset."""
        return self._ask("stats")

    def reset(self) -> None:
        """Forget what came in."""
        self._ask("reset")

    def settle(self) -> dict[str, Any]:
        """The figures once storage has read what a killed client left in the pipes."""
        while (stats := self.stats())["in_flight"]:
            time.sleep(0.02)
        return stats

    def _ask(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self._origin}/_sink/{what}", timeout=30, context=self._trust) as answer:
            value: dict[str, Any] = json.load(answer)
            return value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def spawn(client: str, sink: Sink, *options: str) -> subprocess.Popen[str]:
    """Start an upload of the sink's file."""
    command = [sys.executable, "-m", "bench.clients", client, "--endpoint", sink.endpoint, "--file", str(sink.file)]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *options], cwd=ROOT, env=sink.environment, stdout=pipe, stderr=pipe, text=True)


def upload(client: str, sink: Sink, *options: str) -> Run:
    """One upload from a fresh process, against a sink that has forgotten all before."""
    sink.reset()
    return finish(client, sink, spawn(client, sink, *options))


def finish(client: str, sink: Sink, process: subprocess.Popen[str], since: int = 0) -> Run:
    """Wait for an upload, and ask the sink about it; `since` bytes were there before."""
    began = time.perf_counter()
    try:
        output, errors = process.communicate(timeout=PATIENCE)
        last = (output.strip().splitlines() or [""])[-1]
        died = {"outcome": "died", "said": errors.strip()[-400:]}
        said: dict[str, Any] = json.loads(last) if last.startswith("{") else died
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        said = {"outcome": "endless", "said": f"no end after {PATIENCE:.0f} s"}
    stats = sink.stats()
    done = [one for one in stats["uploads"] if one["state"] == "completed"]
    return Run(
        client=client,
        outcome=said["outcome"],
        said=said["said"],
        whole=bool(done) and all(one["whole"] for one in done),
        wall=said.get("wall", time.perf_counter() - began),
        cpu=said.get("cpu", 0.0),
        peak_memory=said.get("peak_memory", 0),
        api_calls=stats["api_calls"],
        refused=stats["refused"],
        max_in_flight=stats["max_in_flight"],
        bytes_received=stats["bytes_received"] - since,
    )


def rounds(clients: Sequence[str], sink: Sink, count: int, *options: str) -> list[dict[str, Run]]:
    """So many rounds of one upload by each client, in random order; a round to warm up is thrown away.

    A round is what is compared: its uploads ran within seconds of each other, so that whatever else the machine did
    weighs on all of them.
    """
    dice = random.Random(count)
    for client in clients:
        first = upload(client, sink, *options)
        if not first.whole:
            print(f"warming up: {client} {first.outcome}: {first.said}", file=sys.stderr)
    result = []
    for _ in range(count):
        order = list(clients)
        dice.shuffle(order)
        runs = {client: upload(client, sink, *options) for client in order}
        result.append({client: runs[client] for client in clients})
    return result


def ratios(series: Sequence[dict[str, Run]], client: str, base: str) -> list[float]:
    """How many times as fast as `base` a client was, round by round; only uploads that ended whole are compared."""
    return [one[base].wall / one[client].wall for one in series if one[base].whole and one[client].whole]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
