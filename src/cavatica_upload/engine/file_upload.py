"""The upload of one file, from top to bottom: open or resume, send what is missing, complete."""

import contextlib
import logging
import queue
from collections.abc import Iterable

import attrs

from cavatica_upload.engine.checkpoints import Checkpoints, report_of
from cavatica_upload.engine.complete import BeginAnew, Finished, SendAgain, complete_upload
from cavatica_upload.engine.context import Context, pause
from cavatica_upload.engine.open import Opened, open_upload
from cavatica_upload.engine.parts import Ended, FileParts, GivenBack, PartFailed, PartPool
from cavatica_upload.engine.run import OpenFile
from cavatica_upload.engine.start import SkippedFile
from cavatica_upload.errors import (
    CavaticaError,
    FileChanged,
    IntegrityError,
    Interrupted,
    SizeMismatch,
    SourceError,
    StorageError,
    UploadBusy,
    UploadGone,
)
from cavatica_upload.events import PartsReported, UploadCompleted, UploadFailed, UploadSkipped, UploadStarted
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import Part
from cavatica_upload.receipt import FileDigest, Receipt
from cavatica_upload.request import Outcome, UploadRequest
from cavatica_upload.sources.stream import Reading, ReadingEnded, Stream

LOOK = 1.0  # seconds between checks of the age of reports and of the deadline of the file
RESENDS = 2  # how often parts are sent again that the server lacks at completion
DROPPING = (IntegrityError, SourceError, UploadGone)
"""Errors after which the parts in flight are useless."""

_log = logging.getLogger("cavatica_upload")


def upload_file(context: Context, pool: PartPool, file: OpenFile) -> Outcome:
    """Upload a file and return how it ended. Never raises."""
    try:
        receipt = _upload(context, pool, file, file.request)
    except SkippedFile as reason:
        context.events.emit(UploadSkipped(file.key, str(reason), reason.different, reason.receipt))
        return Outcome(file.request, receipt=reason.receipt, skipped=str(reason), different=reason.different)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
        if not isinstance(error, CavaticaError):
            _log.exception("the upload of %s failed", file.key)
        context.events.emit(UploadFailed(file.key, error, _is_resumable(file, error)))
        return Outcome(file.request, error=error)
    context.events.emit(UploadCompleted(file.key, receipt))
    return Outcome(file.request, receipt=receipt)


def _upload(context: Context, pool: PartPool, file: OpenFile, request: UploadRequest, *, anew: bool = False) -> Receipt:
    """Open or resume, send the missing parts, complete; start once more if the upload cannot be completed."""
    file.rereadable = None
    opened = _open_or_resume(context, request)
    file.rereadable = opened.source.identity is not None
    file.run.opened()
    try:
        ended = FileUpload(context, pool, file, opened).run()
    finally:
        opened.close()
    if isinstance(ended, Receipt):
        return ended
    if anew:
        raise ended.error
    return _upload(context, pool, file, attrs.evolve(request, resume_id=None), anew=True)


def _open_or_resume(context: Context, request: UploadRequest) -> Opened:
    while True:
        try:
            return open_upload(context, request)
        except UploadBusy:
            if not request.wait:
                raise
            pause(context, context.timing.busy)


def _is_resumable(file: OpenFile, error: Exception) -> bool:
    """Whether the same command would resume this upload."""
    if file.rereadable is None:
        return isinstance(error, Interrupted)
    return file.rereadable and not isinstance(error, UploadGone | FileChanged | SizeMismatch)


class FileUpload:
    """An upload that is open on the server: sends what is missing, reports it, completes."""

    def __init__(self, context: Context, pool: PartPool, file: OpenFile, opened: Opened) -> None:
        self._context = context
        self._pool = pool
        self._file = file
        self._opened = opened
        self._began = context.clock()
        self._sent: dict[int, SentPart] = dict(opened.kept.parts)
        self._resumed = frozenset(self._sent)
        self._size = 0 if opened.plan is None else opened.plan.size
        self._digest: FileDigest | None = None
        self._dropped_at: float | None = None
        self._checkpoints = Checkpoints()
        for part in self._sent.values():
            if not part.reported:
                self._checkpoints.add(part, context.clock())
        file.parts = None if opened.plan is None else opened.plan.count
        file.sent = len(self._sent)
        file.left = 0
        self._happened: queue.SimpleQueue[Ended | Part | ReadingEnded | None] = queue.SimpleQueue()
        self._parts = FileParts(file.key, opened, file.run, opened.parallel, self._happened.put)
        self._reading = Reading(opened.source, opened.part_size, file.request.digest, self._happened.put, self._is_over)
        self._is_reading = False

    def run(self) -> Receipt | BeginAnew:
        """Send what is missing and complete, again if the server then says that it does not have some parts."""
        self._emit_started()
        try:
            self._is_reading = self._reading.start()
            for _ in range(1 + RESENDS):
                self._send(self._missing())
                ended = self._complete()
                if not isinstance(ended, SendAgain):
                    break
                self._take_back(ended.numbers)
            else:
                ended = self._abandon()
        except Exception as error:
            self._give_up(error)
            raise
        finally:
            self._pool.withdraw(self._parts, drop=True)  # before the source is closed
        if isinstance(ended, BeginAnew):
            self._forget_bytes(part for number, part in self._sent.items() if number not in self._resumed)
        return ended

    def _emit_started(self) -> None:
        opened = self._opened
        self._context.events.emit(
            UploadStarted(
                file=self._file.key,
                upload_id=opened.entry.upload_id,
                size=opened.source.size,
                part_size=opened.part_size,
                parts=opened.plan.count if opened.plan is not None else None,
                resumed_parts=len(self._resumed),
                resumed_bytes=sum(part.size for part in self._sent.values()),
            )
        )

    # Send

    def _missing(self) -> list[Part]:
        plan = self._opened.plan
        if plan is None or self._opened.completed is not None:
            return []
        return [part for part in plan if part.number not in self._sent]

    def _send(self, missing: Iterable[Part]) -> None:
        """Send parts and return when storage has all. On an error, wait for the parts in flight, then raise it."""
        under_way = self._hand_over(missing)
        error: Exception | None = None
        while under_way or (self._is_reading and error is None):
            try:
                ended = self._happened.get(timeout=LOOK if error is None else self._context.timing.tick)
            except queue.Empty:
                ended = None
            match ended:
                case Part():
                    under_way += self._hand_over([ended])
                case ReadingEnded(size, digest, failed):
                    self._is_reading, self._digest, error = False, digest, error or failed
                    self._size = self._size or size
                case SentPart():
                    under_way -= 1
                    self._take(ended)
                case PartFailed(error=failed):
                    under_way -= 1
                    error = error or failed
                case GivenBack():
                    under_way -= 1
            error = error or self._reason_to_end()
            if error is not None:
                under_way -= len(self._pool.withdraw(self._parts, drop=isinstance(error, DROPPING)))
                if self._is_not_worth_waiting():
                    break
            elif (under_way or self._is_reading) and self._checkpoints.due(self._context.clock()):
                self._report()
        self._file.all_sent = True
        if error is not None:
            raise self._file.interruption() if isinstance(error, Interrupted) else error

    def _hand_over(self, parts: Iterable[Part]) -> int:
        parts = list(parts)
        self._file.all_sent = False
        self._file.left += sum(part.size for part in parts)
        self._pool.add(self._parts, parts)
        return len(parts)

    def _take(self, part: SentPart) -> None:
        self._sent[part.number] = part
        self._checkpoints.add(part, self._context.clock())
        self._file.sent = len(self._sent)
        self._file.left -= part.size
        self._reading.stored()

    def _reason_to_end(self) -> Exception | None:
        if self._context.stop.requested:
            return self._file.interruption()
        deadline = self._context.file_deadline
        if deadline is not None and self._context.clock() - self._began > deadline:
            return StorageError(
                f"The upload of {self._file.key} took longer than the {deadline:,.0f} seconds allowed.",
                "Run the same command again to go on from where it is.",
            )
        return None

    def _is_not_worth_waiting(self) -> bool:
        """Whether to leave dropped parts that do not end, because they hang in the network."""
        stop, now = self._context.stop, self._context.clock()
        if not stop.dropping.is_set():
            return False
        self._dropped_at = now if self._dropped_at is None else self._dropped_at
        return stop.abandoning.is_set() or now - self._dropped_at >= self._context.timing.dropping

    def _is_over(self) -> bool:
        return self._parts.withdrawn or self._context.stop.requested

    # Report

    def _report(self) -> None:
        """Report the stored parts in one call; if it fails, they go into the next report."""
        parts = self._checkpoints.take()
        if not parts:
            return
        try:
            self._context.api.report_parts(self._opened.entry.upload_id, [report_of(part) for part in parts])
        except CavaticaError as error:
            self._checkpoints.put_back(parts, self._context.clock())
            if isinstance(error, UploadGone):
                raise
            return
        self._context.journal.mark_reported(self._opened.entry, [part.number for part in parts])
        self._context.events.emit(PartsReported(self._file.key, len(parts)))

    def _give_up(self, error: Exception) -> None:
        """Report the stored parts, so that a later run can keep them; abort the upload of a stream."""
        if isinstance(error, UploadGone):
            self._context.journal.forget(self._opened.entry)
            return
        with contextlib.suppress(Exception), self._context.stop.allow_final_calls():
            if self._opened.source.identity is None:  # a stream cannot be read again
                self._context.abort(self._file.key, self._opened.entry)
            else:
                self._report()

    # Complete

    def _complete(self) -> Receipt | SendAgain | BeginAnew:
        """Complete the upload; raises Interrupted if the run is stopped."""
        stop = self._context.stop
        if isinstance(self._opened.source, Stream):
            stop.stopping.wait(self._context.timing.stream_end)
        if stop.requested:
            raise self._file.interruption()
        unreported = self._checkpoints.take()
        finished = Finished(
            opened=self._opened,
            parts=dict(self._sent),
            resumed=self._resumed,
            size=self._size,
            digest=self._digest,
        )
        try:
            ended = complete_upload(self._context, finished, unreported)
        except Exception as error:
            self._checkpoints.put_back(unreported, self._context.clock())
            if isinstance(error, Interrupted):
                raise self._file.interruption() from error
            raise
        if isinstance(ended, SendAgain):
            self._checkpoints.put_back(unreported, self._context.clock())
        return ended

    def _take_back(self, numbers: tuple[int, ...]) -> None:
        """Mark parts as not sent. Only for a file that can be read again."""
        self._forget_bytes(self._sent.pop(number) for number in numbers)
        for number in numbers:
            self._checkpoints.discard(number)
        self._resumed -= frozenset(numbers)
        self._file.sent = len(self._sent)

    def _forget_bytes(self, parts: Iterable[SentPart]) -> None:
        """Subtract from the progress the bytes that have to be sent again."""
        self._context.events.add_bytes(self._file.key, -sum(part.size for part in parts))

    def _abandon(self) -> BeginAnew:
        """Abort an upload for which the server asks for the same parts repeatedly."""
        self._context.notice(
            self._file.key, "The server asks for the same parts repeatedly. The upload is aborted; a new one starts."
        )
        self._context.abort(self._file.key, self._opened.entry)
        return BeginAnew(
            StorageError(
                f"The server asks for the same parts of {self._file.key} repeatedly.",
                "Ask the platform's support.",
            )
        )
