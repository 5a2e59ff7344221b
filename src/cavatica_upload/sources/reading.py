"""What is read from front to back beside the upload: a stream, cut into parts, and the digest of a whole file."""

import hashlib
import threading
from collections.abc import Callable

import attrs

from cavatica_upload.plan import Part
from cavatica_upload.receipt import FileDigest
from cavatica_upload.request import DigestName
from cavatica_upload.sources.base import Source
from cavatica_upload.sources.stream import Stream

LOOK = 0.1  # seconds between looks whether a stream may be read on
STREAM_AHEAD = 4  # parts of a stream that lie in temporary files at a time
DIGESTS = threading.Semaphore(2)  # files whose whole digest is computed at a time


@attrs.frozen
class ReadingEnded:
    """A file was read to its end: its size, and its digest if one was asked for; or reading failed."""

    size: int = 0
    digest: FileDigest | None = None
    error: Exception | None = None


@attrs.define(eq=False)
class Reading:
    """Reads on a thread of its own. Every part of a stream and, at the end, ReadingEnded are `put` into a queue.

    `cancelled` is asked often. A stream is read `STREAM_AHEAD` parts ahead; `stored()` says that one is stored.
    """

    source: Source
    part_size: int
    digest: DigestName | None
    put: Callable[[Part | ReadingEnded], object]
    cancelled: Callable[[], bool]
    _room: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(STREAM_AHEAD), init=False)

    def start(self) -> bool:
        """Begin if there is something to read; return whether there is."""
        if not isinstance(self.source, Stream) and self.digest is None:
            return False
        threading.Thread(target=self._run, name="cavatica-reading", daemon=True).start()
        return True

    def stored(self) -> None:
        """Let another part of the stream be read."""
        self._room.release()

    def _run(self) -> None:
        try:
            stream = self.source if isinstance(self.source, Stream) else None
            ended = self._read_file() if stream is None else self._read_stream(stream)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
            ended = ReadingEnded(error=error)
        self.put(ended)

    def _read_stream(self, stream: Stream) -> ReadingEnded:
        whole = _hash(self.digest)
        while not self.cancelled():
            if not self._room.acquire(timeout=LOOK):
                continue
            part = stream.cut(self.part_size, whole.update, self.cancelled)
            if part is None:
                break
            if self.cancelled():
                stream.drop(part)
                break
            self.put(part)
        return ReadingEnded(stream.size or 0, self._made(whole))

    def _read_file(self) -> ReadingEnded:
        whole = _hash(self.digest)
        with DIGESTS:
            for block in self.source.blocks(0, self.source.size or 0):
                if self.cancelled():
                    return ReadingEnded()
                whole.update(block)
        return ReadingEnded(self.source.size or 0, self._made(whole))

    def _made(self, whole: "hashlib._Hash | _Nothing") -> FileDigest | None:
        return None if self.digest is None else FileDigest(self.digest, whole.hexdigest(), "computed")


class _Nothing:
    """The digest that nobody asked for."""

    def update(self, _block: bytes) -> None:
        """Take nothing."""

    def hexdigest(self) -> str:
        return ""


def _hash(name: DigestName | None) -> "hashlib._Hash | _Nothing":
    return _Nothing() if name is None else hashlib.new(name, usedforsecurity=False)
