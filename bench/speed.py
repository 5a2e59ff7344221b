"""How fast: rounds of uploads by every client, the ratio to the vendor's SDK, what each run took."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clients import OURS, SDK, UNVERIFIED, Run, median, ratios, rounds
from bench.files import write_file
from bench.server import Server
from bench.tables import MIB, Table

CLIENTS = (SDK, OURS, UNVERIFIED)


@dataclass(frozen=True)
class Setting:
    """Files, a storage and an API to upload to."""

    title: str
    size: int  # bytes of a file
    files: int = 1
    delay: float = 0.0  # seconds an API call takes
    rate: int | None = None  # bytes a second on one connection to storage


def large(quick: bool) -> list[Setting]:
    """One file of many parts."""
    if quick:
        return [Setting("64 MiB, 5 ms a call", 64 * MIB, delay=0.005)]
    return [
        Setting("1 GiB, 0 ms a call", 1024 * MIB),
        Setting("1 GiB, 50 ms a call", 1024 * MIB, delay=0.05),
        Setting("1 GiB, 50 ms a call, storage takes 40 MiB/s a connection", 1024 * MIB, delay=0.05, rate=40 * MIB),
    ]


def many(quick: bool) -> list[Setting]:
    """Many small files in one run."""
    if quick:
        return [Setting("10 files of 256 KiB, 5 ms a call", 256 << 10, files=10, delay=0.005)]
    return [Setting("200 files of 256 KiB, 50 ms a call", 256 << 10, files=200, delay=0.05)]


def measure(settings: Sequence[Setting], count: int) -> tuple[list[Table], list[dict[str, Any]]]:
    """Run the settings and draw a table of each."""
    tables, raw = [], []
    for setting in settings:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            files = [write_file(Path(folder) / f"file-{n}", setting.size, seed=n) for n in range(setting.files)]
            with Server(files, part_size=32 * MIB, delay=setting.delay, rate=setting.rate) as server:
                series = rounds(CLIENTS, server, count)
        tables.append(_table(setting, series))
        raw.append({"setting": setting.title, "rounds": [{c: r.as_json() for c, r in s.items()} for s in series]})
    return tables, raw


def _table(setting: Setting, series: list[dict[str, Run]]) -> Table:
    table = Table(
        f"{setting.title} ({len(series)} rounds)",
        [
            "client",
            "speed of the SDK, median (range)",
            "s",
            "MiB/s",
            "CPU-s",
            "peak MiB",
            "calls",
            "in flight",
            "whole",
        ],
    )
    for client in CLIENTS:
        runs = [one[client] for one in series]
        whole = [run for run in runs if run.whole]
        ended = "; ".join(sorted({f"NO: {run.verdict}" for run in runs if not run.whole})) or "yes"
        times = ratios(series, client, SDK)
        if not times:
            table.add(client, *["-"] * 7, ended)
            continue
        table.add(
            client,
            f"{median(times):.2f}x ({min(times):.2f}-{max(times):.2f})",
            f"{median([run.wall for run in whole]):.2f}",
            f"{median([setting.size * setting.files / run.wall / MIB for run in whole]):.0f}",
            f"{median([run.cpu for run in whole]):.2f}",
            f"{max(run.peak_memory for run in whole) / MIB:.0f}",
            f"{max(run.api_calls for run in whole)}",
            f"{max(run.most_in_flight for run in whole)}",
            ended,
        )
    return table
