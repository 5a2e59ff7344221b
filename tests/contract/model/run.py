"""Runs the machine: so many examples of so many steps, from a seed."""

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.answer import Broken
from tests.contract.findings import Finding, Outcome
from tests.contract.model.context import Context
from tests.contract.model.machine_files import UploadsAndFiles

EXAMPLES = 100
STEPS = 30


def play(
    context: Context,
    seed: int,
    *,
    examples: int = EXAMPLES,
    steps: int = STEPS,
    shrink: bool = True,
    floor: bool = True,
) -> Outcome:
    """Play and, with `floor`, demand that every outcome of `context.required` was reached."""
    outcome = Outcome("model")
    Broken.latest = None
    machine = hypothesis.seed(seed)(type("Machine", (UploadsAndFiles,), {"context": context}))
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with outcome.timed():
        try:
            run_state_machine_as_test(machine, settings=settings)
        except Exception as error:  # noqa: BLE001 - whatever a broken server makes happen is the finding
            outcome.found("the server does what the model does", _finding(error))
        else:
            outcome.found("the server does what the model does", None)
            missed = context.unreached() if floor else []
            outcome.demand("every outcome was reached", not missed, f"never reached: {', '.join(missed)}")
    outcome.counts.update(context.api.counts)
    if context.stranger:
        outcome.counts.update(context.stranger.counts)
    outcome.facts.update(examples=context.examples, reached=dict(sorted(context.reached.items())))
    return outcome


def _finding(error: BaseException) -> Finding:
    """The finding, with the moves that Hypothesis says lead to it."""
    moves = "\n".join(getattr(error, "__notes__", ()))
    hidden = Broken.latest if isinstance(error, hypothesis.errors.Flaky) else None
    finding = Finding.of(hidden or error)
    return Finding(finding.check, finding.message, f"{finding.reproduce}\n{moves}".strip())
