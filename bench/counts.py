"""What is counted, so that one run each is enough: calls, memory, and what a killed upload sends again."""

import tempfile
import time
from pathlib import Path
from typing import Any

from bench.clients import OURS, SDK, Process, Run, upload
from bench.files import write_file, write_sparse_file
from bench.server import Server
from bench.tables import MIB, Table

CLIENTS = (OURS, SDK)
Result = tuple[Table, dict[str, Any]]


def calls(parts: int) -> Result:
    """API calls for a file of very many parts; the server chooses tiny ones."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", parts << 10)
        with Server([file], part_size=1024) as server:
            runs = [upload(client, server) for client in CLIENTS]
    table = Table(f"API calls for {parts} parts", ["client", "API calls", "outcome"])
    for run in runs:
        table.add(run.client, str(run.api_calls), run.verdict)
    return _result(table, runs)


def call_limit(limit: int, seconds: int, parts: int) -> Result:
    """A file that fits into the call limit, if a client is thrifty."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", parts * MIB)
        with Server([file], part_size=MIB, limit=(limit, seconds)) as server:
            runs = [upload(client, server) for client in CLIENTS]
    table = Table(
        f"{parts} parts, and {limit} calls in {seconds} s are allowed",
        ["client", "outcome", "API calls", "of them refused (429)", "seconds"],
    )
    for run in runs:
        table.add(run.client, run.verdict, str(run.api_calls), str(run.refused), f"{run.wall:.1f}")
    return _result(table, runs)


def memory(size: int, part_sizes: tuple[int, ...]) -> Result:
    """Peak memory for a big file and big parts."""
    table = Table(f"Peak memory, a sparse file of {size / MIB:.0f} MiB", ["client", "part size", "peak MiB", "outcome"])
    runs = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_sparse_file(Path(folder) / "file", size)
        for part_size in part_sizes:
            with Server([file], part_size=part_size) as server:
                for client in CLIENTS:
                    run = upload(client, server)
                    table.add(client, f"{part_size / MIB:.0f} MiB", f"{run.peak_memory / MIB:.0f}", run.verdict)
                    runs.append(run)
    return _result(table, runs)


def resume(size: int) -> Result:
    """Kill an upload when storage has half of the file, then upload again.

    When it is killed, as many parts are in flight as ever were. Storage sees fewer for a moment: a part whose answer is
    on its way back, or is not written down yet, has arrived there, and is sent again all the same.
    """
    part = 8 * MIB
    table = Table(
        f"Killed with SIGKILL at half of {size / MIB:.0f} MiB, then run again (parts of {part / MIB:.0f} MiB)",
        ["client", "MiB received before", "most parts in flight", "MiB received in the second run",
         "parts sent twice", "outcome"],
    )  # fmt: skip
    runs = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", size)
        for client in CLIENTS:
            # On one connection, so that half is not over too soon.
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
            table.add(
                client, f"{before / MIB:.1f}", str(most), f"{run.bytes_received / MIB:.1f}", str(twice), run.verdict
            )
            runs.append(run)
    return _result(table, runs)


def _result(table: Table, runs: list[Run]) -> Result:
    return table, {"setting": table.title, "runs": [run.as_json() for run in runs]}
