"""The whole suite on one server: its phases in turn, the least that each must have done, and the reports.

Every claim has a layer: contract is judged on any server, transport on our own. A gateway in front of another server
may answer what no client sends in its own way, and that becomes a note. Findings of one cause are shown once.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from tests.contract import document, forced_statuses, report
from tests.contract.answer import SHORT_TOKEN, Broken
from tests.contract.client import CallCounts
from tests.contract.findings import Finding, Outcome, causes, notes
from tests.contract.model.model import Context
from tests.contract.model.run import EXAMPLES, STEPS, play
from tests.contract.options import Options, check_target
from tests.contract.requests import client as raw_client
from tests.contract.schemathesis import run as schemathesis_run
from tests.contract.server import Target, mock_arguments, started

SCENARIOS: Final = 120  # of the stateful phase, which makes about 180. With fewer it stopped early
WHOLE_LIVES: Final = 40  # uploads that schemathesis completes: about 130
LINKS: Final = 0.8  # of the links; a seed may miss one or two
MORE_SEEDS: Final = 2  # for another try of a stateful phase that stopped early
CALLS: Final = 14_000  # of all phases, on a server without anything of ours
SHOWN: Final = 20  # causes on the terminal; the report has them all


@attrs.frozen
class Run:
    """The input of a phase. `first`: stop at the first finding. `before`: the phases that ran before it."""

    target: Target
    options: Options
    before: tuple[Outcome, ...] = ()
    first: bool = False

    @property
    def seen(self) -> CallCounts:
        return CallCounts.of(outcome.counts for outcome in self.before)


def unit(run: Run) -> Outcome:
    """Schemathesis' examples, boundary values and random cases."""
    options = run.options
    return schemathesis_run.run(
        run.target, schemathesis_run.UNIT, options.seed, reports=None if run.first else options.reports, first=run.first
    )


def stateful(run: Run) -> Outcome:
    """Schemathesis' scenarios along the links. It may stop early and report success: then other seeds are tried."""
    seed, reports = run.options.seed, None if run.first else run.options.reports
    outcome = floors(
        schemathesis_run.run(run.target, schemathesis_run.STATEFUL, seed, reports=reports, first=run.first), run.target
    )
    for more in range(1, MORE_SEEDS + 1):
        if not outcome.too_few or outcome.findings or run.first:
            break
        other = floors(schemathesis_run.run(run.target, schemathesis_run.STATEFUL, seed + more), run.target)
        other.counts.update(outcome.counts)
        other.seconds += outcome.seconds
        outcome = other
    return outcome


def model(run: Run, *, examples: int = EXAMPLES, steps: int = STEPS) -> Outcome:
    """The state machine, with connections of its own."""
    api = run.target.api()
    try:
        context = Context.on(run.target, api)
    except Broken as error:
        api.close()
        outcome = Outcome("model", own=run.target.own)
        outcome.found("an upload can be started and aborted", Finding.of(error, api.trace))
        return outcome
    with contextlib.closing(context):
        return play(context, run.options.seed, examples=examples, steps=steps, shrink=not run.first)


def raw(run: Run) -> Outcome:
    """Requests that no generator sends."""
    return raw_client.run(run.target, raw_client.CLAIMS, first=run.first)


def forced(run: Run) -> Outcome:
    """Declared statuses that no other phase saw."""
    return forced_statuses.run(run.target, run.seen, run.options.seed, limits=not run.first)


# In the order in which they run: the cheap ones first; `forced` needs to know which statuses the others saw.
PHASES: Final[dict[str, Callable[[Run], Outcome]]] = {
    "raw": raw, "model": model, "unit": unit, "stateful": stateful, "forced": forced,
}  # fmt: skip


def run(options: Options, say: Callable[[str], None] = print) -> int:
    """Run every phase, write the reports, print the result. 0: no finding. 1: findings."""
    options.check_phases(PHASES)
    with _server(options) as target:
        say(f"{target.base_url}, seed {options.seed}")
        if not target.own:
            say(f"The run makes about {CALLS:,} calls. If the rate limit is used up, it waits for the next window.")
        if len(target.token) < SHORT_TOKEN:
            say(f"TOKEN is shorter than {SHORT_TOKEN} characters: whether answers contain it is not checked.")
        outcomes: list[Outcome] = []
        for name, phase in PHASES.items():
            if not options.only or name in options.only:
                outcome = phase(Run(target, options, tuple(outcomes)))
                outcomes.append(outcome)
                say(line(outcome))
        if target.own and not options.only:
            seen = CallCounts.of(outcome.counts for outcome in outcomes)
            forced_statuses.demand_everything(outcomes[-1], seen, follows=bool(causes(outcomes)))
    report.write(options.reports, outcomes, options.seed, target)
    return conclude(outcomes, options, target, say)


def floors(outcome: Outcome, target: Target) -> Outcome:
    """Report it if the stateful phase stopped early."""
    covered, links = outcome.facts["links"]
    if target.own:
        links -= document.links_at(forced_statuses.UNREACHABLE)
    scenarios, completed = outcome.facts["scenarios"], outcome.counts.lives["completed"]
    least = SCENARIOS if target.own else SCENARIOS // 12  # Hypothesis gives up earlier if nothing can be reset
    outcome.demand(scenarios >= least, f"{scenarios} scenarios were run; at least {least} are needed")
    right = links * LINKS if target.own else links // 2
    outcome.demand(links > 0 and covered >= right, f"only {covered} of {links} links were followed")
    lives = WHOLE_LIVES if target.own else 1
    outcome.demand(
        completed >= lives, f"{completed} uploads were completed along the links; at least {lives} are needed"
    )
    return outcome


def line(outcome: Outcome) -> str:
    """A phase in one line."""
    calls = outcome.counts.calls
    rate = f"{calls / max(outcome.seconds, 0.001):.0f}/s"
    found = len(causes([outcome]))
    verdict = f"{found} finding{'s' * (found != 1)}" if found else "too little tried" if outcome.too_few else "passed"
    kinds = len(notes([outcome]))
    verdict += f", {kinds} note{'s' * (kinds != 1)}" if kinds else ""
    return f"{outcome.phase:32} {calls:6} calls {outcome.seconds:6.1f} s {rate:>7}  {verdict}"


def conclude(outcomes: list[Outcome], options: Options, target: Target, say: Callable[[str], None]) -> int:
    """Print what was found and where the reports are."""
    found = causes(outcomes)
    for number, cause in enumerate(found[:SHOWN], 1):
        say("\n" + report.describe(number, cause, target))
    if len(found) > SHOWN:
        say(f"\nThe report has {len(found) - SHOWN} more findings.")
    noted = notes(outcomes)
    if noted:
        say(f"\n{len(noted)} notes about requests that no client sends, which a gateway may answer in its own way:")
        for note in noted:
            say(f"- {report.note_line(note)}")
    few = [f"{outcome.phase}: {message}" for outcome in outcomes for message in outcome.too_few]
    if few:
        lead = "\nNot tried enough, perhaps because of the findings:" if found else "\nNot tried enough to prove much:"
        say("\n".join((lead, *(f"- {each}" for each in few))))
    total = CallCounts.of(outcome.counts for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    lives = ", ".join(f"{count} {what}" for what, count in total.lives.items())
    say(f"\n{total.calls} calls and {total.puts} puts in {seconds:.0f} s; uploads: {lives}.")
    say(f"Report: {options.reports / 'contract.md'}, and contract.xml beside it for CI.")
    if found:
        say("To send the requests of a finding again: python -m tests.contract replay NUMBER")
        plural = "s" * (len(found) != 1)
        say(f"FAILED with {len(found)} finding{plural}. To repeat this run: make contract SEED={options.seed}")
        return 1
    say(f"Passed, seed {options.seed}.")
    return 0


@contextlib.contextmanager
def _server(options: Options) -> Iterator[Target]:
    """The given server, or a mock during the run."""
    given = options.given_target()
    if given is not None:
        check_target(given)
        yield given
        return
    with started(mock_arguments(options.seed)) as target:
        yield target
