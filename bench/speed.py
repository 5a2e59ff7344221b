"""Speed: rounds of uploads by every client, compared with the vendor's SDK."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.clients import OURS, SDK, UNVERIFIED, Run, rounds
from bench.server import Server, write_file
from bench.tables import MIB, table

CLIENTS = (SDK, OURS, UNVERIFIED)
HEAD = ("client", "times the speed of the SDK, median (range)", "s", "MiB/s", "CPU-s", "peak MiB", "calls", "in flight",
        "whole")  # fmt: skip
Result = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Setting:
    """Files, a storage and an API to upload to."""

    title: str
    size: int  # bytes of a file
    files: int = 1
    delay: float = 0.0  # seconds an API call takes
    rate: int | None = None  # bytes a second on one connection to storage


def large(quick: bool, count: int) -> Iterator[Result]:
    """One file of many parts."""
    settings = [
        Setting("1 GiB, 0 ms a call", 1024 * MIB),
        Setting("1 GiB, 50 ms a call", 1024 * MIB, delay=0.05),
        Setting("1 GiB, 50 ms a call, storage takes 40 MiB/s a connection", 1024 * MIB, delay=0.05, rate=40 * MIB),
    ]
    return _measure([Setting("64 MiB, 5 ms a call", 64 * MIB, delay=0.005)] if quick else settings, count)


def many(quick: bool, count: int) -> Iterator[Result]:
    """Many small files in one run."""
    small = Setting("10 files of 256 KiB, 5 ms a call", 256 << 10, files=10, delay=0.005)
    return _measure([small if quick else Setting("200 files of 256 KiB, 50 ms a call", 256 << 10, 200, 0.05)], count)


def _measure(settings: Sequence[Setting], count: int) -> Iterator[Result]:
    for setting in settings:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            files = [write_file(Path(folder) / f"file-{n}", setting.size, seed=n) for n in range(setting.files)]
            with Server(files, part_size=32 * MIB, delay=setting.delay, rate=setting.rate) as server:
                series = rounds(CLIENTS, server, count)
        title = f"{setting.title} ({count} rounds)"
        text = table(title, HEAD, (_row(client, setting, series) for client in CLIENTS))
        yield text, {"setting": setting.title, "rounds": [{c: asdict(r) for c, r in runs.items()} for runs in series]}


def _row(client: str, setting: Setting, series: list[dict[str, Run]]) -> list[str]:
    runs = [one[client] for one in series]
    ended = "; ".join(sorted({f"NO: {run.verdict}" for run in runs if not run.whole})) or "yes"
    ratios = [one[SDK].wall / one[client].wall for one in series if one[SDK].whole and one[client].whole]
    if not ratios:
        return [client, *["-"] * 7, ended]
    whole = [run for run in runs if run.whole]
    return [
        client,
        f"{median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f})",
        f"{median(run.wall for run in whole):.2f}",
        f"{median(setting.size * setting.files / run.wall / MIB for run in whole):.0f}",
        f"{median(run.cpu for run in whole):.2f}",
        f"{max(run.peak_memory for run in whole) / MIB:.0f}",
        f"{max(run.api_calls for run in whole)}",
        f"{max(run.most_in_flight for run in whole)}",
        ended,
    ]
