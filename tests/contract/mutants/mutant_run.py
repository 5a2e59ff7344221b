"""Runs the suite against one mutant and stops at the first finding, cheap phases first.

    python -m tests.contract.mutants.mutant_run NAME SEED [nginx] [PHASE…]

prints one line of JSON: which phase and which check found what, after how many calls and seconds. A process of its own
for each mutant, because Hypothesis keeps state in its process.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.contract import suite
from tests.contract.gateway import behind_nginx
from tests.contract.mutants.serve import served
from tests.contract.options import Options
from tests.contract.server import Target

PHASES: Final = ("raw", "model", "forced", "unit", "stateful")  # the cheap ones first
Behind = Callable[[Target], contextlib.AbstractContextManager[Target]]


def run_mutant(
    name: str, seed: int, phases: Sequence[str] = PHASES, behind: Behind = contextlib.nullcontext
) -> dict[str, Any]:
    """The first finding on the mock with this defect; "caught" is None if there is none. `behind`: a gateway."""
    began, calls = time.monotonic(), 0
    with served(name, seed) as mutant, behind(mutant) as target:
        for phase in phases:
            outcome = suite.PHASES[phase](suite.Run(target, Options(seed), first=True))
            calls += outcome.counts.calls
            if outcome.findings:
                finding = outcome.findings[0]
                caught = {"phase": outcome.phase, "check": finding.check, "message": finding.message[:300]}
                return {"name": name, "caught": caught, "calls": calls, "seconds": time.monotonic() - began}
    return {"name": name, "caught": None, "calls": calls, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    phases = [word for word in sys.argv[3:] if word != "nginx"] or PHASES
    before: Behind = behind_nginx if "nginx" in sys.argv[3:] else contextlib.nullcontext
    print(json.dumps(run_mutant(sys.argv[1], int(sys.argv[2]), phases, before)))
