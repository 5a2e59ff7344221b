"""The visit from its first call to the report."""

import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from cavatica_upload.config import find_settings
from cavatica_upload.errors import ConfigError
from tests.contract import report
from tests.contract.answer import Answer, Broken
from tests.contract.client import ApiClient
from tests.contract.findings import Finding, Outcome, causes
from tests.contract.known_uploads import KnownUploads
from tests.contract.live.checks import Walk
from tests.contract.live.cleanup import Cleanup
from tests.contract.live.drift import Drift, Drifted, read_baseline, write_baseline
from tests.contract.live.rate_budget import RateBudget
from tests.contract.model.context import Context
from tests.contract.model.run import play
from tests.contract.options import Options, UsageError
from tests.contract.server import Target

EXAMPLES = 4  # of the model; about 40 calls each
STEPS = 10
TIMEOUT = 60.0
BASELINE = Path("drift-baseline.json")  # the known drifts of platforms, to be committed by whoever keeps it


def run(options: Options, say: Callable[[str], None] = print) -> int:
    """Visit. 0: the answers fit the document. 1: they do not, or something was left behind. 130: interrupted.

    Drifts in the baseline do not count; BASELINE=keep adds those that were seen to it.
    """
    target = _target(options)
    visit = Visit(target, options.share, say)
    say(f"{target.base_url}, project {target.project}, everything named contract-{target.run}-…, seed {options.seed}")
    interrupted = False
    try:
        with _interruptible():
            visit.look(options.seed)
    except KeyboardInterrupt:
        interrupted = True
        say("Interrupted: cleaning up. Please wait.")
    except Broken as error:
        first = Outcome("first steps", own=False)
        first.found("the visit can begin", Finding.of(error, visit.api.trace))
        visit.outcomes.append(first)
    with _uninterruptible():
        left = visit.clean_up()
    known = read_baseline(BASELINE, target.base_url)
    drift = visit.drift.markdown(f"Drift of {target.base_url} from openapi.yaml", known)
    options.reports.mkdir(parents=True, exist_ok=True)
    (options.reports / "drift.md").write_text(drift)
    report.write(options.reports, visit.outcomes, options.seed, target, name="live")
    say("\n" + drift)
    if options.keep_drifts and not interrupted:
        write_baseline(BASELINE, target.base_url, visit.drift.broken | known)
        say(f"{len(visit.drift.broken | known)} known drifts of {target.base_url} are in {BASELINE}.")
        known = visit.drift.broken
    return visit.conclude(left, options, known, interrupted=interrupted)


class Visit:
    """One visit: the connection with its budget, and what was made."""

    def __init__(self, target: Target, share: float, say: Callable[[str], None]) -> None:
        self.target, self.say = target, say
        self.cleanup = Cleanup(f"contract-{target.run}-")
        self.budget = RateBudget(share, lambda: len(self.cleanup), say)
        self.drift = Drift()
        self.outcomes: list[Outcome] = []
        self.api = ApiClient(
            target.base_url, target.token, judge=False, timeout=TIMEOUT, before=self.budget.before, watch=self.watch
        )

    def watch(self, answer: Answer) -> None:
        self.cleanup.observe(answer)
        self.budget.observe(answer)
        self.drift.observe(answer)

    def look(self, seed: int) -> None:
        """Walk through every operation, then play with the model."""
        self.api.call("getRateLimit").expect(200)
        budget = self.budget
        self.say(f"{budget.limit} calls in a window; {budget.limit - budget.floor} of them may be used here")
        owner, _, name = self.target.project.partition("/")
        self.api.call("getProject", project_owner=owner, project_name=name).expect(200)
        known = KnownUploads(self.api, self.target.project, self.target.run)
        body = {"project": self.target.project, "name": f"contract-{self.target.run}-home", "type": "folder"}
        home: str = self.api.call("createFolder", body=body).expect(200, 201).json()["id"]
        walk = Outcome("walk", own=False)
        self.outcomes.append(walk)
        with walk.timed():
            Walk(self.api, known, home).take(walk)
        context = Context.on(self.target, self.api, home=home)
        self.outcomes.append(play(context, seed, examples=EXAMPLES, steps=STEPS, shrink=False, whole=False))
        walk.counts, self.outcomes[-1].counts = self.outcomes[-1].counts, walk.counts  # one connection, counted once

    def clean_up(self) -> list[str]:
        """Take away what was made, over a fresh connection. What could not be."""
        self.api.close()
        self.budget.cleaning = True
        try:
            return self.cleanup.clean(self.api)
        except Broken as error:
            return [error.message]

    def conclude(self, left: list[str], options: Options, known: set[Drifted], *, interrupted: bool) -> int:
        findings = causes(self.outcomes)
        for number, cause in enumerate(findings, 1):
            self.say(report.told(number, cause, self.target.scene, replayable=False) + "\n")
        for each in left:
            self.say(f"LEFT BEHIND: {each}")
        budget = self.budget
        left_to_us = "no limit was told"
        if budget.lowest is not None:
            left_to_us = f"at least {budget.lowest} of {budget.limit} were left at any time"
        self.say(f"{budget.used} calls; {left_to_us}; {budget.refused} answers of 429; {len(left)} things left behind.")
        self.say(f"Read {options.reports / 'drift.md'} and live.md beside it.")
        if interrupted:
            return 130
        return 1 if findings or left or self.drift.broken - known else 0


def _target(options: Options) -> Target:
    """Whom to visit, and where everything may go. Raises UsageError."""
    if options.project is None:
        raise UsageError("A visit makes files: name a project for them, as in make contract-live PROJECT=owner/name")
    try:
        settings = find_settings(options.token, options.base_url, options.profile)
    except ConfigError as error:
        raise UsageError(f"{error.message} {error.hint or ''}".strip()) from None
    run_name = f"live-{secrets.token_hex(4)}"
    return Target(settings.endpoint, settings.token, options.project, own=False, run=run_name)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM is like Ctrl-C: there is something to clean up."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _uninterruptible() -> Iterator[None]:
    """Cleaning up is not broken off by another Ctrl-C."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
