"""How many calls and how much memory: counted, so one run each is enough."""

import tempfile
from pathlib import Path
from typing import Any

from bench.files import write_file, write_sparse_file
from bench.harness import Run, Sink, upload
from bench.tables import MIB, Table

CLIENTS = ("ours", "sdk")
Result = tuple[Table, dict[str, Any]]


def calls(parts: int) -> Result:
    """API calls for a file of very many parts; storage allows tiny ones."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", parts << 10)
        with Sink(file, "--part-size=1024") as sink:
            runs = [upload(client, sink) for client in CLIENTS]
    table = Table(f"API calls for {parts} parts", ["client", "API calls", "outcome"])
    for run in runs:
        table.add(run.client, str(run.api_calls), _outcome(run))
    return table, _raw(table, runs)


def call_limit(limit: int, seconds: int, parts: int) -> Result:
    """A file that fits into the call limit, for a client that is thrifty."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", parts * MIB)
        runs = []
        for client in CLIENTS:
            with Sink(file, f"--part-size={MIB}", f"--limit={limit}/{seconds}") as sink:
                runs.append(upload(client, sink))
    table = Table(
        f"{parts} parts where {limit} calls in {seconds} s are allowed",
        ["client", "outcome", "API calls", "of them refused (429)", "seconds"],
    )
    for run in runs:
        table.add(run.client, _outcome(run), str(run.api_calls), str(run.refused), f"{run.wall:.1f}")
    return table, _raw(table, runs)


def memory(size: int, part_sizes: tuple[int, ...]) -> Result:
    """Peak memory for a big file and big parts."""
    table = Table(f"Peak memory, a sparse file of {size / MIB:.0f} MiB", ["client", "part size", "peak MiB", "outcome"])
    runs = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_sparse_file(Path(folder) / "file", size)
        with Sink(file) as sink:
            for client in CLIENTS:
                for part_size in part_sizes:
                    run = upload(client, sink, *([f"--part-size={part_size}"] if part_size else []))
                    wish = f"{part_size / MIB:.0f} MiB" if part_size else "the client's own"
                    table.add(client, wish, f"{run.peak_memory / MIB:.0f}", _outcome(run))
                    runs.append(run)
    return table, _raw(table, runs)


def _outcome(run: Run) -> str:
    return "whole" if run.whole else f"{run.outcome}: {run.said}"


def _raw(table: Table, runs: list[Run]) -> dict[str, Any]:
    return {"setting": table.title, "runs": [run.as_json() for run in runs]}
