"""Runs the state machine: first a tour that reaches every outcome, then random examples from a seed."""

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.answer import Broken
from tests.contract.findings import Finding, Outcome
from tests.contract.model.machine_files import UploadsAndFiles
from tests.contract.model.model import Context

EXAMPLES = 100
STEPS = 30


def play(
    context: Context,
    seed: int,
    *,
    examples: int = EXAMPLES,
    steps: int = STEPS,
    shrink: bool = True,
    whole: bool = True,
) -> Outcome:
    """Run the machine. If `whole`, a tour must reach every outcome, whatever the seed."""
    outcome = Outcome("model", own=context.target.own)
    Broken.latest = None
    machine = type("Machine", (UploadsAndFiles,), {"context": context})
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
            if whole:
                tour(machine())
            run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=settings)
        except Exception as error:  # noqa: BLE001 - whatever a broken server makes happen is the finding
            outcome.found("the server behaves like the model", _finding(error, context))
        else:
            outcome.found("the server behaves like the model", None)
            missed = context.unreached() if whole else []
            outcome.demand(not missed, f"outcomes not reached: {', '.join(missed)}")
    outcome.counts.update(context.api.counts)
    if context.stranger:
        outcome.counts.update(context.stranger.counts)
    outcome.facts.update(examples=context.examples, reached=dict(sorted(context.reached.items())))
    return outcome


def tour(machine: UploadsAndFiles) -> None:
    """Reach every kind of outcome once, in a fixed order."""
    own, stranger = machine.context.target.own, machine.context.stranger
    machine.open_one(parts=2, rest=0, sized=True)
    machine.bad_number(0, "0")
    machine.odd_boolean(0, "yes")
    machine.put(0, 0, again=False)
    machine.put(0, 0, again=True)
    machine.report_one(0, quoted=False, wrong=False)
    for twice, bad, quoted in ((True, False, True), (False, False, False), (False, True, False), (True, True, False)):
        machine.report_many(0, twice, bad, quoted)
    machine.abort(0)
    machine.open_one(parts=2, rest=0, sized=True)
    machine.complete(0, "null")
    machine.spoil(0, "wrong etag")
    if stranger is not None:
        machine.stranger(0)
    machine.list_uploads(2)
    machine.finish(0, "owed")
    machine.use_ended(0, 0)
    machine.start(0, 1, -1, sized=True, old_name=False, overwrite=False)
    machine.finish(0, "nothing")
    machine.start(0, 1, 0, sized=not own, old_name=False, overwrite=False)
    machine.look(0, "True")
    machine.abort(0)
    machine.start(0, 1, 0, sized=True, old_name=True, overwrite=False)
    machine.race(overwrite=False, parts=1, rest=0, where=0)
    machine.race(overwrite=True, parts=1, rest=0, where=0)
    machine.look_at_file(0)
    machine.list_place(0, 2)
    machine.find_by_name(0)
    machine.edit(0, {"note": "1"}, ["pilot"])
    machine.edit(0, {"sample_id": "é"}, None)
    machine.rename(0)
    machine.make_folder(0, old_name=False)
    machine.start(1, 1, 0, sized=True, old_name=False, overwrite=False)
    machine.full_folder(0)
    machine.delete(0)
    machine.use_deleted(0)
    machine.teardown()


def _finding(error: BaseException, context: Context) -> Finding:
    """The finding, with the moves that lead to it according to Hypothesis."""
    moves = "\n".join(getattr(error, "__notes__", ()))
    hidden = Broken.latest if isinstance(error, hypothesis.errors.Flaky) else None
    finding = Finding.of(hidden or error, context.api.trace)
    return Finding(finding.check, finding.wrong, finding.answer, finding.layer, finding.steps, moves, finding.kind)
