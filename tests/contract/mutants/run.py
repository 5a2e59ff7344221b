"""Proves the suite: each server that is broken on purpose has to be caught, and the one that is not has to pass.

The defects are in this package. Each is tried by a process of its own, because Hypothesis keeps state in its process,
two at a time, the cheap phases first, up to the first finding:

    python -m tests.contract.mutants.run NAME SEED [nginx] [PHASE…]

prints one line of JSON: which phase and which check found what, after how many calls and seconds.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Final

from tests.contract import suite
from tests.contract.document import ROOT
from tests.contract.mutants import DEFECTS
from tests.contract.mutants.serve import UNBROKEN, served
from tests.contract.options import Options
from tests.contract.server import Target, behind_nginx

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


AT_ONCE = 2  # as many as CI has cores
LONGEST = 240  # seconds for one mutant

# Defects that are judged on a server of ours only: a gateway tidies paths up, and no source says what a platform trims.
OURS_ALONE = frozenset({"dots_climb", "slashes_are_decoded", "names_are_trimmed"})

# One or two of each kind, each caught within seconds: what `make test` has time for.
SMOKE = ("missing_key", "strangers_may_look", "bulk_in_pieces", "total_of_the_page", "downloads_are_cut")


def run(options: Options, say: Callable[[str], None] = print) -> int:
    """Hunt every mutant, print and write the table. 0: all were caught, and the unbroken mock passed."""
    phases = options.only or PHASES
    options.check_phases(PHASES)
    began, results = time.monotonic(), []
    names = [UNBROKEN, *(name for name in DEFECTS if not options.behind or name not in OURS_ALONE)]
    where = f" behind {options.behind}" if options.behind else ""
    say(f"{len(names) - 1} mutants and the unbroken mock{where}, seed {options.seed}, phases: {', '.join(phases)}")
    for result in hunted(names, options.seed, phases, options.behind):
        results.append(result)
        say(line(result))
    results.sort(key=lambda result: names.index(result["name"]))
    seconds = time.monotonic() - began
    survivors = [result["name"] for result in results if result["name"] != UNBROKEN and not result["caught"]]
    unbroken = results[0]
    options.reports.mkdir(parents=True, exist_ok=True)
    (options.reports / "mutants.md").write_text(markdown(results, options.seed, seconds))
    caught = sum(bool(result["caught"]) for result in results[1:])
    say(f"\n{caught} of {len(names) - 1} caught in {seconds:.0f} s. Read {options.reports / 'mutants.md'}.")
    if unbroken["caught"]:
        say(f"The unbroken mock was blamed: {unbroken['caught']}")
    if survivors:
        say(f"SURVIVED: {', '.join(survivors)}")
    return 1 if survivors or unbroken["caught"] else 0


def hunted(
    names: Sequence[str], seed: int, phases: Sequence[str] = PHASES, behind: str | None = None
) -> Iterator[dict[str, Any]]:
    """Hunt these mutants, and yield what became of each as soon as it is known. `behind`: "nginx" or nothing."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in as_completed([pool.submit(_hunt, name, seed, phases, behind) for name in names]):
            yield done.result()


def _hunt(name: str, seed: int, phases: Sequence[str], behind: str | None) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "tests.contract.mutants.run",
        name,
        str(seed),
        *filter(None, (behind,)),
        *phases,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, check=False)
    try:
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise RuntimeError(f"The hunt for {name} broke off: {done.stderr.strip()[-1500:]}") from None
    return result


def line(result: dict[str, Any]) -> str:
    caught = result["caught"]
    if caught is None:
        verdict = "passed everything" if result["name"] == UNBROKEN else "SURVIVED"
    else:
        verdict = f"{caught['phase']}: {caught['check']}"
    return f"{result['name']:32} {result['calls']:6} calls {result['seconds']:5.1f} s  {verdict}"


def markdown(results: Sequence[dict[str, Any]], seed: int, seconds: float) -> str:
    """The table."""
    by_phase = Counter(result["caught"]["phase"] for result in results if result["caught"])
    lines = [
        "# Mutants",
        "",
        f"{sum(by_phase.values())} of {len(results) - 1} caught in {seconds:.0f} s, seed {seed}; by "
        + ", ".join(f"{phase} {count}" for phase, count in by_phase.most_common())
        + ". Each was hunted up to its first finding, cheap phases first.",
        "",
        "| mutant | what is broken | caught by | check | calls | seconds |",
        "|---|---|---|---|---:|---:|",
    ]
    for result in results:
        name, caught = result["name"], result["caught"]
        broken = "nothing" if name == UNBROKEN else " ".join((DEFECTS[name].__doc__ or "").split())
        by, check = (caught["phase"], caught["check"]) if caught else ("", "not caught")
        if name == UNBROKEN and not caught:
            check = "passes everything"
        lines.append(f"| {name} | {broken} | {by} | {check} | {result['calls']} | {result['seconds']:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    phases = [word for word in sys.argv[3:] if word != "nginx"] or PHASES
    before: Behind = behind_nginx if "nginx" in sys.argv[3:] else contextlib.nullcontext
    print(json.dumps(run_mutant(sys.argv[1], int(sys.argv[2]), phases, before)))
