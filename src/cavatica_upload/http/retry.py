"""What to do with an answer, or with none: take it, try again, give up. No sockets, no sleeping, no threads.

An `Exchange` is one call of the API with all its attempts. The transports feed it what happened and do what it says:

======================================  ====================================================================
answered 2xx, with JSON if it matters   take it
no connection                           again
429                                     again after the reset; not counted among the attempts
503/0, maintenance                      again after a long pause, until the deadline
409/8008, 503 saying "not now"          again: the platform says that it did nothing
other 5xx, answer lost, garbled 2xx     again where a second time does no harm (`operations.py`), else give up
404/8003 on a repeated abort            take it: the abort whose answer was lost did it
everything else                         give up
======================================  ====================================================================

Pauses are drawn evenly between nothing and a limit that doubles (full jitter), so that many clients do not come back
at once.
"""

import json
import random
import time
from collections.abc import Callable, Mapping

import attrs

from cavatica_upload.api.operations import Operation
from cavatica_upload.api.problems import error_of
from cavatica_upload.budget.ratelimit import MARGIN, wait_asked_for
from cavatica_upload.errors import (
    ApiError,
    CavaticaError,
    CertificateUntrusted,
    ConnectionFailed,
    PartNotReserved,
    RateLimited,
    UnexpectedAnswer,
)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
MOST_RATE_LIMITED = 12
"""Windows to sit out for one call: an hour of those of five minutes."""

# docs.cavatica.org, API status codes: maintenance, rate limit, file service down, upload service down, part not
# reserved (try again), service unavailable. The platform itself says that it did nothing.
_NOT_DONE = {0, 1000, 5000, 8000, 8008, 90005}
_FINAL_5XX = {501, 505, 511}  # will be so again: not implemented, HTTP version, a network that wants a login


@attrs.frozen
class Policy:
    """How persistent to be: `attempts` in all, and seconds for a call with all its pauses but those of rate limits.

    While no answer comes at all, a call that may be repeated is tried for `retry_for` seconds at least.
    """

    attempts: int = 5
    deadline: float = 900.0
    retry_for: float = 0.0


@attrs.frozen
class Answer:
    """An answer that came whole; the body is decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen
class Lost:
    """No whole answer: why, in words, whether the server may have acted, and whether trying again is pointless.

    `untrusted` is a certificate that cannot be verified.
    """

    reason: str
    maybe_acted: bool
    hopeless: bool = False
    untrusted: bool = False
    hint: str | None = None


@attrs.frozen
class Take:
    """The answer is good; `instead` is the status to answer with where it was one that means success only here."""

    instead: int | None = None


@attrs.frozen
class Again:
    """Try again after `delay` seconds; `rate_limited` where the server asked for the pause."""

    delay: float
    reason: str
    rate_limited: bool = False


@attrs.frozen
class GiveUp:
    """Raise this."""

    error: CavaticaError


Verdict = Take | Again | GiveUp


class Exchange:
    """One call with its attempts; `clock` returns seconds that only go forward, `wall` epoch seconds."""

    def __init__(
        self,
        operation: Operation,
        policy: Policy,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.operation = operation
        self._policy = policy
        self._clock = clock
        self._wall = wall
        self._uniform = uniform
        self._started = clock()
        self._excused = 0.0
        self._attempts = 0
        self._limited = 0
        self._acted = False

    @property
    def attempts(self) -> int:
        """Attempts that were judged."""
        return self._attempts + self._limited

    @property
    def time_left(self) -> float:
        """Seconds to the deadline."""
        return self._started + self._excused + self._policy.deadline - self._clock()

    def excuse(self, seconds: float) -> None:
        """Push the deadline back by the time that was spent waiting for the rate limit."""
        self._excused += seconds

    def lost(self, loss: Lost) -> Verdict:
        """Judge an attempt that brought no whole answer."""
        self._attempts += 1
        kind = CertificateUntrusted if loss.untrusted else ConnectionFailed
        error = kind(
            f"{self.operation.name} failed: {loss.reason}.",
            loss.hint or "Check the network and the endpoint, and run the same command again.",
            operation=self.operation.name,
        )
        patient = self._clock() - self._started < self._policy.retry_for
        return self._again_or(error, loss.reason, may_act=loss.maybe_acted, final=loss.hopeless, patient=patient)

    def answered(self, answer: Answer) -> Verdict:
        """Judge an answer by its status, the platform's code in it, and what came before it."""
        if 200 <= answer.status < 300:
            trouble = self._trouble(answer)
            if trouble is None:
                return Take()
            self._attempts += 1
            failed = UnexpectedAnswer(
                f"{self.operation.name} failed: the server answered {answer.status} with {trouble}.",
                "Check the endpoint, and whether a proxy answers in its place.",
                status=answer.status,
                operation=self.operation.name,
            )
            return self._again_or(failed, trouble, may_act=True)
        error = error_of(answer.status, answer.headers, answer.body, self.operation.name)
        if isinstance(error, RateLimited):
            return self._rate_limited(error, answer)
        self._attempts += 1
        if error.status == 404 and error.code is not None and self._acted and self.operation.gone_is_done:
            return Take(instead=204)
        reason = f"{error.status}" if error.reason is None else f"{error.status}, {error.reason}"
        if error.maintenance:
            return self._pause_or(error, reason, self._uniform(LONGEST_PAUSE / 2, LONGEST_PAUSE))
        not_done = error.code in _NOT_DONE
        if (answer.status >= 500 and answer.status not in _FINAL_5XX) or isinstance(error, PartNotReserved):
            return self._again_or(error, reason, may_act=not not_done)
        if error.status in (408, 425):
            return self._again_or(error, reason, may_act=True)
        return self._give_up(error)

    def _rate_limited(self, error: ApiError, answer: Answer) -> Verdict:
        self._limited += 1
        if self._limited > MOST_RATE_LIMITED:
            return self._give_up(error)
        asked = wait_asked_for(answer.headers, self._wall())
        delay = self._uniform(0, LONGEST_PAUSE) if asked is None else asked + MARGIN + self._uniform(0, 1)
        return Again(delay, "the rate limit is reached", rate_limited=True)

    def _again_or(
        self, error: CavaticaError, reason: str, *, may_act: bool, final: bool = False, patient: bool = False
    ) -> Verdict:
        self._acted = self._acted or (may_act and not self.operation.reads)
        exhausted = self._attempts >= self._policy.attempts and not patient
        if final or exhausted or (may_act and not self.operation.repeatable):
            return self._give_up(error)
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._attempts - 1, 20))
        return self._pause_or(error, reason, self._uniform(0, longest))

    def _pause_or(self, error: CavaticaError, reason: str, delay: float) -> Verdict:
        if delay >= self.time_left:
            return self._give_up(error)
        return Again(delay, reason)

    def _give_up(self, error: CavaticaError) -> GiveUp:
        error.maybe_acted = self._acted
        if self.attempts > 1:
            error.add_note(f"Tried {self.attempts} times in {self._clock() - self._started:.0f} s.")
        return GiveUp(error)

    def _trouble(self, answer: Answer) -> str | None:
        """Say what is wrong with a success, None if nothing is."""
        body = answer.body.strip()
        if not self.operation.needs_body:
            # The status says it all, whatever else comes. A page is a proxy's, which may have kept the request to
            # itself: where a second time does no harm, it is made.
            return "a page of HTML" if body.startswith(b"<") and self.operation.repeatable else None
        if not body:
            return "nothing" if self.operation.reads else None
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            return "something that is not JSON"
        return None
