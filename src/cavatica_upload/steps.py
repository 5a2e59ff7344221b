"""What is done on the engine's threads: each step blocks as it must, without the engine's lock, and never raises."""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5, sha256
from typing import TYPE_CHECKING

from cavatica_upload.context import Context
from cavatica_upload.errors import CavaticaError, Interrupted, StorageError, UploadBusy, UploadGone, UrlExpired
from cavatica_upload.events import (
    PartRetried,
    PartSent,
    PartsReported,
    UploadCompleted,
    UploadFailed,
    UploadSkipped,
    UploadStarted,
)
from cavatica_upload.finishing import Finished, PartsMissingError, finish
from cavatica_upload.opening import Opened, open_upload
from cavatica_upload.part_urls import ask
from cavatica_upload.plan import Part
from cavatica_upload.receipt import FileDigest
from cavatica_upload.records import SentPart
from cavatica_upload.reports import report_of
from cavatica_upload.request import Outcome
from cavatica_upload.spool import Stream
from cavatica_upload.starting import SkippedFile
from cavatica_upload.storage import Storage, Target
from cavatica_upload.throttle import Throttle
from cavatica_upload.transfer import Transfer

if TYPE_CHECKING:
    from cavatica_upload.engine import Engine

BUSY_PAUSE = 1.0  # seconds until another look at a file that another process has
STREAM_PAUSE = 0.05  # seconds between looks whether a stream may be read on
DIGESTS = 2  # files whose whole digest is taken at once


class Steps:
    """The steps of every upload: open, ask for a URL, put, report, finish or give up."""

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
        self._digests = ThreadPoolExecutor(DIGESTS, thread_name_prefix="cavatica-digest")

    def close(self) -> None:
        """Let go of connections and threads."""
        self._digests.shutdown(wait=False, cancel_futures=True)
        self._storage.close()

    # A file's beginning

    def open(self, transfer: Transfer) -> None:
        """Open the file and its upload on the server."""
        try:
            opened = open_upload(self._context, transfer.request)
        except SkippedFile as reason:
            self._context.announcer.tell(UploadSkipped(transfer.key, str(reason)))
            self._engine.end(transfer, Outcome(transfer.request, skipped=str(reason)))
            return
        except UploadBusy as error:
            if transfer.request.wait and not self._context.stop.stopping.is_set():
                self._engine.busy_elsewhere(transfer, BUSY_PAUSE)
                return
            self._fail_to_open(transfer, error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
            self._fail_to_open(transfer, error)
            return
        self._context.announcer.tell(
            UploadStarted(
                file=transfer.key,
                upload_id=opened.entry.upload_id,
                size=opened.source.size,
                part_size=opened.part_size,
                parts=opened.plan.count if opened.plan is not None else None,
                resumed_parts=len(opened.kept),
                resumed_bytes=sum(part.size for part in opened.kept.values()),
            )
        )
        with self._engine.lock:
            transfer.digesting = transfer.request.digest is not None
            transfer.open(opened, self._context.clock())
        if isinstance(opened.source, Stream):
            threading.Thread(
                target=self._read_stream, args=(transfer, opened.source), name="cavatica-stream", daemon=True
            ).start()
        elif transfer.request.digest is not None:
            self._digests.submit(self._take_digest, transfer, opened)
        self._engine.opened(transfer)

    def _fail_to_open(self, transfer: Transfer, error: Exception) -> None:
        self._context.announcer.tell(UploadFailed(transfer.key, error, resumable=isinstance(error, Interrupted)))
        self._engine.end(transfer, Outcome(transfer.request, error=error))

    def _read_stream(self, transfer: Transfer, stream: Stream) -> None:
        opened = transfer.opened
        whole = _hash(transfer.request.digest)
        try:
            while opened is not None and transfer.error is None and not self._context.stop.stopping.is_set():
                if not transfer.wants_stream:
                    self._context.stop.stopping.wait(STREAM_PAUSE)
                    continue
                part = stream.cut(opened.part_size, whole.update if whole is not None else None)
                if part is None:
                    break
                with self._engine.lock:
                    transfer.stream(part)
                    self._engine.pump()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
            with self._engine.lock:
                transfer.fail(error)
        with self._engine.lock:
            if whole is not None and stream.size is not None:
                transfer.digest = FileDigest(transfer.request.digest or "md5", whole.hexdigest(), "computed")
            transfer.digesting = False
            transfer.stream_ended(stream.size or 0)
            self._engine.settle(transfer)

    def _take_digest(self, transfer: Transfer, opened: Opened) -> None:
        whole = _hash(transfer.request.digest)
        try:
            for block in opened.source.blocks(0, opened.source.size or 0):
                if transfer.error is not None or self._context.stop.stopping.is_set():
                    break
                if whole is not None:
                    whole.update(block)
            else:
                if whole is not None:
                    transfer.digest = FileDigest(transfer.request.digest or "md5", whole.hexdigest(), "computed")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
            with self._engine.lock:
                transfer.fail(error)
        with self._engine.lock:
            transfer.digesting = False
            self._engine.settle(transfer)

    # Its parts

    def fetch_url(self, transfer: Transfer, part: Part) -> None:
        """Ask where to put a part."""
        opened = transfer.opened
        if opened is None:
            return
        try:
            target = ask(self._context, opened.entry.upload_id, part.number)
        except Exception as error:  # noqa: BLE001 - judged by its kind
            self._engine.url_failed()
            self._part_failed(transfer, part, error, None)
        else:
            self._engine.url_came(transfer, part, target)

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
        if opened.journalled:  # before anybody is told of it
            self._context.journalled(lambda journal: journal.put(opened.entry, sent), None)
        if isinstance(opened.source, Stream):
            opened.source.drop(part)
        self._context.announcer.tell(PartSent(transfer.key, part.number, part.size, stored.seconds))
        with self._engine.lock:
            transfer.done(sent, self._context.clock())
            self._engine.settle(transfer)

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

    # Its end

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
        if opened.journalled:
            numbers = [part.number for part in parts]
            self._context.journalled(lambda journal: journal.mark_reported(opened.entry, numbers), None)
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
                receipt = finish(self._context, finished, unreported)
        except PartsMissingError as wanted:
            with self._engine.lock:
                transfer.checkpoints.put_back(unreported, self._context.clock())
                if transfer.resend(wanted.numbers):
                    self._engine.settle(transfer)
                    return
                transfer.fail(StorageError("The server goes on wanting the same parts again.", "Ask its support."))
            self._end_failed(transfer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
            with self._engine.lock:
                transfer.checkpoints.put_back(unreported, self._context.clock())
                transfer.fail(error)
            self._end_failed(transfer)
        else:
            self._let_go(opened)
            self._context.announcer.tell(UploadCompleted(transfer.key, receipt))
            self._engine.end(transfer, Outcome(transfer.request, receipt=receipt))

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
            if isinstance(error, UploadGone) and opened.journalled:
                self._context.journalled(lambda journal: journal.forget(opened.entry), None)
            self._let_go(opened)
        self._context.announcer.tell(UploadFailed(transfer.key, error, transfer.resumable))
        self._engine.end(transfer, Outcome(transfer.request, error=error))

    @staticmethod
    def _let_go(opened: Opened) -> None:
        opened.source.close()
        opened.lock.release()


def _at_once(_count: int) -> None:
    """Wait for nothing: there is no cap."""


def _hash(name: str | None) -> "hashlib._Hash | None":
    return None if name is None else (sha256() if name == "sha256" else md5(usedforsecurity=False))


def _with_attempts(error: Exception, failures: int) -> Exception:
    if isinstance(error, StorageError) and failures > 1:
        error.message = f"{error.message.rstrip('.')} (given up after {failures} attempts)."
        error.args = (error.message,)
    return error
