"""How fast: rounds of uploads by every client, the ratio to the official SDK, what each run took."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.certificates import Certificates
from bench.files import write_file
from bench.harness import Run, Sink, median, ratios, rounds
from bench.tables import MIB, Table

BASE = "sdk"


@dataclass(frozen=True)
class Setting:
    """A file, a storage and an API to upload to."""

    title: str
    size: int  # bytes
    delay: float = 0.0  # seconds an API call takes
    rate: int | None = None  # bytes a second on one connection to storage
    tls: bool = False
    clients: tuple[str, ...] = (BASE, "ours", "ours-unverified")

    @property
    def options(self) -> list[str]:
        """For the sink."""
        return [f"--delay={self.delay}", *([f"--rate={self.rate}"] if self.rate else [])]


def full() -> list[Setting]:
    """The settings of the published figures."""
    gib = 1 << 30
    every = (BASE, "ours", "ours-unverified", *(["curl"] if shutil.which("curl") else []))
    return [
        Setting("1 GiB, API calls take 0 ms", gib, clients=every),
        Setting("1 GiB, API calls take 50 ms", gib, delay=0.05),
        Setting("1 GiB over TLS, API calls take 50 ms", gib, delay=0.05, tls=True),
        Setting("1 GiB, storage takes 40 MiB/s per connection, API calls take 50 ms", gib, delay=0.05, rate=40 * MIB),
    ]


def quick() -> list[Setting]:
    """Small enough for every change; shows that all runs, not how fast."""
    return [
        Setting("64 MiB, API calls take 5 ms", 64 * MIB, delay=0.005),
        Setting("64 MiB over TLS, API calls take 5 ms", 64 * MIB, delay=0.005, tls=True),
    ]


def measure(settings: Sequence[Setting], count: int) -> tuple[list[Table], list[dict[str, Any]]]:
    """Run the settings and draw a table of each."""
    tables, raw = [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for setting in settings:
            file = write_file(Path(folder) / "file", setting.size)
            certificates = Certificates.make(Path(folder)) if setting.tls else None
            with Sink(file, *setting.options, certificates=certificates) as sink:
                series = rounds(setting.clients, sink, count)
            tables.append(_table(setting, series))
            raw.append({"setting": setting.title, "rounds": [{c: r.as_json() for c, r in s.items()} for s in series]})
    return tables, raw


def _table(setting: Setting, series: list[dict[str, Run]]) -> Table:
    table = Table(
        f"{setting.title} ({len(series)} rounds)",
        ["client", "speed of the SDK, median (range)", "MiB/s", "CPU-s", "peak MiB", "API calls", "in flight", "whole"],
    )
    for client in setting.clients:
        runs = [one[client] for one in series]
        whole = [run for run in runs if run.whole]
        ended = "; ".join(sorted({f"NO: {run.outcome} {run.said}" for run in runs if not run.whole})) or "yes"
        times = ratios(series, client, BASE)
        if not times:
            table.add(client, *["-"] * 6, ended)
            continue
        table.add(
            client,
            f"{median(times):.2f}x ({min(times):.2f}-{max(times):.2f})",
            f"{median([setting.size / run.wall / MIB for run in whole]):.0f}",
            f"{median([run.cpu for run in whole]):.2f}",
            f"{max(run.peak_memory for run in whole) / MIB:.0f}",
            f"{max(run.api_calls for run in whole)}",
            f"{max(run.max_in_flight for run in whole)}",
            ended,
        )
    return table
