"""Sends one part: requests its URL, waits for a slot, puts its bytes, and retries."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from cavatica_upload.engine.context import Context
from cavatica_upload.engine.parts import FileParts, PartPool
from cavatica_upload.errors import (
    CavaticaError,
    ConfigError,
    ConnectionFailed,
    EtagMismatch,
    Interrupted,
    MissingHeader,
    PartNotReserved,
    PartRefused,
    RateLimited,
    ServerError,
    StorageError,
    UrlExpired,
    WorkerFailed,
)
from cavatica_upload.events import PartRetried, PartSent
from cavatica_upload.md5 import CHUNKS_TO_HASH
from cavatica_upload.plan import MIB, Part, PartUrl
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.storage import SentPart, Storage, Throttle

if TYPE_CHECKING:
    from cavatica_upload.engine.workers import Workers

URL_MARGIN = 10.0  # seconds; a URL that expires sooner is not used for another attempt
SHORTEST_URL_LIFETIME = 5.0  # seconds that a new URL is used, even if the clocks say that it has expired
UNKNOWN_URL_LIFETIME = 300.0  # seconds that a URL is used if the platform did not say when it expires
ATTEMPTS = 8
ATTEMPTS_AFTER_WRONG_ANSWERS = 4
ATTEMPTS_BY_WORKERS = 3
LARGEST_BLOCK = MIB  # larger ones save little CPU, keep memory, and make progress coarse on a slow network
BLOCKS_TOGETHER = 18 * MIB  # the most in the blocks of all parts in flight; with 32 parts, fewer cost CPU
BLOCKS_SENT = 2  # of a part without MD5: one is sent, and the next is read
BLOCKS_HASHED = CHUNKS_TO_HASH + 1  # of a part with MD5: one is sent, and the others wait to be hashed together
BLOCK_STEP = MIB // 16


@attrs.frozen
class PartSender:
    """Sends parts of any files, from any thread. `workers` send those of files on disk, None for this process."""

    context: Context
    pool: PartPool
    storage: Storage
    throttle: Throttle
    workers: "Workers | None"

    def send(self, file: FileParts, part: Part) -> SentPart:
        """Send a part with all its attempts, and write it to the journal.

        Raises Interrupted if the part is no longer wanted, and the error of the last attempt if all failed.
        """
        context, upload = self.context, file.upload
        attempts = PartAttempts(retry_for=context.retry_for)
        target: PartUrl | None = None
        expires = 0.0
        while True:
            try:
                if target is None or expires <= time.monotonic():
                    target, expires = _part_url(context, upload.entry.upload_id, part.number)
                with self.pool.slot(file):
                    attempts.deadline = min(attempts.deadline, time.monotonic() + context.part_deadline)
                    if expires > time.monotonic():
                        return self._attempt(file, part, target, attempts)
            except Interrupted:
                raise
            except Exception as error:
                self._note_failure(error)
                if file.withdrawn:
                    raise
                delay = attempts.delay_after(error, time.monotonic(), context.timing.backoff)
                if delay is None:
                    if isinstance(error, StorageError) and attempts.failures > 1:
                        error.add_to_message(f"given up after {attempts.failures} attempts")
                    raise
                reason = error.message if isinstance(error, CavaticaError) else str(error)
                context.events.emit(PartRetried(upload.key, part.number, attempts.next_number, reason, round(delay, 3)))
                if needs_new_url(error):
                    target = None
                self.pool.pause(file, delay)

    def follow_workers(self) -> None:
        """Set the limit of parts in flight to the number that the workers of the executor can send now."""
        if self.workers is not None:
            self.context.expected_rate = self.workers.expected_rate
            self.pool.fix(self.workers.limit)

    def close(self) -> None:
        """Close the connections to storage; the executor is left open."""
        if self.workers is not None:
            self.workers.close()
        self.storage.close()

    def _note_failure(self, error: Exception) -> None:
        """Note what the error says about the network, for the limit and for outages."""
        if isinstance(error, StorageError) and not isinstance(error, UrlExpired):
            self.pool.concurrency.failed()
        if isinstance(error, PartRefused | MissingHeader | EtagMismatch):
            self.context.outage.answered()
        elif isinstance(error, StorageError | ConnectionFailed):
            self.context.outage.failed(error.message)

    def _attempt(self, file: FileParts, part: Part, target: PartUrl, attempts: "PartAttempts") -> SentPart:
        context, upload, pool = self.context, file.upload, self.pool
        source = upload.source
        on_disk = source.identity if isinstance(source, LocalFile) else None
        workers = self.workers if attempts.failed_workers < ATTEMPTS_BY_WORKERS else None
        began = time.monotonic()
        in_flight = pool.concurrency.begin(part.size)
        counted = 0
        sent: SentPart | None = None

        def count(size: int) -> None:
            nonlocal counted
            counted += size
            context.events.add_bytes(upload.key, size)
            if size > 0 and pool.concurrency.sent(in_flight, size):  # less: after a redirect all is sent again
                pool.wake()

        def dropped() -> bool:
            return file.dropped or context.stop.dropping.is_set()

        try:
            if workers is not None and workers.usable and on_disk is not None:
                from cavatica_upload.engine.workers import PartTask

                seconds = attempts.deadline - began
                task = PartTask(part, target, on_disk, context.hashing, seconds, attempts.next_number)
                sent = workers.send(task, dropped)
                count(part.size)
            else:
                sent = self.storage.put(
                    target,
                    part,
                    source,
                    block_size=lambda: block_size(pool.most_sending, hashing=context.hashing, rate=self.throttle.rate),
                    on_bytes=count,
                    pace=self.throttle.take,
                    stopped=dropped,
                    deadline=attempts.deadline,
                )
        finally:
            pool.concurrency.end(in_flight, stored=sent is not None)
            if sent is None:
                context.events.add_bytes(upload.key, -counted)
        context.outage.answered()
        context.journal.put(upload.entry, sent)  # before the result is used and the slot is free
        context.events.emit(PartSent(upload.key, part.number, part.size, time.monotonic() - began))
        return sent


def _part_url(context: Context, upload_id: str, number: int) -> tuple[PartUrl, float]:
    """Return the URL of a part, and until when it is used (monotonic clock); raises as `check_encrypted`."""
    target = context.api.get_part_url(upload_id, number)
    check_encrypted(target, context.api.endpoint, allow_http=context.allow_http)
    if target.expires is None:
        lifetime = UNKNOWN_URL_LIFETIME
    else:
        lifetime = max(context.server_clock.seconds_until(target.expires) - URL_MARGIN, SHORTEST_URL_LIFETIME)
    return target, time.monotonic() + lifetime


def check_encrypted(target: PartUrl, endpoint: str, *, allow_http: bool = False) -> None:
    """Raise ConfigError for the URL of a part without TLS if the endpoint has TLS, unless `allow_http`."""
    if endpoint.startswith("https:") and not target.url.lower().startswith("https:") and not allow_http:
        raise ConfigError(
            "The platform gave a part URL that begins with http, though the endpoint has https: others could read the "
            "file on its way.",
            "Ask the platform's support.",
        )


def block_size(parts: int, *, hashing: bool, rate: float = float("inf")) -> int:
    """Return how many bytes to read and send at a time with `parts` parts in flight.

    At most what each may send in a second at a `rate` for all: storage ends connections that are silent for longer.
    """
    share = BLOCKS_TOGETHER // (parts * (BLOCKS_HASHED if hashing else BLOCKS_SENT))
    size = max(BLOCK_STEP, min(LARGEST_BLOCK, share - share % BLOCK_STEP))
    return max(1, int(min(size, rate / parts)))


@attrs.define
class PartAttempts:
    """Counts the failures of one part and decides on the next attempt.

    - A refused URL (403, or 400 that names expiry) is replaced; the first time does not count as a failure.
    - A wrong answer (damaged bytes, a missing header, another refusal) allows four attempts.
    - Trouble of storage (408, 429, 5xx, S3's RequestTimeout), a timeout or a broken connection allows at least eight
      attempts, and retries for `retry_for` seconds after the first failure.
    - API calls, which the transport has retried already, are retried for `retry_for` seconds; a 429 of the API always.
    - A failed worker does not count. After three, the part is sent from this machine.

    Nothing is retried after `deadline` (monotonic clock).
    """

    retry_for: float
    deadline: float = float("inf")
    failures: int = 0
    wrong_answers: int = 0
    refused_urls: int = 0
    failed_workers: int = 0
    first_failure: float | None = None

    @property
    def next_number(self) -> int:
        """The number of the next attempt, from 1."""
        return self.failures + self.failed_workers + 1

    def delay_after(self, error: Exception, now: float, backoff: Callable[[int], float]) -> float | None:
        """Return after how many seconds to retry; None if a retry is useless."""
        if isinstance(error, WorkerFailed):
            self.failed_workers += 1
            self.deadline = float("inf")  # the next attempt has the whole time
            return backoff(self.failed_workers)
        if isinstance(error, UrlExpired):
            self.refused_urls += 1
            if self.refused_urls == 1:
                return 0.0
        wrong = isinstance(error, MissingHeader | EtagMismatch) or needs_new_url(error)
        if not wrong and not _is_temporary(error):
            return None
        self.failures += 1
        self.wrong_answers += wrong
        self.first_failure = now if self.first_failure is None else self.first_failure
        delay = backoff(self.failures)
        least = ATTEMPTS if isinstance(error, StorageError | EtagMismatch) else 1
        exhausted = self.failures >= least and now - self.first_failure >= self.retry_for
        if exhausted and not isinstance(error, RateLimited):
            return None
        if self.wrong_answers >= ATTEMPTS_AFTER_WRONG_ANSWERS or now + delay > self.deadline:
            return None
        return delay


def needs_new_url(error: Exception) -> bool:
    """Whether storage refused the URL of a part, or the request made with it."""
    if not isinstance(error, PartRefused) or error.code == "RequestTimeout":  # S3's 400: the connection was too slow
        return False
    return error.status < 500 and error.status not in (408, 429)


def _is_temporary(error: Exception) -> bool:
    kinds = PartNotReserved | StorageError | ServerError | RateLimited | ConnectionFailed
    return isinstance(error, kinds) and not error.permanent
