"""The outcome of a phase, and the findings of a run grouped by cause."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import attrs

from tests.contract.answer import CONTRACT, TRANSPORT, Answer, Broken
from tests.contract.client import CallCounts
from tests.contract.trace import Steps, Trace

# What the suite's own code raises if an answer lacks what it needs. That answer has a finding already.
FOLLOWING: Final = frozenset({"AttributeError", "IndexError", "KeyError", "StopIteration", "TypeError", "ValueError"})


@attrs.frozen
class Finding:
    """Something that is wrong: the check that found it, where, and the requests that lead to it.

    `moves` are the moves of the model that lead to it, `claim` is the function that failed, `kind` is for notes.
    """

    check: str
    wrong: str
    answer: Answer | None = None
    layer: str = CONTRACT
    steps: Steps = ()
    moves: str = ""
    kind: str = ""
    claim: str = ""

    @classmethod
    def of(cls, error: BaseException, trace: Trace | None = None, *, layer: str = CONTRACT, kind: str = "") -> Self:
        """A finding from an exception. `layer` and `kind` are those of the claim that failed."""
        if isinstance(error, BaseExceptionGroup):
            return cls.of(error.exceptions[0], trace, layer=layer, kind=kind)
        if not isinstance(error, Broken):
            last = trace.answers[-1] if trace is not None and trace.answers else None
            steps = trace.before(last) if trace is not None and last is not None else ()
            return cls(type(error).__name__, str(error), steps=steps, layer=layer, kind=kind)
        answer = error.answer
        if answer is None:
            return cls(error.check, error.wrong, layer=layer, kind=kind)
        steps = trace.before(answer) if trace is not None else (answer,)
        layer, kind = layer_of(answer, error.check, layer, kind)
        return cls(error.check, error.wrong, answer, layer, steps, kind=kind)

    @property
    def place(self) -> str:
        return self.answer.place if self.answer else ""

    @property
    def message(self) -> str:
        return f"{self.place}: {self.wrong}" if self.place else self.wrong

    @property
    def cause(self) -> tuple[str, int, str]:
        """What findings of one cause have in common: the check, the status, and what is wrong without its values."""
        wrong = self.wrong.partition("; the body is ")[0]
        wrong = re.sub(r"""(['"])(?:(?!\1).){25,}\1|[0-9A-Za-z]{20,}|\d+""", "#", wrong)
        return self.check, self.answer.status if self.answer else 0, re.sub(r"#(, #)+", "#", wrong)


def layer_of(answer: Answer, check: str, layer: str = CONTRACT, kind: str = "") -> tuple[str, str]:
    """Whether what is wrong with an answer concerns every server, or only one without a gateway in front of it.

    A token in an answer concerns every server, and so does a failure that the API itself reports.
    """
    oddity = answer.request.oddity
    if check == "token_in_answer" or (answer.status >= 500 and answer.is_json):
        return CONTRACT, ""
    if oddity is not None:
        return TRANSPORT, oddity
    return layer, kind


@attrs.define
class Outcome:
    """One phase. `claims` are the cases of the JUnit report: a name, and the finding if there is one.

    `own`: the server is ours; on any other, findings of the transport layer become notes. `too_few` has what the phase
    did not do often enough.
    """

    phase: str
    own: bool = True
    seconds: float = 0.0
    counts: CallCounts = attrs.field(factory=CallCounts)
    claims: list[tuple[str, Finding | None]] = attrs.field(factory=list)
    facts: dict[str, Any] = attrs.field(factory=dict)
    notes: list[Finding] = attrs.field(factory=list)
    too_few: list[str] = attrs.field(factory=list)

    @property
    def findings(self) -> list[Finding]:
        return [finding for _, finding in self.claims if finding is not None]

    def found(self, name: str, finding: Finding | None) -> None:
        if finding is not None and finding.layer == TRANSPORT and not self.own:
            self.notes.append(finding)
            finding = None
        self.claims.append((name, finding))

    def demand(self, good: bool, message: str) -> None:
        """Note `message` unless the phase did enough."""
        if not good:
            self.too_few.append(message)

    @contextmanager
    def timed(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began

    @contextmanager
    def claim(self, name: str, trace: Trace | None = None, *, layer: str = CONTRACT) -> Iterator[None]:
        """A block that is one case of the report; what it raises is a finding."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a broken server makes happen is the finding
            self.found(name, Finding.of(error, trace, layer=layer, kind=name.rstrip(".")))
        else:
            self.found(name, None)


@attrs.define
class Cause:
    """Findings of one cause, of which the one with the fewest requests is shown."""

    shown: Finding
    places: Counter[str]

    @property
    def times(self) -> int:
        return self.places.total()

    @property
    def seen_on(self) -> str:
        return ", ".join(f"{place} x {times}" if times > 1 else place for place, times in self.places.most_common())


def causes(outcomes: Sequence[Outcome]) -> list[Cause]:
    """The findings of a run, one for each cause, the most frequent first."""
    found: dict[tuple[str, int, str], Cause] = {}
    for finding in _all(outcomes):
        cause = found.setdefault(finding.cause, Cause(finding, Counter()))
        cause.places[finding.place or "the suite"] += 1
        if finding.steps and len(finding.steps) < (len(cause.shown.steps) or 99):
            cause.shown = finding
    return sorted(found.values(), key=lambda cause: -cause.times)


def _all(outcomes: Sequence[Outcome]) -> Iterable[Finding]:
    """Every finding. An exception within the suite counts only if there is no other finding."""
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    return [finding for finding in findings if finding.check not in FOLLOWING] or findings


def notes(outcomes: Sequence[Outcome]) -> list[Cause]:
    """The notes of a run, one for each kind."""
    found: dict[str, Cause] = {}
    for outcome in outcomes:
        for note in outcome.notes:
            cause = found.setdefault(note.kind, Cause(note, Counter()))
            cause.places[note.place or outcome.phase] += 1
    return list(found.values())
