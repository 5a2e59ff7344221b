"""Decides which part is next, gives it a thread, and lets as many send as the limit allows (`concurrency`).

A thread that has a part requests its URL, waits for a slot, and sends it (`send_part`). More parts are held than may be
sent, so that a free slot is used immediately. A part that waits for its next attempt is not held: another one may be.
"""

import contextlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator

import attrs

from cavatica_upload.engine.concurrency import MOST_PARTS, Concurrency
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.open import OpenUpload
from cavatica_upload.errors import Interrupted
from cavatica_upload.plan import Part
from cavatica_upload.storage import SentPart

HELD_AHEAD = 8  # the most parts that have a URL and wait to be sent
MOST_THREADS = 64  # unless the limit needs more

Result = SentPart | Exception  # a part that storage has, or the error; Interrupted if the part was no longer wanted


@attrs.define(eq=False)
class FileParts:
    """The parts of one open upload that wait for a thread, which calls `send` with this object and a part.

    `put` receives the result of each part, and None if the file should check whether the run was stopped. Files of an
    equal `group` share the threads as one group. `withdrawn`: no more parts are to be sent. `dropped`: the parts in
    flight are useless.
    """

    upload: OpenUpload
    group: object
    send: Callable[["FileParts", Part], SentPart]
    put: Callable[[Result | None], object]
    waiting: deque[Part] = attrs.field(factory=deque, init=False)
    under_way: int = attrs.field(default=0, init=False)
    withdrawn: bool = attrs.field(default=False, init=False)
    dropped: bool = attrs.field(default=False, init=False)

    @property
    def is_small(self) -> bool:
        """Whether the file has only one part."""
        return self.upload.plan is not None and self.upload.plan.count == 1


class PartPool:
    """The parts of all files. Owns the threads that send them, and its lock."""

    def __init__(self, context: Context, concurrency: Concurrency) -> None:
        self.concurrency = concurrency
        self.pausing = 0  # parts that failed and wait for the next attempt
        self._adapts = concurrency.fixed is None
        self._stop = context.stop
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # notified if there is a slot or a part is no longer wanted
        self._offered = threading.Condition(self._lock)  # notified if a part may be held
        self._files: list[FileParts] = []
        self._threads = 0
        self._idle = 0  # threads that wait for a part, without those that were just woken
        self._held = 0  # parts with a thread, without those that pause
        self._sending = 0  # those of them that have a slot
        self._turns: deque[object] = deque()  # of the threads that wait for a slot

    # For the threads of files

    def add(self, file: FileParts, parts: Iterable[Part]) -> None:
        """Send more parts of a file, in this order."""
        with self._lock:
            if file not in self._files:
                self._files.append(file)
            file.waiting.extend(parts)
            self._offer()

    def withdraw(self, file: FileParts, *, drop: bool) -> int:
        """Remove the waiting parts of a file and return their number; with `drop`, also abort the parts in flight."""
        with self._lock:
            if file in self._files:
                self._files.remove(file)
            count = len(file.waiting)
            file.waiting.clear()
            file.withdrawn = True
            file.dropped = file.dropped or drop
            self._changed.notify_all()
        return count

    # For the engine

    def fix(self, limit: int | None) -> None:
        """Pin the limit of parts in flight, or with None let it adapt, unless it was pinned from the beginning."""
        if self._adapts and self.concurrency.fix(limit):
            self.wake()

    def stop(self) -> None:
        """Let all threads notice that the run was stopped."""
        with self._lock:
            self._changed.notify_all()
            self._offered.notify_all()
            self._idle = 0
            for file in self._files:
                file.put(None)

    # For threads with a part

    def wanted(self, file: FileParts) -> bool:
        """Return whether the parts of a file are still to be sent."""
        return not (file.withdrawn or self._stop.requested)

    @contextlib.contextmanager
    def slot(self, file: FileParts) -> Iterator[None]:
        """Wait for a slot in turn, and have it. Raises Interrupted if the part is no longer wanted."""
        turn = object()
        with self._lock:
            self._turns.append(turn)
            try:
                self._changed.wait_for(lambda: not self.wanted(file) or (self._turns[0] is turn and self._has_slot))
                self._check_wanted(file)
                self._sending += 1
            finally:
                self._turns.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._lock:
                self._sending -= 1
                self._changed.notify_all()

    def pause(self, file: FileParts, seconds: float) -> None:
        """Wait, and let another part be held meanwhile. Raises Interrupted if the part is no longer wanted."""
        with self._lock:
            self._held -= 1
            self.pausing += 1
            self._offer()
            try:
                self._changed.wait_for(lambda: not self.wanted(file), seconds)
            finally:
                self.pausing -= 1
                self._held += 1
        self._check_wanted(file)

    def wake(self) -> None:
        """Use the slots of a limit that has changed; let all threads check whether their part is still wanted."""
        with self._lock:
            self._offer()
            self._changed.notify_all()

    @property
    def most_sending(self) -> int:
        """The most parts that are being sent or may be soon; takes no lock."""
        return max(self.concurrency.limit, self._sending)

    @property
    def _most_held(self) -> int:
        return self.concurrency.limit + min(self.concurrency.limit, HELD_AHEAD)

    @property
    def _has_slot(self) -> bool:
        return self._sending < self.concurrency.limit

    def _check_wanted(self, file: FileParts) -> None:
        if not self.wanted(file):
            raise Interrupted.while_waiting("a slot")

    # Threads

    def _offer(self) -> None:
        """Let an idle thread take the next part, or a new one, if one may be held. The lock is held."""
        if self._next_file() is None:
            return
        if self._idle:
            self._idle -= 1
            self._offered.notify()
        elif self._threads < max(MOST_THREADS, self._most_held):
            try:
                threading.Thread(target=self._run, name="cavatica-part", daemon=True).start()
            except RuntimeError:  # the system allows no more threads: those that run take the part later
                if not self._threads:
                    raise
            else:
                self._threads += 1

    def _run(self) -> None:
        """Send parts until the run is stopped."""
        while (taken := self._take()) is not None:
            file, part = taken
            try:
                result: Result = file.send(file, part)
            except Exception as error:  # noqa: BLE001 - the file waits for a result of each part
                result = error
            with self._lock:
                file.under_way -= 1
                self._held -= 1
            file.put(result)

    def _take(self) -> tuple[FileParts, Part] | None:
        """Wait for a part that may be held, and take it; None if the run was stopped."""
        with self._lock:
            while (file := self._next_file()) is None:
                if self._stop.requested:
                    return None
                self._idle += 1
                self._offered.wait()
            file.under_way += 1
            self._held += 1
            part = file.waiting.popleft()
            self._offer()
            return file, part

    def _next_file(self) -> FileParts | None:
        """Return the file whose part may be held next, None if there is none. The lock is held.

        The group with the fewest parts under way comes first, then a file of one part, then the file with the most
        bytes waiting.
        """
        if self._held >= self._most_held or self._stop.requested:
            return None
        most = max(MOST_PARTS, self.concurrency.limit)
        of_group: Counter[object] = Counter()
        for file in self._files:
            of_group[file.group] += file.under_way
        return min(
            (file for file in self._files if file.waiting and file.under_way < (most if file.upload.parallel else 1)),
            key=lambda file: (of_group[file.group], not file.is_small, -len(file.waiting) * file.upload.part_size),
            default=None,
        )
