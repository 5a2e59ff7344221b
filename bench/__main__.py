"""Measure, and write what came out.

    python -m bench [--quick] [--rounds N] [--out FOLDER] [SCENARIO …]

Scenarios: speed, many, calls, limit, memory, resume, faults; all of them if none is named.
"""

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import counts, faults, speed
from bench.tables import MIB, Table

SCENARIOS = ("speed", "many", "calls", "limit", "memory", "resume", "faults")


def run(scenario: str, quick: bool, rounds: int) -> tuple[list[Table], list[dict[str, Any]]]:
    """One scenario, at the size that was asked for."""
    if scenario == "speed":
        return speed.measure(speed.large(quick), rounds)
    if scenario == "many":
        return speed.measure(speed.many(quick), rounds)
    if scenario == "calls":
        table, raw = counts.calls(300 if quick else 10_000)
    elif scenario == "limit":
        table, raw = counts.call_limit(*((25, 5, 20) if quick else (100, 30, 80)))
    elif scenario == "memory":
        table, raw = counts.memory(*((256 * MIB, (32 * MIB,)) if quick else (5120 * MIB, (32 * MIB, 1024 * MIB))))
    elif scenario == "resume":
        table, raw = counts.resume(160 * MIB if quick else 512 * MIB)
    else:
        table, raw = faults.fault_table(faults.QUICK if quick else tuple(faults.FAULTS))
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
    """Run the scenarios one after another; each table is printed as soon as it is made."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="small: that all runs, not how fast")
    parser.add_argument("--rounds", type=int, help="of speed and many (default 7, quick 1)")
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
