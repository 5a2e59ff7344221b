"""What one run each is enough for: calls, memory, parts that are sent again, and failures of storage."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.clients import OURS, SDK, Process, Run, upload
from bench.server import Server, write_file
from bench.speed import Result
from bench.tables import MIB, table
from cavatica_mock import Fault

CLIENTS = (OURS, SDK)
FAULTS: dict[str, dict[str, Any]] = {
    "403 (URL expired)": {"then": "expired"},
    "503 (slow down)": {"then": "status", "status": 503},
    "corrupted part": {"then": "corrupt"},
    "lost part": {"then": "lost_part"},
    "answer without ETag": {"then": "no_etag"},
    "connection reset": {"then": "reset", "after_bytes": 1 << 16},
    "stall (SDK with a timeout of 10 s, ours with --retry-for 2min)": {"then": "stall", "after_bytes": 1 << 16},
}
QUICK = ("503 (slow down)", "corrupted part", "answer without ETag")
STALL_OPTIONS = {SDK: ["--timeout", "10"], OURS: ["--retry-for", "2min"]}


def calls(quick: bool, _: int) -> Iterator[Result]:
    """API calls for a file of very many parts, since the server chooses tiny ones."""
    parts = 300 if quick else 10_000
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", parts << 10)
        with Server([file], part_size=1024) as server:
            runs = [upload(client, server) for client in CLIENTS]
    rows = [(run.client, str(run.api_calls), run.verdict) for run in runs]
    yield _result(f"API calls for {parts} parts", ("client", "API calls", "outcome"), rows, runs)


def memory(quick: bool, _: int) -> Iterator[Result]:
    """Peak memory for a large file and large parts."""
    size, part_sizes = (256 * MIB, (32 * MIB,)) if quick else (5120 * MIB, (32 * MIB, 1024 * MIB))
    runs, rows = [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "file"
        with file.open("wb") as sparse:
            sparse.truncate(size)
        for part_size in part_sizes:
            with Server([file], part_size=part_size) as server:
                for client in CLIENTS:
                    run = upload(client, server)
                    rows.append((client, f"{part_size / MIB:.0f} MiB", f"{run.peak_memory / MIB:.0f}", run.verdict))
                    runs.append(run)
    title = f"Peak memory, a sparse file of {size / MIB:.0f} MiB"
    yield _result(title, ("client", "part size", "peak MiB", "outcome"), rows, runs)


def resume(quick: bool, _: int) -> Iterator[Result]:
    """Kill an upload when storage has half of the file, then upload again.

    Storage may see fewer parts in flight than are sent again: a part that arrived there is sent again if its answer was
    still on its way, or was not written to the journal yet.
    """
    size, part = 160 * MIB if quick else 512 * MIB, 8 * MIB
    head = ("client", "MiB received before", "most parts in flight", "MiB received in the second run",
            "parts sent twice", "outcome")  # fmt: skip
    runs, rows = [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", size)
        for client in CLIENTS:
            # At a limited rate, so that there is time to kill it at half.
            with Server([file], part_size=part, rate=20 * MIB) as server:
                state = Path(folder) / client
                first = Process(client, server, state)
                while server.sink.bytes_received < size // 2 and not first.ended:
                    time.sleep(0.01)
                first.kill()
                server.settle()
                before, most = server.sink.bytes_received, server.sink.most_in_flight
                run = Process(client, server, state).finish()
                twice = server.sink.parts - -(-size // part)
            received = f"{run.bytes_received / MIB:.1f}"
            rows.append((client, f"{before / MIB:.1f}", str(most), received, str(twice), run.verdict))
            runs.append(run)
    title = f"Killed with SIGKILL at half of {size / MIB:.0f} MiB, then run again (parts of {part / MIB:.0f} MiB)"
    yield _result(title, head, rows, runs)


def faults(quick: bool, _: int) -> Iterator[Result]:
    """Storage fails on one part, once or always. The mock's own storage is used, which keeps the bytes."""
    names = QUICK if quick else tuple(FAULTS)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", 40 * MIB)

        def run(case: tuple[str, int | None, str]) -> Run:
            name, times, client = case
            fault = Fault("putPart", part=2, times=times, **FAULTS[name])
            with Server([file], part_size=8 * MIB, faults=[fault]) as server:
                return upload(client, server, *(STALL_OPTIONS[client] if name.startswith("stall") else []))

        cases = [(name, times, client) for name in names for times in (1, None) for client in CLIENTS]
        with ThreadPoolExecutor(8) as pool:  # they mostly wait
            runs = dict(zip(cases, pool.map(run, cases), strict=True))
    rows = [
        (name, often, *(runs[name, times, client].verdict for client in CLIENTS))
        for name in names
        for times, often in ((1, "once"), (None, "always"))
    ]
    yield _result("Part 2 of 5 fails", ("part 2 meets", "how often", *CLIENTS), rows, list(runs.values()))


def _result(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]], runs: list[Run]) -> Result:
    return table(title, head, rows), {"setting": title, "runs": [asdict(run) for run in runs]}
