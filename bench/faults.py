"""What comes of a storage that fails on one part, once and for ever."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.files import write_file
from bench.harness import Run, Sink, upload
from bench.tables import MIB, Table

PART = 8 * MIB
NAMES = {
    "403": "403 (URL expired, access denied)",
    "503": "503 (slow down)",
    "corrupt": "corrupted part",
    "no_etag": "answer without ETag",
    "reset": "connection reset",
    "stall": "stall",
}
STALL_OPTIONS = {
    "sdk": ["--timeout=10"],  # seconds of silence; its default of 300, seven times, is too long to wait for here
    "ours": ["--timeout=120"],  # seconds for a part with all its attempts, instead of an hour
}
STALL_NOTE = (
    "Stalls: the SDK has a timeout of 10 s here instead of 300 s, ours a deadline of 120 s a part instead of 1 h."
)
Case = tuple[str, str, bool, str]  # kind, times, lenient, client


def fault_table(kinds: Sequence[str] = tuple(NAMES)) -> tuple[Table, dict[str, Any]]:
    """Every fault, once and for ever, for both clients; storage keeps and hashes what really comes."""
    table = Table(
        "Part 2 of 5 fails",
        [
            "part 2 meets",
            "how often",
            "ours",
            "SDK, where the API checks ETags",
            "SDK, where it does not",
        ],
        note=STALL_NOTE if "stall" in kinds else "",
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", 5 * PART)

        def run(case: Case) -> Run:
            kind, times, lenient, client = case
            options = [f"--part-size={PART}", "--look", f"--fault={kind}{times}", *(["--lenient"] if lenient else [])]
            patience = STALL_OPTIONS[client] if kind == "stall" else []
            with Sink(file, *options) as sink:
                return upload(client, sink, *patience)

        columns = [(False, "ours"), (False, "sdk"), (True, "sdk")]
        cases: list[Case] = [(k, t, lenient, c) for k in kinds for t in (":1", "") for lenient, c in columns]
        with ThreadPoolExecutor(8) as pool:  # they mostly wait
            runs = dict(zip(cases, pool.map(run, cases), strict=True))
    for kind in kinds:
        for times, often in ((":1", "once"), ("", "for ever")):
            table.add(NAMES[kind], often, *(verdict(runs[kind, times, lenient, c]) for lenient, c in columns))
    return table, {"setting": table.title, "runs": [{"case": case, **one.as_json()} for case, one in runs.items()]}


def verdict(run: Run) -> str:
    """Whole, an honest error, or the thing that must never be."""
    if run.outcome == "completed":
        return "whole" if run.whole else "**said to be complete, and is not whole**"
    if run.whole:
        return f"whole, but {run.said}"
    return f"error: {run.said}"
