"""Measure upload clients, and write the figures.

    python -m bench [--quick] [--rounds N] [--out FOLDER] [SCENARIO …]

Scenarios: speed, many, calls, memory, resume, faults; all of them if none is named.
"""

import argparse
import json
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

from bench import counts, speed

SCENARIOS = {
    "speed": speed.large,
    "many": speed.many,
    "calls": counts.calls,
    "memory": counts.memory,
    "resume": counts.resume,
    "faults": counts.faults,
}
"""Each yields its tables as Markdown, with the runs behind them."""


def machine() -> str:
    """Return what the figures are measured on."""
    cpus = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", cpus.read_text() if cpus.exists() else "")
    return (
        f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}, sevenbridges-python {version('sevenbridges-python')}, "
        f"httpx {version('httpx')}, loopback"
    )


def main() -> int:
    """Run the scenarios one after another, and print each table when it is ready."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="small sizes, to check that everything runs")
    parser.add_argument("--rounds", type=int, default=0, help="of speed and many (default 7, quick 1)")
    parser.add_argument("--out", type=Path, default=Path("reports"))
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    if arguments.rounds < 0:
        parser.error("--rounds is a number of rounds, 1 or more")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {arguments.out} cannot be a folder: {error.strerror}")
    rounds = arguments.rounds or (1 if arguments.quick else 7)
    texts, results = [f"Measured on {machine()}.\n"], []
    print(texts[0])
    for scenario in arguments.scenarios or SCENARIOS:
        for text, raw in SCENARIOS[scenario](arguments.quick, rounds):
            print(text, flush=True)
            texts.append(text)
            results.append(raw)
        (arguments.out / "bench.md").write_text("\n".join(texts), encoding="utf-8")
        (arguments.out / "bench.json").write_text(json.dumps({"machine": machine(), "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
