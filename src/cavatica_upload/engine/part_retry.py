"""Whether to try a part again, when, and with which URL: pure rules."""

from collections.abc import Callable

import attrs

from cavatica_upload.errors import (
    CertificateUntrusted,
    ConnectionFailed,
    EtagMismatch,
    MissingHeader,
    PartNotReserved,
    PartRefused,
    RateLimited,
    ServerError,
    StorageError,
    UrlExpired,
    WorkerFailed,
)

ATTEMPTS = 8
WORKERS = 3  # of an executor that may fail with a part before it is sent from this machine
WRONG_ANSWERS = 4  # of a part that arrives damaged, or without a header that is needed

Backoff = Callable[[int], float]


@attrs.frozen
class RetryDecision:
    """Try again after `delay` seconds; `new_url` says to ask for another part URL."""

    delay: float
    new_url: bool


@attrs.define
class PartAttempts:
    """What was tried for one part so far, and how to go on.

    A refused URL (403, or 400 with a word about expiry) is asked for anew, the first time without counting as a
    failure. Wrong answers (damaged bytes, a missing header, other refusals) are tried four times. Storage in trouble
    (408, 429, 5xx), silence and broken connections are tried eight times at least, and for `retry_for` seconds from
    the first failure on; calls of the API, which were tried several times already, for `retry_for` seconds.
    A 429 is only a wait. Nothing is tried beyond `deadline`, a moment of the monotonic clock. A worker of an executor
    that fails is no failure of the part: it is sent elsewhere, after three of them from here.
    """

    retry_for: float
    deadline: float
    failures: int = 0
    wrong: int = 0
    refused_urls: int = 0
    failed_workers: int = 0
    first_failure: float | None = None

    def decide(self, error: Exception, now: float, backoff: Backoff) -> RetryDecision | None:
        """Return how to go on after this error; None if trying again is of no use."""
        if isinstance(error, WorkerFailed):
            self.failed_workers += 1
            self.deadline = float("inf")  # how long that took is not to be counted to the next
            return RetryDecision(backoff(self.failed_workers), new_url=False)
        if isinstance(error, UrlExpired):
            self.refused_urls += 1
            if self.refused_urls == 1:
                return RetryDecision(0.0, new_url=True)
        wrong = isinstance(error, MissingHeader | EtagMismatch) or (
            isinstance(error, PartRefused) and error.status < 500 and error.status not in (408, 429)
        )
        if not wrong and not _temporary(error):
            return None
        self.failures += 1
        self.wrong += wrong
        self.first_failure = now if self.first_failure is None else self.first_failure
        delay = backoff(self.failures)
        if self.wrong >= WRONG_ANSWERS or now + delay > self.deadline or self._exhausted(error, now):
            return None
        return RetryDecision(delay, new_url=isinstance(error, PartRefused) and wrong)

    @property
    def elsewhere(self) -> bool:
        """Whether a worker of an executor may still be tried."""
        return self.failed_workers < WORKERS

    def _exhausted(self, error: Exception, now: float) -> bool:
        if isinstance(error, RateLimited):
            return False
        enough = ATTEMPTS if isinstance(error, StorageError | EtagMismatch) else 1
        since = now if self.first_failure is None else self.first_failure
        return self.failures >= enough and now - since >= self.retry_for


def _temporary(error: Exception) -> bool:
    if isinstance(error, CertificateUntrusted):
        return False
    return isinstance(error, PartNotReserved | StorageError | ServerError | RateLimited | ConnectionFailed)
