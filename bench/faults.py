"""What comes of a storage that fails on one part, once and for ever. The mock's own storage keeps what really came."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.clients import OURS, SDK, Run, upload
from bench.files import write_file
from bench.server import Server
from bench.tables import MIB, Table
from cavatica_mock import Fault

PART = 8 * MIB
FAULTS: dict[str, dict[str, Any]] = {
    "403 (URL expired)": {"then": "expired"},
    "503 (slow down)": {"then": "status", "status": 503},
    "corrupted part": {"then": "corrupt"},
    "lost part": {"then": "lost_part"},
    "answer without ETag": {"then": "no_etag"},
    "connection reset": {"then": "reset", "after_bytes": 1 << 16},
    "stall": {"then": "stall", "after_bytes": 1 << 16},
}
QUICK = ("503 (slow down)", "corrupted part", "answer without ETag")
STALL_OPTIONS = {SDK: ["--timeout", "10"], OURS: ["--retry-for", "2min"]}
STALL_NOTE = "Stalls: the SDK has a timeout of 10 s here instead of 300 s, ours --retry-for 2min instead of 5min."
Case = tuple[str, int | None, str]  # fault, times, client


def fault_table(names: Sequence[str] = tuple(FAULTS)) -> tuple[Table, dict[str, Any]]:
    """Every fault, once and for ever, for both clients."""
    table = Table("Part 2 of 5 fails", ["part 2 meets", "how often", OURS, SDK], note=STALL_NOTE * ("stall" in names))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", 5 * PART)

        def run(case: Case) -> Run:
            name, times, client = case
            fault = Fault("putPart", part=2, times=times, **FAULTS[name])
            with Server([file], part_size=PART, faults=[fault]) as server:
                return upload(client, server, *(STALL_OPTIONS[client] if name == "stall" else []))

        cases: list[Case] = [(name, times, client) for name in names for times in (1, None) for client in (OURS, SDK)]
        with ThreadPoolExecutor(8) as pool:  # they mostly wait
            runs = dict(zip(cases, pool.map(run, cases), strict=True))
    for name in names:
        for times, often in ((1, "once"), (None, "for ever")):
            table.add(name, often, *(runs[name, times, client].verdict for client in (OURS, SDK)))
    return table, {"setting": table.title, "runs": [{"case": case, **one.as_json()} for case, one in runs.items()]}
