"""What a phase of the suite came to."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import attrs

from tests.contract.answer import Broken
from tests.contract.call_counts import CallCounts


@attrs.frozen
class Finding:
    """Something that is wrong: the check that found it, what is wrong, and how to see it again."""

    check: str
    message: str
    reproduce: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """From what a phase raised."""
        if isinstance(error, Broken):
            return cls(error.check, error.message, error.curl)
        if isinstance(error, BaseExceptionGroup):
            return cls.of(error.exceptions[0])
        return cls(type(error).__name__, str(error))


@attrs.define
class Outcome:
    """One phase. `claims` are the cases of the JUnit report: a name, and the finding if there is one."""

    phase: str
    seconds: float = 0.0
    counts: CallCounts = attrs.field(factory=CallCounts)
    claims: list[tuple[str, Finding | None]] = attrs.field(factory=list)
    facts: dict[str, Any] = attrs.field(factory=dict)

    @property
    def findings(self) -> list[Finding]:
        return [finding for _, finding in self.claims if finding is not None]

    def found(self, name: str, finding: Finding | None) -> None:
        self.claims.append((name, finding))

    def demand(self, name: str, good: bool, message: str) -> None:
        """A floor: a phase that quietly did too little has failed."""
        self.found(name, None if good else Finding("floor", message))

    @contextmanager
    def timed(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Everything within is one case of the report; what it raises is a finding."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a broken server makes happen is the finding
            self.found(name, Finding.of(error))
        else:
            self.found(name, None)
