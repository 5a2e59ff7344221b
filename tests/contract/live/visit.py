"""The visit from its first call to the report."""

import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from cavatica_upload.config import find_settings
from cavatica_upload.errors import ConfigError
from tests.contract import report
from tests.contract.answer import Answer, Broken
from tests.contract.ledger import Ledger
from tests.contract.live.allowance import Allowance
from tests.contract.live.belongings import Belongings
from tests.contract.live.drift import Drift
from tests.contract.live.walk import Walk
from tests.contract.model.play import play
from tests.contract.model.stage import Stage
from tests.contract.options import Misuse, Options
from tests.contract.outcome import Finding, Outcome
from tests.contract.target import Target
from tests.contract.wire import Wire

EXAMPLES = 4  # of the model; about 40 calls each
STEPS = 10
TIMEOUT = 60.0


def run(options: Options, say: Callable[[str], None] = print) -> int:
    """Visit. 0: the answers fit the document. 1: they do not, or something was left behind. 130: interrupted."""
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
        visit.outcomes.append(Outcome("first steps", claims=[("the visit can begin", Finding.of(error))]))
    with _uninterruptible():
        left = visit.clean_up()
    drift = visit.drift.markdown(f"Drift of {target.base_url} from openapi.yaml")
    options.reports.mkdir(parents=True, exist_ok=True)
    (options.reports / "drift.md").write_text(drift)
    report.write(options.reports, visit.outcomes, options.seed, target.base_url, name="live")
    say("\n" + drift)
    return visit.conclude(left, options, interrupted=interrupted)


class Visit:
    """One visit: the connection with its allowance, and what was made."""

    def __init__(self, target: Target, share: float, say: Callable[[str], None]) -> None:
        self.target, self.say = target, say
        self.belongings = Belongings(f"contract-{target.run}-")
        self.allowance = Allowance(share, lambda: len(self.belongings), say)
        self.drift = Drift()
        self.outcomes: list[Outcome] = []
        self.wire = Wire(
            target.base_url, target.token, judge=False, timeout=TIMEOUT, before=self.allowance.before, watch=self.watch
        )

    def watch(self, answer: Answer) -> None:
        self.belongings.observe(answer)
        self.allowance.observe(answer)
        self.drift.observe(answer)

    def look(self, seed: int) -> None:
        """Walk through every operation, then play with the model."""
        self.wire.call("getRateLimit").expect(200)
        allowance = self.allowance
        self.say(f"{allowance.limit} calls in a window; {allowance.limit - allowance.floor} of them may be used here")
        owner, _, name = self.target.project.partition("/")
        self.wire.call("getProject", project_owner=owner, project_name=name).expect(200)
        ledger = Ledger(self.wire, self.target.project, self.target.run)
        body = {"project": self.target.project, "name": f"contract-{self.target.run}-home", "type": "folder"}
        home: str = self.wire.call("createFolder", body=body).expect(201).json()["id"]
        walk = Outcome("walk")
        self.outcomes.append(walk)
        with walk.timed():
            Walk(self.wire, ledger, home).take(walk)
        stage = Stage.on(self.target, self.wire, home=home)
        self.outcomes.append(play(stage, seed, examples=EXAMPLES, steps=STEPS, shrink=False, floor=False))
        walk.tally, self.outcomes[-1].tally = self.outcomes[-1].tally, walk.tally  # one connection, counted once

    def clean_up(self) -> list[str]:
        """Take away what was made, over a fresh connection. What could not be."""
        self.wire.close()
        self.allowance.cleaning = True
        try:
            return self.belongings.clean(self.wire)
        except Broken as error:
            return [error.message]

    def conclude(self, left: list[str], options: Options, *, interrupted: bool) -> int:
        findings = [finding for outcome in self.outcomes for finding in outcome.findings]
        for finding in findings:
            self.say(f"{finding.check}: {finding.message}\n  {finding.reproduce}\n")
        for each in left:
            self.say(f"LEFT BEHIND: {each}")
        allowance = self.allowance
        left_to_us = "no limit was told"
        if allowance.lowest is not None:
            left_to_us = f"at least {allowance.lowest} of {allowance.limit} were left at any time"
        self.say(
            f"{allowance.used} calls; {left_to_us}; {allowance.refused} answers of 429; {len(left)} things left behind."
        )
        self.say(f"Read {options.reports / 'drift.md'} and live.md beside it.")
        if interrupted:
            return 130
        return 1 if findings or left or self.drift.broken else 0


def _target(options: Options) -> Target:
    """Whom to visit, and where everything may go. Raises Misuse."""
    if options.project is None:
        raise Misuse("A visit makes files: name a project for them, as in make contract-live PROJECT=owner/name")
    try:
        settings = find_settings(options.token, options.base_url, options.profile)
    except ConfigError as error:
        raise Misuse(f"{error.message} {error.hint or ''}".strip()) from None
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
