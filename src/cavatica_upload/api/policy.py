"""Retry decisions: the answer that is accepted, a Retry, or the error to raise. No sockets, no sleeping, no threads.

`CallAttempts` is one API call with all its attempts. The transports report each result and follow its decision:

======================================  ====================================================================
answered 2xx, with JSON if it matters   accept
no connection                           retry, for `retry_for` seconds at least
429                                     retry when the rate limiter allows; not counted if other calls get through
503/0, maintenance                      retry when the platform says, else after a long pause; not counted either
409/8008, 503 saying "not now"          retry: the platform says that it did nothing
other 5xx, answer lost, garbled 2xx     retry if a second time does no harm (`operations.py`), else fail
404/8003 on a repeated abort            accept: the abort whose answer was lost did it
everything else                         fail
======================================  ====================================================================

Retry-After is honoured with every status that is retried, if the deadline of the call allows.
"""

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import attrs

from cavatica_upload.api.operations import FREE, GONE_IS_DONE, Operation, failed
from cavatica_upload.api.rate_limit import read_headers
from cavatica_upload.api.responses import NOTHING, Answer, error_of
from cavatica_upload.errors import (
    ApiError,
    CavaticaError,
    CertificateUntrusted,
    ConnectionFailed,
    PartNotReserved,
    RateLimited,
)
from cavatica_upload.http.exchange import LARGEST, TransportFailure
from cavatica_upload.timing import Timing

MOST_RATE_LIMITED = 12
"""How often the server may refuse all calls before one fails: an hour, with windows of five minutes."""

LONGEST_PAUSE = 7 * 86400.0
"""The longest Retry-After in seconds that can be true; a longer one is ignored, so that it does not end a call."""

# docs.cavatica.org, API status codes: maintenance, rate limit, file service down, upload service down, part not
# reserved (try again), service unavailable. The platform itself says that it did nothing.
_NOT_DONE = {0, 1000, 5000, 8000, 8008, 90005}
_FINAL_5XX = {501, 505, 511}  # will be so again: not implemented, HTTP version, a network that wants a login


@attrs.frozen
class Policy:
    """Limits of the retries: the number of `attempts`, and the seconds of a call, waits for the rate limit excepted.

    While no answer comes at all, a call that may be repeated is tried for at least `retry_for` seconds.
    """

    attempts: int = 5
    deadline: float = 900.0
    retry_for: float = 0.0


@attrs.frozen
class Retry:
    """Retry after `delay` seconds; `rate_limited` and `maintenance` say what the server gave as the reason."""

    delay: float
    reason: str
    rate_limited: bool = False
    maintenance: bool = False


@attrs.define(eq=False)
class CallAttempts:
    """One call with its attempts; `clock` returns monotonic seconds, `wall` epoch seconds."""

    operation: Operation
    _policy: Policy
    _timing: Timing = attrs.field(factory=Timing)
    _clock: Callable[[], float] = time.monotonic
    _wall: Callable[[], float] = time.time
    _uniform: Callable[[float, float], float] = random.uniform
    _started: float = attrs.field(init=False)
    _deadline: float = attrs.field(init=False)
    _attempts: int = attrs.field(default=0, init=False)
    _limited: int = attrs.field(default=0, init=False)
    _acted: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._started = self._clock()
        self._deadline = self._started + self._policy.deadline

    @property
    def attempts(self) -> int:
        """The number of attempts so far."""
        return self._attempts + self._limited

    @property
    def counted(self) -> bool:
        """Whether the next attempt counts against the rate limit; a free call does after it was refused with 429."""
        return self.operation.name not in FREE or self._limited > 0

    @property
    def time_left(self) -> float:
        """Seconds to the deadline."""
        return self._deadline - self._clock()

    @property
    def _is_patient(self) -> bool:
        """Whether `retry_for` is not over."""
        return self._clock() - self._started < self._policy.retry_for

    def extend_deadline(self, seconds: float) -> None:
        """Add the time that was spent waiting for the rate limit."""
        self._deadline += seconds

    def failed(self, failure: TransportFailure) -> Retry | CavaticaError:
        """Judge an attempt that brought no whole answer."""
        self._attempts += 1
        kind = CertificateUntrusted if failure.untrusted else ConnectionFailed
        error = kind(
            f"{failed(self.operation.name)}: {failure.reason}.",
            failure.hint or "Check the network and the endpoint, and run the same command again.",
            operation=self.operation.name,
            permanent=failure.permanent,
        )
        if failure.permanent:
            return self._fail(error)
        return self._retry_or_fail(error, failure.reason, may_act=failure.maybe_acted, patient=self._is_patient)

    def answered(
        self, status: int, headers: Mapping[str, str], body: bytes | None, refusals: int = 0
    ) -> Answer | Retry | CavaticaError:
        """Judge an answer; return it if it is accepted. `body` is None if it is larger than any of the API can be.

        `refusals` is `RateLimiter.refusals`: one call may be refused often, if many programs share the token.
        """
        answer = Answer(self.operation, status, headers, body or b"")
        if 200 <= status < 300:
            return self._succeeded(answer, too_large=body is None)
        error = error_of(status, headers, answer.body, self.operation.name)
        if isinstance(error, RateLimited):
            self._limited += 1
            if refusals > MOST_RATE_LIMITED and not self._is_patient:
                return self._fail(error)
            return Retry(0.0, "the rate limit is reached", rate_limited=True)
        self._attempts += 1
        if status == 404 and error.code is not None and self._acted and self.operation.name in GONE_IS_DONE:
            return attrs.evolve(answer, status=204, body=b"")
        reason = f"{status}" if error.reason is None else f"{status}, {error.reason}"
        pause = read_headers(headers, self._wall()).retry_after
        if pause is not None and pause > LONGEST_PAUSE:
            pause = None
        if error.maintenance:
            return self._maintenance(error, answer, reason, pause)
        passing = status in (408, 425) or (status >= 500 and status not in _FINAL_5XX)
        if passing or isinstance(error, PartNotReserved):
            not_done = status in (409, 503) and error.code in _NOT_DONE
            return self._retry_or_fail(error, reason, may_act=not not_done, pause=pause)
        return self._fail(error)

    def _succeeded(self, answer: Answer, *, too_large: bool) -> Answer | Retry | CavaticaError:
        if too_large:
            self._attempts += 1
            self._acted = self._acted or not self.operation.reads
            return self._fail(answer.unexpected(f"with more than {LARGEST >> 20} MiB"))
        body, trouble = answer.body.strip(), None
        if not self.operation.needs_body:
            # The status is enough. An HTML page comes from a proxy, which may not have passed the request on: it is
            # sent again if that does no harm.
            if body.startswith(b"<") and self.operation.repeatable:
                trouble = "an HTML page"
        elif not body:
            trouble = "nothing" if self.operation.reads else None
        elif answer.json is NOTHING:
            trouble = "something that is not JSON"
        if trouble is None:
            return answer
        self._attempts += 1
        return self._retry_or_fail(answer.unexpected(f"with {trouble}"), trouble, may_act=True)

    def _maintenance(self, error: ApiError, answer: Answer, reason: str, pause: float | None) -> Retry | CavaticaError:
        longest = self._timing.longest_backoff
        delay = self._uniform(longest / 2, longest) if pause is None else pause + self._uniform(0, min(1, longest))
        if delay < self.time_left:
            return Retry(delay, reason, maintenance=True)
        if pause is None:
            return self._fail(error)
        until = clock_text(self._wall() + pause)
        hint = f"The platform says it will be back at {until}. Uploaded parts are kept: run the same command then."
        return self._fail(error_of(answer.status, answer.headers, answer.body, self.operation.name, hint))

    def _retry_or_fail(
        self, error: CavaticaError, reason: str, *, may_act: bool, patient: bool = False, pause: float | None = None
    ) -> Retry | CavaticaError:
        self._acted = self._acted or (may_act and not self.operation.reads)
        exhausted = self._attempts >= self._policy.attempts and not patient
        if exhausted or (may_act and not self.operation.repeatable):
            return self._fail(error)
        delay = max(pause or 0.0, self._timing.backoff(self._attempts, self._uniform))
        return Retry(delay, reason) if delay < self.time_left else self._fail(error)

    def _fail(self, error: CavaticaError) -> CavaticaError:
        error.maybe_acted = self._acted
        if self.attempts > 1:
            error.add_note(f"Tried {self.attempts} times in {self._clock() - self._started:.0f} s.")
        return error


def clock_text(moment: float) -> str:
    """Return a time (epoch seconds) as text: the time of day in UTC, with the date if it is not today."""
    when, now = datetime.fromtimestamp(moment, UTC), datetime.now(UTC)
    return f"{when:%H:%M} UTC" if when.date() == now.date() else f"{when:%Y-%m-%d %H:%M} UTC"
