"""The whole suite on one server: the phases in turn, the floors, the reports."""

import contextlib
from collections.abc import Callable, Iterator

from tests.contract import document, forced_statuses, report, requests
from tests.contract.answer import Broken
from tests.contract.call_counts import CallCounts
from tests.contract.findings import Finding, Outcome
from tests.contract.model.context import Context
from tests.contract.model.run import EXAMPLES, STEPS, play
from tests.contract.options import Options, UsageError
from tests.contract.requests import client as raw_client
from tests.contract.schemathesis import run as schemathesis_run
from tests.contract.server import Target, mock_arguments, started

SCENARIOS = 120  # of the stateful phase; about 180 are made. Below it the phase has stopped early, and says success
WHOLE_LIVES = 40  # uploads that schemathesis carries to the end; about 130 are
LINKS = 0.8  # of the links; a seed may miss a rare one or two
PHASES = ("unit", "stateful", "model", "raw", "forced")


def run(options: Options, say: Callable[[str], None] = print) -> int:
    """Run every phase, write the reports, say how it went. 0: no finding. 1: findings."""
    with _server(options) as target:
        say(f"{target.base_url}, seed {options.seed}")
        outcomes: list[Outcome] = []
        for name in PHASES:
            if not options.only or name in options.only:
                outcome = phase(name, target, options, outcomes)
                outcomes.append(outcome)
                say(line(outcome))
        if target.own and not options.only:
            forced_statuses.demand_everything(outcomes[-1], CallCounts.of(outcome.counts for outcome in outcomes))
    report.write(options.reports, outcomes, options.seed, target.base_url)
    return conclude(outcomes, options, say)


def phase(name: str, target: Target, options: Options, before: list[Outcome]) -> Outcome:
    """One phase by its short name."""
    seed = options.seed
    if name == "unit":
        return schemathesis_run.run(target, schemathesis_run.UNIT, seed, reports=options.reports)
    if name == "stateful":
        return demanded(schemathesis_run.run(target, schemathesis_run.STATEFUL, seed, reports=options.reports), target)
    if name == "model":
        return model(target, seed)
    if name == "raw":
        return raw_client.run(target, requests.CLAIMS)
    return forced_statuses.run(target, CallCounts.of(outcome.counts for outcome in before), seed)


def model(
    target: Target, seed: int, *, examples: int = EXAMPLES, steps: int = STEPS, shrink: bool = True, floor: bool = True
) -> Outcome:
    """The state machine, on a context of its own."""
    try:
        context = Context.on(target)
    except Broken as error:
        outcome = Outcome("model")
        outcome.found("a first upload can be started and aborted", Finding.of(error))
        return outcome
    with contextlib.closing(context):
        return play(context, seed, examples=examples, steps=steps, shrink=shrink, floor=floor)


def demanded(outcome: Outcome, target: Target) -> Outcome:
    """The floors of the stateful phase: it may stop early and say success."""
    covered, links = outcome.facts["links"]
    if target.own:
        links -= document.links_at(forced_statuses.UNREACHABLE)
    scenarios, completed = outcome.facts["scenarios"], outcome.counts.lives["completed"]
    floor = SCENARIOS if target.own else SCENARIOS // 12  # Hypothesis gives up earlier where nothing can be reset
    outcome.demand("scenarios were played", scenarios >= floor, f"{scenarios} scenarios, {floor} are the least")
    right = links * LINKS if target.own else links // 2
    outcome.demand(
        "links were followed", links > 0 and covered >= right, f"only {covered} of {links} links were followed"
    )
    least = WHOLE_LIVES if target.own else 1
    outcome.demand(
        "uploads were completed", completed >= least, f"{completed} uploads were completed, {least} are the least"
    )
    return outcome


def line(outcome: Outcome) -> str:
    """A phase in one line."""
    calls = outcome.counts.calls
    rate = f"{calls / max(outcome.seconds, 0.001):.0f}/s"
    verdict = f"{len(outcome.findings)} FINDINGS" if outcome.findings else "passed"
    return f"{outcome.phase:32} {calls:6} calls {outcome.seconds:6.1f} s {rate:>7}  {verdict}"


def conclude(outcomes: list[Outcome], options: Options, say: Callable[[str], None]) -> int:
    """Say what was found and where to read on."""
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    for finding in findings:
        say(f"\n{finding.check}: {finding.message[:1000]}")
        if finding.reproduce:
            say("  " + finding.reproduce[:3000].replace("\n", "\n  "))
    total = CallCounts.of(outcome.counts for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    lives = ", ".join(f"{count} {what}" for what, count in total.lives.items())
    say(f"\n{total.calls} calls and {total.puts} puts in {seconds:.0f} s; uploads: {lives}.")
    say(f"Read {options.reports / 'contract.md'}; for CI there is contract.xml beside it.")
    if findings:
        say(f"FAILED with {len(findings)} findings. The same again: make contract SEED={options.seed}")
        return 1
    say(f"Passed, seed {options.seed}.")
    return 0


@contextlib.contextmanager
def _server(options: Options) -> Iterator[Target]:
    """The given server, or a mock for the length of the run."""
    given = options.given_target()
    if given is not None:
        _look(given)
        yield given
        return
    with started(mock_arguments(options.seed)) as target:
        yield target


def _look(target: Target) -> None:
    """Raise UsageError if nothing answers or the token is refused: the whole run would only repeat that."""
    try:
        status = target.api(judge=False).call("getRateLimit").status
    except Broken as broken:
        why = broken.__cause__ or broken.message
        raise UsageError(f"{target.base_url} does not answer ({why}). Check BASE_URL.") from broken
    if status == 401:
        raise UsageError(f"{target.base_url} does not take the token. Check TOKEN.")
