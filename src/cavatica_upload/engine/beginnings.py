"""The first step of a file, on the engine's threads: open it, and start to read what is read from front to back."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5, sha256
from typing import TYPE_CHECKING

from cavatica_upload.engine.context import Context
from cavatica_upload.engine.open import Opened, open_upload
from cavatica_upload.engine.start import SkippedFile
from cavatica_upload.engine.transfer import Transfer
from cavatica_upload.errors import Interrupted, UploadBusy
from cavatica_upload.events import UploadFailed, UploadSkipped, UploadStarted
from cavatica_upload.receipt import FileDigest
from cavatica_upload.request import Outcome
from cavatica_upload.sources.stream import Stream

if TYPE_CHECKING:
    from cavatica_upload.engine.engine import Engine

BUSY_PAUSE = 1.0  # seconds until another look at a file that another process has
STREAM_PAUSE = 0.05  # seconds between looks whether a stream may be read on
DIGESTS = 2  # files whose whole digest is taken at once


class Beginnings:
    """Opens files. A step blocks as it must, without the engine's lock, and never raises."""

    def __init__(self, engine: "Engine", context: Context) -> None:
        self._engine = engine
        self._context = context
        self._digests = ThreadPoolExecutor(DIGESTS, thread_name_prefix="cavatica-digest")

    def close(self) -> None:
        """Let go of threads."""
        self._digests.shutdown(wait=False, cancel_futures=True)

    def open(self, transfer: Transfer) -> None:
        """Open the file and its upload on the server."""
        try:
            opened = open_upload(self._context, transfer.request)
        except SkippedFile as reason:
            self._context.announcer.tell(UploadSkipped(transfer.key, str(reason)))
            self._engine.end(transfer, Outcome(transfer.request, receipt=reason.receipt, skipped=str(reason)))
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


def _hash(name: str | None) -> "hashlib._Hash | None":
    return None if name is None else (sha256() if name == "sha256" else md5(usedforsecurity=False))
