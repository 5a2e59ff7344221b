"""Sequential reading: a stream, whose parts are stored in temporary files, and the digest of a whole file."""

import hashlib
import io
import select
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

import attrs

from cavatica_upload.disk import Identity
from cavatica_upload.errors import Interrupted, SizeMismatch, SourceError, reason_of
from cavatica_upload.plan import MAX_PARTS, Part
from cavatica_upload.receipt import FileDigest
from cavatica_upload.request import DigestName
from cavatica_upload.sources.local import BLOCK, Source, usual_block

LOOK = 0.1  # seconds between checks whether the upload was cancelled
STREAM_AHEAD = 4  # the most parts of a stream in temporary files at a time
DIGESTS = threading.Semaphore(2)  # the most files whose digest is computed at a time


class Stream:
    """Standard input, a pipe, or any binary stream.

    `cut()` reads the next part into a temporary file, so that it can be sent again; `drop()` removes that file. Which
    part is the last is known only at the end of the stream. `own` means that closing the source closes the stream.
    `ahead` are bytes that were read from it before.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        own: bool = False,
        allow_empty: bool = True,
        most: int | None = None,
        ahead: bytes = b"",
        name: str | None = None,
    ) -> None:
        self._stream = stream
        self._own = own
        self._spooled: dict[int, BinaryIO] = {}  # by the offset of the part
        self._lock = threading.Lock()
        self._ahead = ahead
        self._allow_empty = allow_empty or most == 0
        self._most = most
        self._position = 0
        self._count = 0
        self.name: str | None = name
        self.size: int | None = None
        self.identity: Identity | None = None

    def cut(
        self,
        part_size: int,
        seen: Callable[[bytes], object] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Part | None:
        """Read the next part and return it; None after the last one, when `size` is known too. `seen` gets every block.

        An empty stream gives one empty part. Raises SourceError if it may not be empty, cannot be read or kept, or has
        more than 10,000 parts. Raises SizeMismatch if it has more bytes than expected, and Interrupted if `cancelled`
        returns True; a read that blocks is interrupted only if the stream has a file descriptor.
        """
        if self.size is not None:
            return None
        try:
            spool = tempfile.TemporaryFile(prefix="cavatica-")  # noqa: SIM115 - closed by drop()
        except OSError as error:
            raise _not_kept(error) from error
        try:
            size = self._fill(spool, part_size, seen, cancelled)
            self._check(size, part_size)
        except BaseException:
            spool.close()
            raise
        if size < part_size:
            self.size = self._position + size
        if size == 0 and self._count:
            spool.close()
            return None
        self._count += 1
        part = Part(self._count, self._position, size)
        with self._lock:
            self._spooled[part.offset] = spool
        self._position += size
        return part

    def _check(self, size: int, part_size: int) -> None:
        """Raise an error if a part of this size is not allowed next."""
        if size == 0 and not self._count and not self._allow_empty:
            raise SourceError(
                "The stream is empty: its producer may have failed. Nothing was uploaded.",
                "If it is to be empty, allow it with --allow-empty.",
            )
        if self._most is not None and self._position + size > self._most:
            raise SizeMismatch(
                f"The stream has more than the {self._most:,} bytes that were expected; nothing was completed.",
                "Find out which is right.",
                expected=self._most,
            )
        if size and self._count == MAX_PARTS:
            raise SourceError(
                f"The stream has more than {MAX_PARTS:,} parts of {part_size:,} bytes.", "Give a larger part size."
            )

    def _fill(
        self, spool: BinaryIO, part_size: int, seen: Callable[[bytes], object] | None, cancelled: Callable[[], bool]
    ) -> int:
        size = 0
        try:
            while size < part_size and (block := self._next(min(BLOCK, part_size - size), cancelled)):
                spool.write(block)
                size += len(block)
                if seen is not None:
                    seen(block)
            spool.flush()
        except OSError as error:
            raise _not_kept(error) from error
        return size

    def _next(self, count: int, cancelled: Callable[[], bool]) -> bytes:
        try:
            block = self._ahead or self._read(count, cancelled)
        except (OSError, ValueError) as error:
            raise SourceError(f"The stream could not be read: {error}.") from error
        self._ahead = b""
        if block is None:
            raise SourceError("The stream has no bytes yet.", "Give a stream whose read() waits for them.")
        if not isinstance(block, bytes):
            raise SourceError("The stream gives text, not bytes.", "Open it in binary mode.")
        return block

    def _read(self, count: int, cancelled: Callable[[], bool]) -> bytes:
        """Read the available bytes, at most `count`; wait for the first ones.

        It waits with poll() and not in read(): a thread in read() cannot be stopped, and one in read() of standard
        input makes the interpreter abort at exit.
        """
        stream = self._stream
        if not (isinstance(getattr(stream, "raw", stream), io.FileIO) and hasattr(select, "poll")):
            return stream.read(count)
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLIN)
        while not poll.poll(LOOK * 1000):
            if cancelled():
                raise Interrupted.while_waiting("the stream")
        return stream.read1(count) if isinstance(stream, io.BufferedReader) else stream.read(count)

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:
        """Yield the bytes of a part between `cut()` and `drop()`."""
        with self._lock:
            spool = self._spooled[offset]
        spool.seek(0)
        while size:
            found = spool.read(min(block(), size))
            if not found:
                raise SourceError("A temporary file was cut short.", "See to the disk of TMPDIR.")
            yield found
            size -= len(found)

    def drop(self, part: Part) -> None:
        """Remove the temporary file of a part that storage has."""
        with self._lock:
            spool = self._spooled.pop(part.offset, None)
        if spool is not None:
            spool.close()

    def look(self) -> Identity:
        """Return a placeholder: a stream cannot be read again to compare it."""
        return Identity("", self.size or 0)

    def close(self) -> None:
        """Remove the remaining temporary files."""
        with self._lock:
            left, self._spooled = self._spooled, {}
        for spool in left.values():
            spool.close()
        if self._own:
            self._stream.close()


def _not_kept(error: OSError) -> SourceError:
    return SourceError(
        f"A part of the stream could not be kept in {tempfile.tempdir or 'a temporary file'}: {reason_of(error)}.",
        "Make room there, point TMPDIR at another disk, or ask for smaller parts.",
    )


@attrs.frozen
class ReadingEnded:
    """The end of reading: the size, and the digest if it was requested, or the error."""

    size: int = 0
    digest: FileDigest | None = None
    error: Exception | None = None


@attrs.define(eq=False)
class Reading:
    """Reads in its own thread. Calls `put` with each part of a stream, and with ReadingEnded at the end.

    `cancelled` is called often. A stream is read up to `STREAM_AHEAD` parts ahead of those reported by `stored()`.
    """

    source: Source
    part_size: int
    digest: DigestName | None
    put: Callable[[Part | ReadingEnded], object]
    cancelled: Callable[[], bool]
    _room: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(STREAM_AHEAD), init=False)

    def start(self) -> bool:
        """Start the thread if there is something to read; return whether it was started."""
        if not isinstance(self.source, Stream) and self.digest is None:
            return False
        threading.Thread(target=self._run, name="cavatica-reading", daemon=True).start()
        return True

    def stored(self) -> None:
        """Note that a part is stored, so that another may be read."""
        self._room.release()

    def _run(self) -> None:
        try:
            taken = None if self.digest is None else hashlib.new(self.digest, usedforsecurity=False)
            size = self._read(taken.update if taken is not None else lambda _block: None)
            digest = FileDigest(self.digest, taken.hexdigest(), "computed") if self.digest and taken else None
            ended = ReadingEnded(size, digest)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
            ended = ReadingEnded(error=error)
        self.put(ended)

    def _read(self, seen: Callable[[bytes], object]) -> int:
        """Read to the end, or until cancelled; return the size."""
        if isinstance(self.source, Stream):
            self._cut(self.source, seen)
        else:
            with DIGESTS:
                for block in self.source.blocks(0, self.source.size or 0):
                    if self.cancelled():
                        raise Interrupted.while_waiting("the digest of the file")
                    seen(block)
        return self.source.size or 0

    def _cut(self, stream: Stream, seen: Callable[[bytes], object]) -> None:
        while not self.cancelled():
            if not self._room.acquire(timeout=LOOK):
                continue
            part = stream.cut(self.part_size, seen, self.cancelled)
            if part is None:
                return
            if self.cancelled():
                stream.drop(part)
                return
            self.put(part)
