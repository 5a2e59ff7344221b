"""The upload of one file, from top to bottom: open or resume, send what is missing, complete."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from cavatica_upload.engine.complete import StartAgain, complete_upload, report_of, start_again
from cavatica_upload.engine.context import Context, pause
from cavatica_upload.engine.open import OpenUpload, open_upload
from cavatica_upload.engine.parts import FileParts, Result
from cavatica_upload.engine.send_part import PartSender
from cavatica_upload.engine.start import SkippedFile
from cavatica_upload.errors import (
    CavaticaError,
    FileChanged,
    IntegrityError,
    Interrupted,
    NameTaken,
    PartRefused,
    SizeMismatch,
    SourceError,
    StorageError,
    UploadBusy,
    UploadGone,
)
from cavatica_upload.events import PartsReported, UploadCompleted, UploadFailed, UploadSkipped, UploadStarted
from cavatica_upload.plan import PARTS_PER_REPORT, Part, count_text
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import Outcome, UploadRequest
from cavatica_upload.storage import SentPart

if TYPE_CHECKING:
    from cavatica_upload.sources.stream import ReadingEnded, Stream

REPORT_SECONDS = 60.0
CHECK_SECONDS = 1.0  # between checks of the age of reports and of the deadline of the file
MOST_NAMES = 10  # that others may take before the completion, until a file with `if_exists="rename"` fails
RESENDS = 2  # rounds of sending parts again that the server lacks at completion
MAKES_PARTS_USELESS = (IntegrityError, SourceError, UploadGone)

_log = logging.getLogger("cavatica_upload")


@attrs.define(eq=False)
class FileUpload:
    """A file that was started. `run` runs in the file's own thread; other threads may read.

    Files of an equal `group` share the workers. `size` is roughly that of the file.
    """

    context: Context
    sender: PartSender
    request: UploadRequest
    group: object
    size: int
    upload: OpenUpload | None = attrs.field(default=None, init=False)
    """None until it is open."""

    @property
    def left(self) -> int:
        """Bytes that are to be sent, roughly."""
        upload = self.upload  # the file's thread may replace it meanwhile
        return self.size if upload is None else upload.left

    def interruption(self) -> Interrupted:
        """Return the error for a stopped upload, with the number of sent parts."""
        what, upload = f"The upload of {self.request.key} was interrupted", self.upload
        if upload is None or upload.plan is None:
            return Interrupted(f"{what}.", "Run the same command again.")
        return Interrupted(
            f"{what}: {len(upload.sent):,} of {count_text(upload.plan.count, 'part')} sent.",
            "Run the same command again to resume.",
        )

    def run(self) -> Outcome:
        """Upload the file and return how it ended. Never raises."""
        events, key = self.context.events, self.request.key
        try:
            receipt = self._upload_anew_if_needed()
        except SkippedFile as reason:
            events.emit(UploadSkipped(key, str(reason), reason.different, reason.receipt))
            return Outcome(self.request, receipt=reason.receipt, skipped=str(reason), different=reason.different)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
            if isinstance(error, StartAgain):
                error, self.upload = error.error, None  # it is aborted
            elif isinstance(error, Interrupted):
                error = self.interruption()
            elif not isinstance(error, CavaticaError):
                _log.exception("the upload of %s failed", key)
            events.emit(UploadFailed(key, error, self._is_resumable(error)))
            return Outcome(self.request, error=error)
        events.emit(UploadCompleted(key, receipt))
        return Outcome(self.request, receipt=receipt)

    def _upload_anew_if_needed(self) -> Receipt:
        """Upload, and start again once; more often if others are faster with each name."""
        request, starts = self.request, 0
        while True:
            try:
                return self._upload(request)
            except StartAgain as again:
                starts += 1
                if starts > (MOST_NAMES if isinstance(again.error, NameTaken) else 1):
                    raise
                request = attrs.evolve(request, resume_id=None)

    def _upload(self, request: UploadRequest) -> Receipt:
        self.upload = None
        self.upload = upload = self._open(request)
        try:
            return _OpenFile(self.context, self.sender, upload, self.group).run()
        finally:
            upload.close()

    def _open(self, request: UploadRequest) -> OpenUpload:
        while True:
            try:
                return open_upload(self.context, request)
            except UploadBusy:
                if not request.wait:
                    raise
                pause(self.context, self.context.timing.busy)

    def _is_resumable(self, error: Exception) -> bool:
        """Whether the same command would resume this upload."""
        if self.upload is None:
            return isinstance(error, Interrupted)
        return self.upload.can_reread and not isinstance(error, UploadGone | FileChanged | SizeMismatch)


class Checkpoints:
    """Decides when to report parts in bulk. API calls are limited, but only the journal knows unreported parts.

    A report is due when 32 parts have gathered or the oldest is 60 seconds old, but there is never more than one report
    per 32 parts: N parts cost at most N/32 reports, rounded up. The rest is reported with the completion.
    """

    def __init__(self, unreported: int, now: float) -> None:
        self._unreported = self._gathered = unreported
        self._oldest = now  # or of the last report
        self._reports = 0

    def add(self, now: float) -> None:
        """Count a part that storage took."""
        self._oldest = self._oldest if self._unreported else now
        self._unreported += 1
        self._gathered += 1

    def due(self, now: float) -> bool:
        """Return whether to report now."""
        if not self._unreported or self._reports * PARTS_PER_REPORT >= self._gathered:
            return False
        return self._unreported >= PARTS_PER_REPORT or now - self._oldest >= REPORT_SECONDS

    def report(self, now: float, *, succeeded: bool) -> None:
        """Count a report of all these parts; after one that failed they still count."""
        self._reports += 1
        self._oldest = now
        self._unreported = 0 if succeeded else self._unreported


class _OpenFile:
    """An open upload: sends what is missing, reports it, completes."""

    def __init__(self, context: Context, sender: PartSender, upload: OpenUpload, group: object) -> None:
        self._context = context
        self._pool = sender.pool
        self._upload = upload
        self._began = time.monotonic()
        self._checkpoints = Checkpoints(len(upload.unreported), self._began)
        self._happened: queue.SimpleQueue[Result | Part | ReadingEnded | None] = queue.SimpleQueue()
        self._parts = FileParts(upload, group, sender.send, self._happened.put)
        self._stream: Stream | None = None
        self._reading = False  # whether a thread reads the source from its first byte to its last

    def run(self) -> Receipt:
        """Send what is missing and complete, again if the server then says that it does not have some parts."""
        self._emit_started()
        resends = 0
        try:
            self._start_reading()
            while True:
                self._send([part for part in self._upload.plan or () if part.number not in self._upload.sent])
                ended = self._complete(may_send_again=resends < RESENDS)
                if isinstance(ended, Receipt):
                    return ended
                resends += 1
                self._take_back(ended)
        except StartAgain:
            self._forget_bytes(part for number, part in self._upload.sent.items() if number not in self._upload.resumed)
            raise
        except Exception as error:
            self._report_last(error)
            raise
        finally:
            self._pool.withdraw(self._parts, drop=True)  # before the source is closed

    def _emit_started(self) -> None:
        upload = self._upload
        self._context.events.emit(
            UploadStarted(
                file=upload.key,
                upload_id=upload.entry.upload_id,
                size=upload.source.size,
                part_size=upload.part_size,
                parts=upload.plan.count if upload.plan is not None else None,
                resumed_parts=len(upload.resumed),
                resumed_bytes=sum(part.size for part in upload.sent.values()),
            )
        )

    # Send

    def _start_reading(self) -> None:
        """Read a stream, or a file whose digest is requested, from its first byte to its last."""
        upload = self._upload
        if upload.plan is None or upload.request.digest is not None:
            from cavatica_upload.sources.stream import Stream, read_whole

            self._stream = upload.source if isinstance(upload.source, Stream) else None
            self._reading = True
            put, wanted = self._happened.put, self._pool.wanted
            arguments = upload.source, upload.part_size, upload.request.digest, put, lambda: not wanted(self._parts)
            threading.Thread(target=read_whole, args=arguments, name="cavatica-reading", daemon=True).start()

    def _send(self, missing: list[Part]) -> None:
        """Send parts and return when storage has all. On an error, wait for the parts in flight, then raise it.

        Raises StartAgain if storage no longer has the upload.
        """
        context = self._context
        self._pool.add(self._parts, missing)
        under_way = len(missing)
        error: Exception | None = None
        dropped_at: float | None = None
        while under_way or (self._reading and error is None):
            try:
                happened = self._happened.get(timeout=CHECK_SECONDS if error is None else context.timing.tick)
            except queue.Empty:
                happened = None
            match happened:
                case None:
                    pass
                case Part():
                    self._pool.add(self._parts, [happened])
                    under_way += 1
                case SentPart():
                    under_way -= 1
                    self._upload.sent[happened.number] = happened
                    self._checkpoints.add(time.monotonic())
                    if self._stream is not None:  # so that another part may be read
                        self._stream.drop((happened.number - 1) * self._upload.part_size)
                case Exception():
                    under_way -= 1
                    error = error or happened
                case _:  # ReadingEnded
                    self._reading = False
                    self._upload.digest = happened.digest
                    self._upload.size = self._upload.size or happened.size
                    error = error or happened.error
            error = error or self._reason_to_end()
            if error is None and (under_way or self._reading) and self._checkpoints.due(time.monotonic()):
                error = self._report()
            if error is None:
                continue
            under_way -= self._pool.withdraw(self._parts, drop=isinstance(error, MAKES_PARTS_USELESS))
            if context.stop.dropping.is_set():  # dropped parts may hang in the network
                dropped_at = time.monotonic() if dropped_at is None else dropped_at
                if context.stop.abandoning.is_set() or time.monotonic() - dropped_at >= context.timing.dropping:
                    break
        if error is not None:
            again = self._upload.can_reread and self._upload.request.resume_id is None
            if again and isinstance(error, PartRefused) and error.code == "NoSuchUpload":
                notice = "Storage no longer has the unfinished upload. It is aborted, and a new one starts."
                raise start_again(context, self._upload, error, notice) from error
            raise error

    def _reason_to_end(self) -> Exception | None:
        if self._context.stop.requested:
            return Interrupted.while_waiting("parts")
        if time.monotonic() - self._began > self._context.file_deadline:
            return StorageError(
                f"The upload of {self._upload.key} took longer than the {self._context.file_deadline:,.0f} seconds "
                "allowed.",
                "Run the same command again to resume.",
            )
        return None

    # Report

    def _report(self) -> UploadGone | None:
        """Report the stored parts in one call; if it fails, they go into the next report, unless the upload is gone."""
        parts = self._upload.unreported
        if not parts:
            return None
        try:
            self._context.api.report_parts(self._upload.entry.upload_id, [report_of(part) for part in parts])
        except CavaticaError as error:
            self._checkpoints.report(time.monotonic(), succeeded=False)
            return error if isinstance(error, UploadGone) else None
        self._checkpoints.report(time.monotonic(), succeeded=True)
        parts = [attrs.evolve(part, reported=True) for part in parts]
        self._upload.sent |= {part.number: part for part in parts}
        self._context.journal.put(self._upload.entry, *parts)
        self._context.events.emit(PartsReported(self._upload.key, len(parts)))
        return None

    def _report_last(self, error: Exception) -> None:
        """Report the stored parts, so that a later run can keep them; abort the upload of a stream."""
        if isinstance(error, UploadGone):
            return  # the next run forgets it, or finds its file, which may not have been listed yet
        with contextlib.suppress(Exception), self._context.stop.allow_final_calls():
            if self._upload.can_reread:
                self._report()
            else:
                self._context.abort(self._upload.key, self._upload.entry)

    # Complete

    def _complete(self, *, may_send_again: bool) -> Receipt | list[int]:
        """Complete the upload; raises Interrupted if the run is stopped."""
        stop = self._context.stop
        if self._upload.plan is None:
            stop.stopping.wait(self._context.timing.stream_end)
        if stop.requested:
            raise Interrupted.while_waiting("the completion")
        return complete_upload(self._context, self._upload, may_send_again=may_send_again)

    def _take_back(self, numbers: list[int]) -> None:
        """Mark parts as not sent."""
        self._forget_bytes(self._upload.sent.pop(number) for number in numbers)
        self._upload.resumed -= frozenset(numbers)

    def _forget_bytes(self, parts: Iterable[SentPart]) -> None:
        """Subtract from the progress the bytes that have to be sent again."""
        self._context.events.add_bytes(self._upload.key, -sum(part.size for part in parts))
