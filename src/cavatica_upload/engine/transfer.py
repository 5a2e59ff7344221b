"""The state of one upload under way: which parts are to be sent, which are on their way, which are sent.

Plain bookkeeping: no method blocks or calls anybody, and the engine's lock is held around each.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from cavatica_upload.engine.checkpoints import Checkpoints
from cavatica_upload.engine.open import Opened
from cavatica_upload.engine.tries import Tries
from cavatica_upload.errors import (
    FileChanged,
    IntegrityError,
    Interrupted,
    SizeMismatch,
    SourceError,
    StorageError,
    UploadGone,
)
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import Part
from cavatica_upload.receipt import FileDigest
from cavatica_upload.request import UploadRequest

STREAM_AHEAD = 4  # parts of a stream that lie in temporary files at once
RESENDS = 2  # rounds of parts that the server wants again when all seemed done


class Transfer:
    """One file on its way."""

    def __init__(self, request: UploadRequest, size: int, started: float, *, anew: bool = False) -> None:
        self.request = request
        self.anew = anew
        self.started = started
        self.size: int | None = size
        self.opened: Opened | None = None
        self.error: Exception | None = None
        self.skipped: str | None = None
        self.outstanding = 0  # parts whose URL is being asked for, waits, or is being put to
        self.busy = True  # a call about the file as a whole is under way: opening, finishing, closing
        self.reporting = False
        self.ended = False
        self.let_go = False
        self.digest: FileDigest | None = None
        self.digesting = False
        self.sent: dict[int, SentPart] = {}
        self.resumed: frozenset[int] = frozenset()
        self.checkpoints = Checkpoints()
        self.resends = 0
        self._tries: dict[int, Tries] = {}
        self._again: deque[Part] = deque()
        self._fresh: Iterator[Part] = iter(())
        self._next: Part | None = None
        self._streamed_all = True

    @property
    def key(self) -> str:
        """The file's name in events."""
        return self.request.key

    def open(self, opened: Opened, now: float) -> None:
        """Begin with the parts that are not kept from an earlier run."""
        self.opened = opened
        self.busy = False
        self.sent = dict(opened.kept)
        self.resumed = frozenset(opened.kept)
        for part in opened.kept.values():
            if not part.reported:
                self.checkpoints.add(part, now)
        if opened.plan is not None:
            self.size = opened.plan.size
            if not opened.completed:
                self._fresh = (part for part in opened.plan if part.number not in self.resumed)
                self._next = next(self._fresh, None)
        else:
            self.size = None
            self._streamed_all = False

    # Parts to send

    @property
    def wants_stream(self) -> bool:
        """Whether the next part of a stream may be read."""
        return not self._streamed_all and self.error is None and len(self._again) + self.outstanding < STREAM_AHEAD

    def stream(self, part: Part) -> None:
        """Add a part that was read from a stream."""
        self._again.append(part)

    def stream_ended(self, size: int) -> None:
        """Note that the stream has no more parts."""
        self._streamed_all = True
        self.size = size

    @property
    def has_part(self) -> bool:
        """Whether a part may be taken now."""
        if self.error is not None or self.opened is None:
            return False
        if not self.opened.parallel and self.outstanding:
            return False
        return bool(self._again) or self._next is not None

    @property
    def left(self) -> int:
        """How many parts wait to be taken, roughly."""
        if self.opened is None or self.error is not None:
            return 0
        if self.opened.plan is None:
            return len(self._again)
        return max(0, self.opened.plan.count - len(self.sent) - self.outstanding)

    @property
    def is_small(self) -> bool:
        """Whether the file is one part."""
        return self.opened is not None and self.opened.plan is not None and self.opened.plan.count == 1

    def take(self) -> Part:
        """Take a part to send; `has_part` must be true."""
        self.outstanding += 1
        if self._again:
            return self._again.popleft()
        part, self._next = self._next, next(self._fresh, None)
        if part is None:
            raise LookupError("no part is left")
        return part

    def give_back(self, part: Part) -> None:
        """Put a part back that was taken: it has to be sent (again)."""
        self.outstanding -= 1
        self._again.appendleft(part)

    def tries(self, part: Part, now: float) -> Tries:
        """Return what was tried for a part so far."""
        return self._tries.setdefault(part.number, Tries(started=now))

    def resend(self, numbers: Iterable[int]) -> bool:
        """Send these parts again although they were done; False where that was tried often enough."""
        self.busy = False
        self.resends += 1
        if self.opened is None or self.opened.plan is None or self.resends > RESENDS:
            return False
        for number in numbers:
            self.sent.pop(number, None)
            self.checkpoints.discard(number)
            self._tries.pop(number, None)
            self._again.append(self.opened.plan.part(number))
        self.resumed -= frozenset(numbers)
        return True

    # Parts sent

    def done(self, part: SentPart, now: float) -> None:
        """Note that storage took a part."""
        self.outstanding -= 1
        self.sent[part.number] = part
        self._tries.pop(part.number, None)
        self.checkpoints.add(part, now)

    def fail(self, error: Exception) -> None:
        """Give the file up; the first reason counts."""
        if self.error is None:
            self.error = error

    def interruption(self) -> Interrupted:
        """Return the error of being stopped, with what is done."""
        if self.opened is None or self.opened.plan is None:
            return Interrupted(f"The upload of {self.key} was interrupted.", "Run the same command again.")
        done = f"{len(self.sent):,} of {self.opened.plan.count:,} parts"
        return Interrupted(
            f"The upload of {self.key} was interrupted: {done} are sent.",
            "Run the same command again to go on from there.",
        )

    def lateness(self, seconds: float) -> StorageError:
        """Return the error of having taken longer than allowed."""
        return StorageError(
            f"The upload of {self.key} took longer than the {seconds:,.0f} seconds allowed.",
            "Run the same command again to go on from where it is.",
        )

    @property
    def must_stop(self) -> bool:
        """Whether what is in flight is of no use any more."""
        return isinstance(self.error, IntegrityError | SourceError | UploadGone)

    @property
    def all_sent(self) -> bool:
        """Whether storage has every part."""
        if self.opened is None or self.outstanding or self._again or not self._streamed_all or self._next is not None:
            return False
        return self.opened.completed or self.opened.plan is None or len(self.sent) == self.opened.plan.count

    @property
    def is_idle(self) -> bool:
        """Whether nothing of this file is under way."""
        return not (self.outstanding or self.busy or self.reporting or self.digesting)

    @property
    def resumable(self) -> bool:
        """Whether the same upload again would go on where this one stopped."""
        return (
            self.opened is not None
            and self.opened.source.identity is not None
            and not isinstance(self.error, UploadGone | FileChanged | SizeMismatch)
        )
