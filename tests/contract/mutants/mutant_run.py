"""Looks for the first finding on one broken server, cheap phases first.

    python -m tests.contract.mutants.mutant_run NAME SEED [PHASE…]

prints one line of JSON: which phase and which check found what, after how many calls and seconds. A process of its own
for each mutant, because Hypothesis keeps state in its process.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.contract import requests, suite
from tests.contract.call_counts import CallCounts
from tests.contract.findings import Outcome
from tests.contract.forced_statuses import faults
from tests.contract.requests import client as raw_client
from tests.contract.schemathesis import run as schemathesis_run
from tests.contract.server import Target, started

PHASES: Final = ("raw", "model", "forced", "unit", "stateful")


def hunt(name: str, seed: int, phases: Sequence[str] = PHASES) -> dict[str, Any]:
    """The first finding on the mock with this defect; "caught" is None when there is none."""
    began, calls = time.monotonic(), 0
    with started([sys.executable, "-m", "tests.contract.mutants", name, str(seed)]) as target:
        for phase in phases:
            outcome = _PHASES[phase](target, seed)
            calls += outcome.counts.calls
            if outcome.findings:
                finding = outcome.findings[0]
                caught = {"phase": outcome.phase, "check": finding.check, "message": finding.message[:300]}
                return {"name": name, "caught": caught, "calls": calls, "seconds": time.monotonic() - began}
    return {"name": name, "caught": None, "calls": calls, "seconds": time.monotonic() - began}


def _forced(target: Target, seed: int) -> Outcome:
    outcome = Outcome("forced statuses")
    with outcome.timed():
        faults(outcome, target, CallCounts().never_seen())
    return outcome


_PHASES: Final[dict[str, Callable[[Target, int], Outcome]]] = {
    "raw": lambda target, seed: raw_client.run(target, requests.CLAIMS, first=True),
    "forced": _forced,
    "model": lambda target, seed: suite.model(target, seed, shrink=False),
    "unit": lambda target, seed: schemathesis_run.run(target, schemathesis_run.UNIT, seed, first=True),
    "stateful": lambda target, seed: suite.demanded(
        schemathesis_run.run(target, schemathesis_run.STATEFUL, seed, first=True), target
    ),
}


if __name__ == "__main__":
    print(json.dumps(hunt(sys.argv[1], int(sys.argv[2]), sys.argv[3:] or PHASES)))
