"""One pool of workers that sends the parts of all files.

A worker takes a part, requests its URL, and then waits for a slot to send it. Some workers request URLs ahead, so
that a free slot is used at once. A worker retries its part by itself and holds no slot while it pauses. It writes a
stored part to the journal before it frees the slot. It puts the result of each part into the queue of the file.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable

import attrs

from cavatica_upload.engine.concurrency import MOST, Concurrency, Flight
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.open import Opened
from cavatica_upload.engine.part_attempts import PartAttempts, part_url
from cavatica_upload.engine.send_part import PartTask, block_size, send_part
from cavatica_upload.engine.workers import Workers
from cavatica_upload.errors import (
    CavaticaError,
    ConnectionFailed,
    EtagMismatch,
    Interrupted,
    MissingHeader,
    PartRefused,
    StorageError,
    UrlExpired,
)
from cavatica_upload.events import PartRetried, PartSent
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import Part
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.sources.stream import Stream
from cavatica_upload.storage import Storage, Target, Throttle

AHEAD = 8  # the most parts that have a URL and wait for a slot
MOST_WORKERS = 64


@attrs.frozen
class PartFailed:
    """A part that cannot be sent."""

    error: Exception


@attrs.frozen
class GivenBack:
    """A part that was not sent, because the run or its file ends."""


Ended = SentPart | PartFailed | GivenBack


@attrs.define(eq=False)
class FileParts:
    """The parts of one open file: those that wait for a worker, and the counters of the pool.

    `put` receives the result of each part, and None if the file should check whether the run was stopped. Files with
    an equal `run` share the workers as one group. If not `parallel`, the parts are sent one at a time.
    """

    key: str
    opened: Opened
    run: object
    parallel: bool
    put: Callable[[Ended | None], object]
    waiting: list[tuple[int, Part]] = attrs.field(factory=list)
    under_way: int = 0
    withdrawn: bool = False
    dropped: bool = False

    @property
    def is_small(self) -> bool:
        """Whether the file has only one part."""
        return self.opened.plan is not None and self.opened.plan.count == 1

    @property
    def bytes_waiting(self) -> int:
        """The bytes of the waiting parts; the last part counts as a full one."""
        return len(self.waiting) * self.opened.part_size


class PartPool:
    """Sends the parts of all files. Owns its threads and its lock."""

    def __init__(
        self,
        context: Context,
        storage: Storage,
        concurrency: Concurrency,
        *,
        throttle: Throttle | None,
        part_deadline: float | None,
        workers: Workers | None,
    ) -> None:
        self._context = context
        self._storage = storage
        self._concurrency = concurrency
        self.pace: Callable[[int], None] = throttle.take if throttle is not None else lambda _count: None
        self._part_deadline = float("inf") if part_deadline is None else part_deadline
        self._workers = workers
        self._follows_workers = workers is not None and concurrency.fixed is None
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # workers that wait for a part
        self._slot = threading.Condition(self._lock)  # workers that wait for a slot or for the end of a pause
        self._files: list[FileParts] = []
        self._threads = 0
        self._idle = 0
        self._busy = 0  # workers that have a part and do not pause
        self._pausing = 0
        self._sending = 0
        self._turns = itertools.count()
        self._ready: list[int] = []  # turns of the parts that wait for a slot; the lowest goes first
        self._closed = False

    # For the threads of files

    def add(self, file: FileParts, parts: Iterable[Part]) -> None:
        """Send more parts of a file, the lowest numbers first."""
        with self._lock:
            if file not in self._files:
                self._files.append(file)
            for part in parts:
                heapq.heappush(file.waiting, (part.number, part))
            self._add_workers()

    def withdraw(self, file: FileParts, *, drop: bool) -> list[Part]:
        """Remove the waiting parts of a file and return them; with `drop`, also abort the parts in flight."""
        with self._lock:
            if file in self._files:
                self._files.remove(file)
            file.withdrawn = True
            file.dropped = file.dropped or drop
            waiting, file.waiting = [part for _, part in file.waiting], []
            self._slot.notify_all()
            return waiting

    # For the engine

    def follow_workers(self) -> None:
        """Set the limit of parts in flight to the number that the workers of the executor can send now."""
        if self._workers is None:
            return
        self._context.expected_rate = self._workers.expected_rate
        if self._follows_workers and self._concurrency.fix(self._workers.limit):
            self.wake()

    def wake(self) -> None:
        """Let all threads check their state again after the limit changed or the run was stopped."""
        with self._lock:
            self._add_workers()
            self._slot.notify_all()
            if self._context.stop.requested:
                for file in self._files:
                    file.put(None)

    @property
    def pausing(self) -> int:
        """The number of parts that failed and wait for the next attempt."""
        return self._pausing

    @property
    def most_in_flight(self) -> int:
        """The most parts that are in flight or may be soon; takes no lock."""
        return max(self._concurrency.limit, self._sending)

    def close(self) -> None:
        """End idle threads now, and the others when their part has ended."""
        with self._lock:
            self._closed = True
            self._work.notify_all()
            self._slot.notify_all()
        if self._workers is not None:
            self._workers.close()
        self._storage.close()

    # The lock is held

    def _add_workers(self) -> None:
        """Wake or start as many workers as there are parts for."""
        limit = self._concurrency.limit
        free = limit + min(limit, AHEAD) - self._busy
        wanted = min(free, sum(len(file.waiting) for file in self._files))
        if self._idle:
            self._work.notify(min(wanted, self._idle) if wanted > 0 else 0)
        for _ in range(min(wanted - self._idle, max(MOST_WORKERS, limit + AHEAD) - self._threads)):
            self._threads += 1
            threading.Thread(target=self._run, name=f"cavatica-part-{self._threads}", daemon=True).start()

    def _take(self) -> tuple[int, FileParts, Part] | None:
        """Take the part to send next, None if there is none.

        The run with the fewest parts under way comes first, then a file of one part, then the file with the most
        bytes waiting.
        """
        limit = self._concurrency.limit
        if self._busy >= limit + min(limit, AHEAD) or self._context.stop.requested:
            return None
        most = max(MOST, limit)
        files = [file for file in self._files if file.waiting and file.under_way < (most if file.parallel else 1)]
        if not files:
            return None
        of_run: dict[object, int] = {}
        for file in self._files:
            of_run[file.run] = of_run.get(file.run, 0) + file.under_way
        file = min(files, key=lambda file: (of_run[file.run], not file.is_small, -file.bytes_waiting))
        file.under_way += 1
        return next(self._turns), file, heapq.heappop(file.waiting)[1]

    # Threads

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
                while (taken := self._take()) is None and not self._closed:
                    self._work.wait()
                self._idle -= 1
                if taken is None:
                    self._threads -= 1
                    return
                self._busy += 1
            turn, file, part = taken
            try:
                ended = self._send(file, part, turn)
            except Exception as error:  # noqa: BLE001 - the file waits for a result of each part
                ended = PartFailed(error)
            with self._lock:
                self._busy -= 1
                file.under_way -= 1
                self._add_workers()
            file.put(ended)

    def _send(self, file: FileParts, part: Part, turn: int) -> Ended:
        """Send a part, with all its attempts."""
        context = self._context
        attempts = PartAttempts(retry_for=context.retry_for, deadline=float("inf"))
        target: Target | None = None
        while True:
            try:
                if target is None or target.expires <= context.clock():
                    target = part_url(context, file.opened.entry.upload_id, part.number)
                if not self._take_slot(file, turn):
                    return GivenBack()
                try:
                    attempts.deadline = min(attempts.deadline, context.clock() + self._part_deadline)
                    if target.expires > context.clock():
                        return self._attempt(file, part, target, attempts)
                finally:
                    self._free_slot()
            except Interrupted:
                return GivenBack()
            except Exception as error:  # noqa: BLE001 - `decide` judges it by its class
                self._note_failure(error)
                decision = None if file.withdrawn else attempts.decide(error, context.clock(), context.backoff)
                if decision is None:
                    if isinstance(error, StorageError) and attempts.failures > 1:
                        error.add_to_message(f"given up after {attempts.failures} attempts")
                    return PartFailed(error)
                reason = error.message if isinstance(error, CavaticaError) else str(error)
                context.events.emit(
                    PartRetried(
                        file.key,
                        part.number,
                        attempts.failures + attempts.failed_workers + 1,
                        reason,
                        round(decision.delay, 3),
                    )
                )
                if decision.new_url:
                    target = None
                if not self._pause(file, decision.delay):
                    return GivenBack()

    def _note_failure(self, error: Exception) -> None:
        """Tell the limit and the watch for outages what the error says about the network."""
        if isinstance(error, StorageError) and not isinstance(error, UrlExpired):
            self._concurrency.failed()
        if isinstance(error, PartRefused | MissingHeader | EtagMismatch):
            self._context.outage.answered()
        elif isinstance(error, StorageError | ConnectionFailed):
            self._context.outage.failed(error.message)

    def _attempt(self, file: FileParts, part: Part, target: Target, attempts: PartAttempts) -> SentPart:
        context, opened = self._context, file.opened
        local = opened.source if isinstance(opened.source, LocalFile) else None
        identity = None if local is None else local.identity
        task = PartTask(
            part,
            target,
            None if identity is None else identity.path,
            context.hashing,
            None if attempts.deadline == float("inf") else attempts.deadline - context.clock(),
            file_size=None if identity is None else identity.size,
            mtime_ns=None if identity is None else identity.mtime_ns,
            attempt=attempts.failures + attempts.failed_workers + 1,
        )
        workers = self._workers if identity is not None and attempts.elsewhere else None
        watch = _Watch(self, context, file, self._concurrency.begin(part.size))
        began = context.clock()
        try:
            if workers is not None and workers.usable:
                sent = workers.send(task, watch)
            else:
                sent = send_part(task, self._storage, opened.source, watch)
            watch.ended(stored=True)
        except BaseException:
            watch.ended(stored=False)
            raise
        context.outage.answered()
        context.journal.put(opened.entry, sent)  # before the result is used and the slot is freed
        if isinstance(opened.source, Stream):
            opened.source.drop(part)
        context.events.emit(PartSent(file.key, part.number, part.size, context.clock() - began))
        return sent

    def _take_slot(self, file: FileParts, turn: int) -> bool:
        """Wait for a slot and take it; False if the part is no longer wanted."""
        with self._lock:
            heapq.heappush(self._ready, turn)
            try:
                while not self._unwanted(file):
                    if self._sending < self._concurrency.limit and self._ready[0] == turn:
                        self._sending += 1
                        return True
                    self._slot.wait()
                return False
            finally:
                self._ready.remove(turn)
                heapq.heapify(self._ready)
                self._slot.notify_all()

    def _free_slot(self) -> None:
        with self._lock:
            self._sending -= 1
            self._slot.notify_all()

    def _pause(self, file: FileParts, seconds: float) -> bool:
        """Wait and let another worker take a part meanwhile; False if this part is no longer wanted."""
        until = self._context.clock() + seconds
        with self._lock:
            self._busy -= 1
            self._pausing += 1
            self._add_workers()
            while not self._unwanted(file) and (left := until - self._context.clock()) > 0:
                self._slot.wait(left)
            self._pausing -= 1
            self._busy += 1
            return not self._unwanted(file)

    def _unwanted(self, file: FileParts) -> bool:
        return file.withdrawn or self._closed or self._context.stop.requested


class _Watch:
    """Counts the bytes of one attempt, limits their rate, and says when to stop."""

    def __init__(self, pool: PartPool, context: Context, file: FileParts, flight: Flight) -> None:
        self._pool = pool
        self._context = context
        self._file = file
        self._flight = flight
        self._count = 0
        self.pace = pool.pace

    def block_size(self) -> int:
        return block_size(self._pool.most_in_flight, hashing=self._context.hashing)

    def sent(self, count: int) -> None:
        self._count += count
        self._context.events.add_bytes(self._file.key, count)
        if self._flight.sent(count):
            self._pool.wake()

    def stopped(self) -> bool:
        return self._file.dropped or self._context.stop.dropping.is_set()

    def ended(self, *, stored: bool) -> None:
        self._flight.ended(stored=stored)
        if not stored:
            self._context.events.add_bytes(self._file.key, -self._count)
