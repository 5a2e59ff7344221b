"""The last steps of a file, on the engine's threads: report, complete, or give up."""

from typing import TYPE_CHECKING

from cavatica_upload.engine.complete import BeginAnew, Finished, SendAgain, complete_upload
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.reports import report_of
from cavatica_upload.engine.transfer import Transfer
from cavatica_upload.errors import CavaticaError, Interrupted, StorageError, UploadGone
from cavatica_upload.events import PartsReported, UploadCompleted, UploadFailed
from cavatica_upload.journal.records import SentPart
from cavatica_upload.request import Outcome

if TYPE_CHECKING:
    from cavatica_upload.engine.engine import Engine


class Endings:
    """Ends files. A step blocks as it must, without the engine's lock, and never raises."""

    def __init__(self, engine: "Engine", context: Context) -> None:
        self._engine = engine
        self._context = context

    def report(self, transfer: Transfer) -> None:
        """Tell the API of the parts that storage took, many at once."""
        with self._engine.lock:
            parts = transfer.checkpoints.take()
        try:
            self._report(transfer, parts)
        except Exception as error:  # noqa: BLE001 - judged by its kind
            with self._engine.lock:
                transfer.checkpoints.put_back(parts, self._context.clock())
                if isinstance(error, UploadGone) or not isinstance(error, CavaticaError):
                    transfer.fail(error)
        with self._engine.lock:
            transfer.reporting = False
            self._engine.settle(transfer)

    def _report(self, transfer: Transfer, parts: list[SentPart]) -> None:
        opened = transfer.opened
        if opened is None or not parts:
            return
        self._context.api.report_parts(opened.entry.upload_id, [report_of(part) for part in parts])
        self._context.journal.mark_reported(opened.entry, [part.number for part in parts])
        self._context.announcer.tell(PartsReported(transfer.key, len(parts)))

    def finish(self, transfer: Transfer) -> None:
        """Complete the upload and keep the receipt."""
        opened = transfer.opened
        if opened is None:
            return
        with self._engine.lock:
            unreported = transfer.checkpoints.take()
            finished = Finished(
                opened=opened,
                parts=dict(transfer.sent),
                resumed=transfer.resumed,
                size=sum(part.size for part in transfer.sent.values()) if opened.plan is None else opened.plan.size,
                digest=transfer.digest,
            )
        try:
            with self._context.stop.last_words():
                ended = complete_upload(self._context, finished, unreported)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
            with self._engine.lock:
                transfer.checkpoints.put_back(unreported, self._context.clock())
                transfer.fail(error)
            self._end_failed(transfer)
            return
        match ended:
            case SendAgain(numbers):
                self._send_again(transfer, numbers, unreported)
            case BeginAnew(error=reason):
                self.let_go(transfer)
                if not self._engine.begin_anew(transfer):
                    transfer.fail(reason)
                    self._end_failed(transfer)
            case receipt:
                self.let_go(transfer)
                self._context.announcer.tell(UploadCompleted(transfer.key, receipt))
                self._engine.end(transfer, Outcome(transfer.request, receipt=receipt))

    def _send_again(self, transfer: Transfer, numbers: tuple[int, ...], unreported: list[SentPart]) -> None:
        with self._engine.lock:
            transfer.checkpoints.put_back(unreported, self._context.clock())
            if transfer.resend(numbers):
                self._engine.settle(transfer)
                return
            transfer.fail(StorageError("The server asks for the same parts again and again.", "Ask its support."))
        self._end_failed(transfer)

    def give_up(self, transfer: Transfer) -> None:
        """Report what is done, so that it is not lost, and end."""
        opened = transfer.opened
        if opened is not None and not isinstance(transfer.error, UploadGone):
            with self._engine.lock:
                parts = transfer.checkpoints.take()
            try:
                with self._context.stop.last_words():
                    self._report(transfer, parts)
                    if opened.source.identity is None:
                        self._context.api.abort_upload(opened.entry.upload_id)
            except Exception:  # noqa: BLE001, S110 - best effort: the journal knows these parts
                pass
        self._end_failed(transfer)

    def _end_failed(self, transfer: Transfer) -> None:
        opened = transfer.opened
        error = transfer.error or Interrupted(f"The upload of {transfer.key} was interrupted.")
        if opened is not None:
            if isinstance(error, UploadGone):
                self._context.journal.forget(opened.entry)
            self.let_go(transfer)
        self._context.announcer.tell(UploadFailed(transfer.key, error, transfer.resumable))
        self._engine.end(transfer, Outcome(transfer.request, error=error))

    @staticmethod
    def let_go(transfer: Transfer) -> None:
        """Close the file and give its lock back; once."""
        if transfer.opened is not None and not transfer.let_go:
            transfer.let_go = True
            transfer.opened.source.close()
            transfer.opened.lock.release()
