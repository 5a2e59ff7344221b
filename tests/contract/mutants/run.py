"""Proves the suite: it has to catch each server that is broken on purpose, and to pass the one that is not.

Each mutant is tried in a process of its own, because Hypothesis keeps state in its process; two at a time, the cheap
phases first, up to the first finding.
"""

import contextlib
import functools
import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tests.contract import suite
from tests.contract.mutants import DEFECTS
from tests.contract.mutants.proxy import served
from tests.contract.options import Options, tidy_on_signals
from tests.contract.server import Target, behind_nginx

UNBROKEN: Final = "none"
PROCESSES: Final = 2  # as many as CI has cores
TIMEOUT: Final = 240.0  # seconds; a mutant that takes longer is stuck

# Defects that are judged on our own servers only: a gateway tidies paths, no source says which names a platform
# changes or which code belongs to which operation, and one source answers a body that it cannot read with 500.
OWN_ONLY: Final = frozenset({
    "code_of_another_area", "code_of_another_call", "dots_climb", "empty_segments_vanish", "fails_on_deep_json",
    "folder_names_in_html", "names_are_trimmed", "names_taken_in_any_case", "slashes_are_decoded",
})  # fmt: skip

# One or two of each kind, each caught within seconds: what `make test` has time for.
SMOKE: Final = (
    "missing_key", "strangers_may_look", "bulk_in_pieces", "total_of_the_page", "downloads_are_cut",
    "success_of_another_status", "nothing_to_report",
)  # fmt: skip
Behind = Callable[[Target], contextlib.AbstractContextManager[Target]]


def run_mutant(
    name: str, seed: int, phases: Sequence[str] = tuple(suite.PHASES), behind: Behind = contextlib.nullcontext
) -> dict[str, Any]:
    """The first finding on the mock with this defect; "caught" is None if there is none. `behind`: a gateway."""
    began, calls, caught = time.monotonic(), 0, None
    with served(name, seed) as mutant, behind(mutant) as target:
        for phase in phases:
            outcome = suite.PHASES[phase](suite.Run(target, Options(seed), first=True))
            calls += outcome.counts.calls
            if outcome.findings:
                finding = outcome.findings[0]
                caught = {"phase": outcome.phase, "check": finding.check, "message": finding.message[:300]}
                break
    return {"name": name, "caught": caught, "calls": calls, "seconds": time.monotonic() - began}


def run(options: Options, say: Callable[[str], None] = print) -> int:
    """Try every mutant, print and write the table. 0: all were caught, and the unbroken mock passed."""
    phases = options.only or tuple(suite.PHASES)
    options.check_phases(suite.PHASES)
    began, results = time.monotonic(), []
    names = [UNBROKEN, *(name for name in DEFECTS if not options.behind or name not in OWN_ONLY)]
    where = f" behind {options.behind}" if options.behind else ""
    say(f"{len(names) - 1} mutants and the unbroken mock{where}, seed {options.seed}, phases: {', '.join(phases)}")
    for result in tried(names, options.seed, phases, behind_nginx if options.behind else contextlib.nullcontext):
        results.append(result)
        say(line(result))
    results.sort(key=lambda result: names.index(result["name"]))
    seconds = time.monotonic() - began
    survivors = [result["name"] for result in results if result["name"] != UNBROKEN and not result["caught"]]
    unbroken = results[0]
    options.reports.mkdir(parents=True, exist_ok=True)
    (options.reports / "mutants.md").write_text(markdown(results, options.seed, seconds))
    caught = sum(bool(result["caught"]) for result in results[1:])
    say(f"\n{caught} of {len(names) - 1} caught in {seconds:.0f} s. Report: {options.reports / 'mutants.md'}.")
    if unbroken["caught"]:
        say(f"The unbroken mock has a finding: {unbroken['caught']}")
    if survivors:
        say(f"SURVIVED: {', '.join(survivors)}")
    return 1 if survivors or unbroken["caught"] else 0


def _attempt(name: str, seed: int, phases: Sequence[str], behind: Behind) -> dict[str, Any]:
    """Try a mutant in a process of the pool, which may be ended at any time and then ends what it started."""
    tidy_on_signals()
    try:
        return run_mutant(name, seed, phases, behind)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def tried(names: Sequence[str], seed: int, phases: Sequence[str], behind: Behind) -> Iterator[dict[str, Any]]:
    """Try these mutants; yields each result when it is known. Raises RuntimeError if one is stuck."""
    attempt = functools.partial(_attempt, seed=seed, phases=phases, behind=behind)
    ignore = signal.signal, (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends this process, and that ends the others
    with multiprocessing.get_context("spawn").Pool(PROCESSES, *ignore, maxtasksperchild=1) as pool:
        results = pool.imap_unordered(attempt, names)
        try:
            for _ in names:
                yield results.next(TIMEOUT)
        except multiprocessing.TimeoutError:
            raise RuntimeError(f"No mutant was finished for {TIMEOUT:.0f} s.") from None


def line(result: dict[str, Any]) -> str:
    caught = result["caught"]
    if caught is None:
        verdict = "passed everything" if result["name"] == UNBROKEN else "SURVIVED"
    else:
        verdict = f"{caught['phase']}: {caught['check']}"
    return f"{result['name']:32} {result['calls']:6} calls {result['seconds']:5.1f} s  {verdict}"


def markdown(results: Sequence[dict[str, Any]], seed: int, seconds: float) -> str:
    by_phase = Counter(result["caught"]["phase"] for result in results if result["caught"])
    lines = [
        "# Mutants",
        "",
        f"{sum(by_phase.values())} of {len(results) - 1} caught in {seconds:.0f} s, seed {seed}; by "
        + ", ".join(f"{phase} {count}" for phase, count in by_phase.most_common())
        + ". Each was tried up to its first finding, cheap phases first.",
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
