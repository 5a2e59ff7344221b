"""Measure, and write what came out.

    python -m bench [--quick] [--rounds N] [--out FOLDER] [SCENARIO …]

Scenarios: speed, calls, limit, memory, resume, faults; all of them where none is named.
"""

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import faults, resume, speed, thrift
from bench.tables import MIB, Table

SCENARIOS = ("speed", "calls", "limit", "memory", "resume", "faults")
GIB = 1 << 30


def run(scenario: str, quick: bool, rounds: int) -> tuple[list[Table], list[dict[str, Any]]]:
    """One scenario, at the size that was asked for."""
    if scenario == "speed":
        return speed.measure(speed.quick() if quick else speed.full(), rounds)
    if scenario == "calls":
        table, raw = thrift.calls(300 if quick else 10_000)
    elif scenario == "limit":
        table, raw = thrift.call_limit(*((25, 5, 20) if quick else (100, 30, 80)))
    elif scenario == "memory":
        table, raw = thrift.memory(*((256 * MIB, (0,)) if quick else (5 * GIB, (0, 512 * MIB, GIB))))
    elif scenario == "resume":
        table, raw = resume.kill_and_resume(160 * MIB if quick else 512 * MIB)
    else:
        table, raw = faults.fault_table(("403", "503", "corrupt", "no_etag") if quick else tuple(faults.NAMES))
    return [table], [raw]


def machine() -> str:
    """What the figures were taken on."""
    names = (line for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    model = next(names, "").partition(":")[2].strip() or platform.machine()
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()}, Python {platform.python_version()}, "
        f"sevenbridges-python {version('sevenbridges-python')}, httpx {version('httpx')}, loopback"
    )


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


def main() -> int:
    """Run the scenarios one after another; each table is printed as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="small: that all runs, not how fast")
    parser.add_argument("--rounds", type=int, help="of the speed scenario (default 7, quick 1)")
    parser.add_argument("--out", type=Path, default=Path("reports"))
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    head = f"Measured on {machine()}.\n"
    print(head)
    text, results = [head], []
    for scenario in arguments.scenarios or SCENARIOS:
        tables, raw = run(scenario, arguments.quick, arguments.rounds or (1 if arguments.quick else 7))
        for table in tables:
            print(table.markdown(), flush=True)
            text.append(table.markdown())
        results += raw
        (arguments.out / "bench.md").write_text("\n".join(text), encoding="utf-8")
        (arguments.out / "bench.json").write_text(json.dumps({"machine": machine(), "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
