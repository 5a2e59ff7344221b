"""The attempts of one part: its URL, and whether and when to retry."""

import attrs

from cavatica_upload.api.records import PartUrl
from cavatica_upload.engine.context import Backoff, Context
from cavatica_upload.errors import (
    CertificateUntrusted,
    ConfigError,
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
from cavatica_upload.storage import Target

MARGIN = 10.0  # seconds; a URL that expires sooner is not used for a new attempt
LEAST = 5.0  # seconds that a new URL is used, even if the clocks say that it has expired
UNKNOWN = 300.0  # seconds that a URL is used if the platform did not say when it expires
ATTEMPTS = 8
WORKERS = 3  # how many workers may fail with a part before this machine sends it
WRONG_ANSWERS = 4  # attempts of a part that arrives damaged, or whose answer lacks a header


def part_url(context: Context, upload_id: str, number: int) -> Target:
    """Ask for the URL of a part; raises what the API raises, and ConfigError for one that is not encrypted."""
    answer = context.api.get_part_url(upload_id, number)
    if not context.allow_http:
        refuse_plain_http(context.endpoint, answer.url)
    lifetime = UNKNOWN if answer.expires is None else context.server_clock.seconds_until(answer.expires) - MARGIN
    return attrs.evolve(target_of(answer), expires=context.clock() + max(lifetime, LEAST))


def refuse_plain_http(endpoint: str, url: str) -> None:
    """Raise ConfigError for a part URL without TLS if the API has TLS: others could read the bytes on their way."""
    if endpoint.startswith("https:") and not url.lower().startswith("https:"):
        raise ConfigError(
            "The platform gave a part URL that begins with http, though the endpoint has https: others could read the "
            "file on its way.",
            "Ask the platform's support.",
        )


def target_of(answer: PartUrl) -> Target:
    """Return the target of a part from the platform's answer, without an expiry time."""
    return Target(
        method=answer.method,
        url=answer.url,
        headers=answer.headers,
        success_codes=frozenset(answer.success_codes),
        report_headers=answer.report_headers,
    )


@attrs.frozen
class RetryDecision:
    """Try again after `delay` seconds; `new_url` says to ask for another part URL."""

    delay: float
    new_url: bool


@attrs.define
class PartAttempts:
    """Counts the failures of one part and decides on the next attempt.

    - A refused URL (403, or 400 that names expiry) is requested anew; the first time does not count as a failure.
    - A wrong answer (damaged bytes, a missing header, another refusal) allows four attempts.
    - Trouble of storage (408, 429, 5xx), a timeout or a broken connection allows at least eight attempts, and retries
      for `retry_for` seconds after the first failure.
    - API calls, which the transport has retried already, are retried for `retry_for` seconds; a 429 of the API always.
    - A failed worker does not count. After three, the part is sent from this machine.

    Nothing is retried after `deadline` (monotonic clock).
    """

    retry_for: float
    deadline: float
    failures: int = 0
    wrong: int = 0
    refused_urls: int = 0
    failed_workers: int = 0
    first_failure: float | None = None

    def decide(self, error: Exception, now: float, backoff: Backoff) -> RetryDecision | None:
        """Return when and how to retry after this error; None if a retry is useless."""
        if isinstance(error, WorkerFailed):
            self.failed_workers += 1
            self.deadline = float("inf")  # its time does not count for the next attempt
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
