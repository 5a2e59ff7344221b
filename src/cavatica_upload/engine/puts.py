"""The steps of a part, on the engine's threads: ask where to put it, put it, and see what came of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from cavatica_upload.engine.context import Context
from cavatica_upload.engine.part_urls import ask
from cavatica_upload.engine.transfer import Transfer
from cavatica_upload.errors import CavaticaError, Interrupted, StorageError, UrlExpired
from cavatica_upload.events import PartRetried, PartSent
from cavatica_upload.journal.records import SentPart
from cavatica_upload.md5.pool import ENOUGH
from cavatica_upload.plan import Part
from cavatica_upload.sources.stream import Stream
from cavatica_upload.storage.put import Storage, Target
from cavatica_upload.storage.throttle import Throttle

if TYPE_CHECKING:
    from cavatica_upload.engine.engine import Engine

LARGEST_BLOCK = 2 << 20
"""Bytes: half of it costs a twentieth more CPU; more brings little, and makes the progress on a slow network coarse."""
BLOCKS_TOGETHER = 24 << 20
"""Bytes: so much may lie in the blocks of all parts, however many are in flight. The rest of a process takes 45 MiB."""
BLOCKS_SENT = 2
"""Of a part whose MD5 is not taken: one is sent, and the next is read."""
BLOCKS_HASHED = ENOUGH + 1
"""Of a part whose MD5 is taken: so many may wait to be hashed beside those of others, and one is sent."""
STEP = 64 << 10
"""Bytes: blocks are multiples of it."""


class Puts:
    """Puts parts to storage. A step blocks as it must, without the engine's lock, and never raises."""

    def __init__(
        self,
        engine: "Engine",
        context: Context,
        storage: Storage,
        throttle: Throttle | None,
        part_deadline: float | None,
    ) -> None:
        self._engine = engine
        self._context = context
        self._storage = storage
        self._pace: Callable[[int], None] = throttle.take if throttle is not None else _at_once
        self._part_deadline = float("inf") if part_deadline is None else part_deadline

    def close(self) -> None:
        """Let go of connections."""
        self._storage.close()

    def fetch_url(self, transfer: Transfer, part: Part) -> None:
        """Ask where to put a part."""
        opened = transfer.opened
        if opened is None:
            return
        began = self._context.clock()
        try:
            target = ask(self._context, opened.entry.upload_id, part.number)
        except Exception as error:  # noqa: BLE001 - judged by its kind
            self._engine.url_failed()
            self._part_failed(transfer, part, error, None)
        else:
            self._engine.url_came(transfer, part, target, self._context.clock() - began)

    def put(self, transfer: Transfer, part: Part, target: Target) -> None:
        """Put a part to storage once, and keep what came of it."""
        opened = transfer.opened
        if opened is None:
            return
        went_out = 0

        def on_bytes(count: int) -> None:
            nonlocal went_out
            went_out += count
            self._context.announcer.count(transfer.key, count)
            self._engine.concurrency.sent(count)

        with self._engine.lock:
            tries = transfer.tries(part, self._context.clock())
        try:
            stored = self._storage.put(
                target,
                part,
                opened.source,
                block_size=lambda: block_size(self._engine.most_in_flight, hashing=self._context.hashing),
                on_bytes=on_bytes,
                pace=self._pace,
                stopped=lambda: transfer.must_stop or self._context.stop.dropping.is_set(),
                deadline=tries.started + self._part_deadline,
            )
        except Exception as error:  # noqa: BLE001 - judged by its kind
            self._context.announcer.count(transfer.key, -went_out)
            if isinstance(error, StorageError) and not isinstance(error, UrlExpired):
                self._engine.concurrency.failed()
            self._part_failed(transfer, part, error, target)
            return
        sent = SentPart(part.number, part.size, stored.md5, stored.headers)
        self._context.journal.put(opened.entry, sent)  # before anybody is told of it
        if isinstance(opened.source, Stream):
            opened.source.drop(part)
        self._context.announcer.tell(PartSent(transfer.key, part.number, part.size, stored.seconds))
        self._engine.part_sent(transfer, sent, stored.seconds)

    def _part_failed(self, transfer: Transfer, part: Part, error: Exception, target: Target | None) -> None:
        now = self._context.clock()
        if isinstance(
            error, Interrupted
        ):  # the run is stopped, or the file has failed: what becomes of it is said there
            with self._engine.lock:
                transfer.give_back(part)
                self._engine.settle(transfer)
            return
        with self._engine.lock:
            tries = transfer.tries(part, now)
            again = tries.after(error, self._context.backoff)
            if again is not None and now + again.delay > tries.started + self._part_deadline:
                again = None
        if again is None or transfer.error is not None:
            self._engine.lost(transfer, part, _with_attempts(error, tries.failures))
            return
        reason = error.message if isinstance(error, CavaticaError) else str(error)
        self._context.announcer.tell(
            PartRetried(transfer.key, part.number, tries.failures + 1, reason, round(again.delay, 3))
        )
        self._engine.again(transfer, part, again.delay, None if again.new_url else target)


def block_size(parts: int, *, hashing: bool) -> int:
    """Return how many bytes to read and send at a time with so many parts in flight."""
    share = BLOCKS_TOGETHER // (parts * (BLOCKS_HASHED if hashing else BLOCKS_SENT))
    return min(LARGEST_BLOCK, share - share % STEP)


def _at_once(_count: int) -> None:
    """Wait for nothing: there is no cap."""


def _with_attempts(error: Exception, failures: int) -> Exception:
    if isinstance(error, StorageError) and failures > 1:
        error.message = f"{error.message.rstrip('.')} (given up after {failures} attempts)."
        error.args = (error.message,)
    return error
