"""A stream as a source: it can be read once and from front to back, so parts wait in temporary files."""

import io
import select
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

from cavatica_upload.errors import Interrupted, SizeMismatch, SourceError
from cavatica_upload.identity import Identity
from cavatica_upload.plan import MAX_PARTS, Part
from cavatica_upload.sources.base import BLOCK, usual_block

LOOK = 100  # milliseconds between looks whether the stream is still wanted


class Stream:
    """Standard input, a pipe, or any binary stream.

    `cut()` reads the next part into a temporary file of its own, from which it is sent (again, where need be) and
    which `drop()` removes. A part is known to be the last one only when the stream has ended.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        own: bool = False,
        folder: str | None = None,
        allow_empty: bool = True,
        most: int | None = None,
        ahead: bytes = b"",
        name: str | None = None,
    ) -> None:
        self._stream = stream
        self._own = own
        self._folder = folder
        self._spooled: dict[int, tuple[int, BinaryIO]] = {}  # offset -> (size, file)
        self._lock = threading.Lock()
        self._ahead = ahead  # what was read of it before
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

        Raises Interrupted as soon as `cancelled` says so, if the stream has a file descriptor.

        An empty stream gives one empty part, if it may be empty. Raises SourceError if it may not, if the stream cannot
        be read, the temporary file cannot be written, or 10,000 parts are not enough.
        """
        if self.size is not None:
            return None
        spool = tempfile.TemporaryFile(prefix="cavatica-", dir=self._folder)  # noqa: SIM115 - closed by drop()
        try:
            size = self._fill(spool, part_size, seen, cancelled)
        except BaseException:
            spool.close()
            raise
        if size == 0 and not self._count and not self._allow_empty:
            spool.close()
            raise SourceError(
                "The stream is empty: its producer may have failed. Nothing was uploaded.",
                "If it is to be empty, allow it with --allow-empty.",
            )
        if self._most is not None and self._position + size > self._most:
            spool.close()
            raise SizeMismatch(
                f"The stream has more than the {self._most:,} bytes that were expected; nothing was completed.",
                "Find out which is right.",
                expected=self._most,
            )
        if size < part_size:
            self.size = self._position + size
        if size == 0 and self._count:
            spool.close()
            return None
        self._count += 1
        if self._count > MAX_PARTS:
            spool.close()
            raise SourceError(
                f"The stream has more than {MAX_PARTS:,} parts of {part_size:,} bytes.", "Give a larger part size."
            )
        part = Part(self._count, self._position, size)
        with self._lock:
            self._spooled[part.offset] = (size, spool)
        self._position += size
        return part

    def _read(self, count: int, cancelled: Callable[[], bool]) -> bytes:
        """Read what is there, at most `count` bytes.

        A thread that waits in a read cannot be stopped, and one that waits in standard input aborts the interpreter
        when that ends: so the wait is outside of the read.
        """
        stream = self._stream
        if not (isinstance(getattr(stream, "raw", stream), io.FileIO) and hasattr(select, "poll")):
            return stream.read(count)
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLIN)
        while not poll.poll(LOOK):
            if cancelled():
                raise Interrupted.while_waiting("the stream")
        return stream.read1(count) if isinstance(stream, io.BufferedReader) else stream.read(count)

    def _fill(
        self, spool: BinaryIO, part_size: int, seen: Callable[[bytes], object] | None, cancelled: Callable[[], bool]
    ) -> int:
        size = 0
        while size < part_size:
            try:
                block = self._ahead or self._read(min(BLOCK, part_size - size), cancelled)
                self._ahead = b""
            except (OSError, ValueError) as error:
                raise SourceError(f"The stream could not be read: {error}.") from error
            if block == b"":
                break
            if not isinstance(block, bytes):
                raise SourceError("The stream gives text, not bytes.", "Open it in binary mode.")
            try:
                spool.write(block)
            except OSError as error:
                raise SourceError(
                    f"A part of the stream could not be kept in {tempfile.gettempdir()}: {error.strerror}.",
                    "Make room there, point TMPDIR at another disk, or ask for smaller parts.",
                ) from error
            size += len(block)
            if seen is not None:
                seen(block)
        try:
            spool.flush()
        except OSError as error:
            raise SourceError(
                f"A part of the stream could not be kept in {tempfile.gettempdir()}: {error.strerror}.",
                "Make room there, point TMPDIR at another disk, or ask for smaller parts.",
            ) from error
        return size

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:
        """Yield the bytes of a part that was cut and not dropped."""
        with self._lock:
            _, spool = self._spooled[offset]
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
            found = self._spooled.pop(part.offset, None)
        if found is not None:
            found[1].close()

    def look(self) -> Identity:
        """Return nothing that could be compared: what was read was read once."""
        return Identity("", self.size or 0)

    def close(self) -> None:
        """Remove what is left of temporary files."""
        with self._lock:
            left, self._spooled = list(self._spooled.values()), {}
        for _, spool in left:
            spool.close()
        if self._own:
            self._stream.close()
