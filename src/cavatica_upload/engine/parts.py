"""One pool of workers that sends the parts of all files (`send_part`). The result of each part goes to its file."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable

import attrs

from cavatica_upload.engine.concurrency import HELD_AHEAD, MOST_PARTS
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.open import OpenUpload
from cavatica_upload.engine.send_part import PartSender
from cavatica_upload.errors import Interrupted
from cavatica_upload.plan import Part
from cavatica_upload.storage import SentPart

MOST_THREADS = 64

Result = SentPart | Exception
"""A part that storage has, or the error; Interrupted if the part was no longer wanted."""


@attrs.define(eq=False)
class FileParts:
    """The parts of one open upload that wait for a worker.

    `put` receives the result of each part, and None if the file should check whether the run was stopped. Files of an
    equal `run` share the workers as one group.
    """

    upload: OpenUpload
    run: object
    put: Callable[[Result | None], object]
    waiting: deque[Part] = attrs.field(factory=deque, init=False)
    under_way: int = attrs.field(default=0, init=False)

    @property
    def is_small(self) -> bool:
        """Whether the file has only one part."""
        return self.upload.plan is not None and self.upload.plan.count == 1

    def may_send(self, most: int) -> bool:
        """Whether a worker may take a part, if `most` may be under way; the server may want one at a time."""
        return bool(self.waiting) and self.under_way < (most if self.upload.parallel else 1)

    @property
    def bytes_waiting(self) -> int:
        """The bytes of the waiting parts; the last part counts as a full one."""
        return len(self.waiting) * self.upload.part_size


class PartPool:
    """Sends the parts of all files. Owns its threads and its lock."""

    def __init__(self, context: Context, sender: PartSender) -> None:
        self._context = context
        self._sender = sender
        self._slots = sender.slots
        self._workers = sender.workers
        self.concurrency = sender.slots.concurrency
        self._adapts = self.concurrency.fixed is None
        self._changed = threading.Condition()
        self._files: list[FileParts] = []
        self._threads = 0
        self._idle = 0  # threads without a part
        self._closed = False

    # For the threads of files

    def add(self, file: FileParts, parts: Iterable[Part]) -> None:
        """Send more parts of a file, in this order."""
        with self._changed:
            if file not in self._files:
                self._files.append(file)
            file.waiting.extend(parts)
            self._start_thread()
            self._changed.notify_all()

    def withdraw(self, file: FileParts, *, drop: bool) -> int:
        """Remove the waiting parts of a file and return their number; with `drop`, also abort the parts in flight."""
        with self._changed:
            if file in self._files:
                self._files.remove(file)
            count = len(file.waiting)
            file.waiting.clear()
        file.upload.withdrawn = True
        file.upload.dropped = file.upload.dropped or drop
        self._slots.wake()
        return count

    # For the engine

    def follow_workers(self) -> None:
        """Set the limit of parts in flight to the number that the workers of the executor can send now."""
        if self._workers is None:
            return
        self._context.expected_rate = self._workers.expected_rate
        if self._adapts and self.concurrency.fix(self._workers.limit):
            self._slots.wake()

    def stop(self) -> None:
        """Let all threads notice that the run was stopped."""
        self._slots.wake()
        with self._changed:
            for file in self._files:
                file.put(None)

    @property
    def pausing(self) -> int:
        """The number of parts that failed and wait for the next attempt."""
        return self._slots.pausing

    def close(self) -> None:
        """End idle threads now, and the others when their part has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._slots.wake()
        if self._workers is not None:
            self._workers.close()
        self._sender.storage.close()

    # Threads

    def _start_thread(self) -> None:
        """Start a thread if all others have a part; it waits until it may hold one. The lock is held."""
        if not self._idle and self._threads < max(MOST_THREADS, self.concurrency.limit + HELD_AHEAD):
            self._threads += 1
            self._idle += 1
            threading.Thread(target=self._run, name=f"cavatica-part-{self._threads}", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                with self._slots.holding(lambda: not self._closed):
                    taken = self._take()
                    if taken is None:
                        continue
                    file, part = taken
                    result = self._send(file, part)
            except Interrupted:
                return
            file.put(result)

    def _take(self) -> tuple[FileParts, Part] | None:
        """Wait for a part and take it; None if too many are held. Raises Interrupted if the pool is closed."""
        with self._changed:
            while (file := self._next_file()) is None:
                if self._closed:
                    raise Interrupted("The pool is closed.")
                self._changed.wait()
            if self._slots.overfull:
                return None
            file.under_way += 1
            self._idle -= 1
            self._start_thread()
            return file, file.waiting.popleft()

    def _next_file(self) -> FileParts | None:
        """Return the file to take a part of, None if there is none.

        The run with the fewest parts under way comes first, then a file of one part, then the file with the most
        bytes waiting.
        """
        if self._context.stop.requested:
            return None
        most = max(MOST_PARTS, self.concurrency.limit)
        of_run: Counter[object] = Counter()
        for file in self._files:
            of_run[file.run] += file.under_way
        return min(
            (file for file in self._files if file.may_send(most)),
            key=lambda file: (of_run[file.run], not file.is_small, -file.bytes_waiting),
            default=None,
        )

    def _send(self, file: FileParts, part: Part) -> Result:
        try:
            return self._sender.send(file.upload, part)
        except Exception as error:  # noqa: BLE001 - the file waits for a result of each part
            return error
        finally:
            with self._changed:
                file.under_way -= 1
                self._idle += 1
                self._changed.notify_all()
