"""Sequential reading: a stream, whose parts are stored in temporary files, and the digest of a whole file."""

import hashlib
import io
import itertools
import select
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

import attrs

from cavatica_upload.disk import Identity
from cavatica_upload.errors import Interrupted, SizeMismatch, SourceError, reason_of
from cavatica_upload.plan import MAX_PARTS, Part, count_text
from cavatica_upload.receipt import FileDigest
from cavatica_upload.request import DigestName
from cavatica_upload.sources.local import BLOCK, Source, usual_block

CHECK = 0.1  # seconds between checks whether the upload was cancelled
STREAM_AHEAD = 4  # the most parts of a stream in temporary files at a time
DIGESTS = threading.Semaphore(2)  # the most files whose digest is computed at a time


@attrs.define(eq=False)
class Stream:
    """Standard input, a pipe, or any binary stream.

    `parts()` stores each part in a temporary file, at most four at a time, so that it can be sent again. `drop()`
    removes that file. Which part is the last is known only at the end of the stream. `own` means that closing the
    source closes the stream. `most` is the most bytes that the stream may have; an empty one is an error, unless
    `allow_empty`.
    """

    _stream: BinaryIO
    _own: bool = attrs.field(default=False, kw_only=True)
    _allow_empty: bool = attrs.field(default=True, kw_only=True)
    _most: int | None = attrs.field(default=None, kw_only=True)
    name: str | None = attrs.field(default=None, kw_only=True)
    size: int | None = attrs.field(default=None, init=False)
    identity: Identity | None = attrs.field(default=None, init=False)
    _stored: dict[int, BinaryIO] = attrs.field(factory=dict, init=False)  # temporary files, by the offset of the part
    _room: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(STREAM_AHEAD), init=False)

    def parts(
        self,
        part_size: int,
        on_block: Callable[[bytes], object] = lambda _block: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Part]:
        """Read the stream to its end, and yield each part when it is stored. `size` is known after the last one.

        `on_block` gets every block. An empty stream gives one empty part. Raises SourceError if it may not be empty,
        cannot be read or stored, or has more than 10,000 parts. Raises SizeMismatch if it has more bytes than expected,
        and Interrupted if `cancelled` returns True; a read that blocks is interrupted only if the stream has a file
        descriptor.
        """
        offset = 0
        for number in itertools.count(1):
            self._wait_for_room(cancelled)
            file = _temporary_file()
            try:
                part = Part(number, offset, self._fill(file, part_size, on_block, cancelled))
                self._check(part, part_size)
            except BaseException:
                file.close()
                raise
            if part.size or number == 1:
                self._stored[offset] = file
                yield part
            else:
                file.close()
            offset += part.size
            if part.size < part_size:
                self.size = offset
                return

    def _wait_for_room(self, cancelled: Callable[[], bool]) -> None:
        while not self._room.acquire(timeout=CHECK) and not cancelled():
            pass
        if cancelled():
            raise Interrupted.while_waiting("the stream")

    def _check(self, part: Part, part_size: int) -> None:
        """Raise an error if the stream is empty or too long."""
        total = part.offset + part.size
        if total == 0 and not self._allow_empty and self._most != 0:
            raise SourceError(
                "The stream is empty: its producer may have failed. Nothing was uploaded.",
                "If it is to be empty, allow it with --allow-empty.",
            )
        if self._most is not None and total > self._most:
            raise SizeMismatch(
                f"The stream has more than the expected {count_text(self._most, 'byte')}; nothing was completed.",
                "Check the stream and the expected size.",
                expected=self._most,
            )
        if part.size and part.number > MAX_PARTS:
            raise SourceError(
                f"The stream has more than {MAX_PARTS:,} parts of {part_size:,} bytes.",
                "Use a larger part size.",
            )

    def _fill(
        self, file: BinaryIO, part_size: int, on_block: Callable[[bytes], object], cancelled: Callable[[], bool]
    ) -> int:
        """Write the next part to a file; return its size."""
        size = 0
        try:
            while size < part_size and (block := self._next(min(BLOCK, part_size - size), cancelled)):
                file.write(block)
                size += len(block)
                on_block(block)
            file.flush()
        except OSError as error:
            raise _not_stored(error) from error
        return size

    def _next(self, count: int, cancelled: Callable[[], bool]) -> bytes:
        try:
            block = self._read(count, cancelled)
        except (OSError, ValueError) as error:
            raise SourceError(f"The stream could not be read: {error}.") from error
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
        while not poll.poll(CHECK * 1000):
            if cancelled():
                raise Interrupted.while_waiting("the stream")
        return stream.read1(count) if isinstance(stream, io.BufferedReader) else stream.read(count)

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:
        """Yield the bytes of a part that is stored."""
        file = self._stored[offset]
        file.seek(0)
        while size:
            found = file.read(min(block(), size))
            if not found:
                raise SourceError("A temporary file was cut short.", "Check the disk of TMPDIR.")
            yield found
            size -= len(found)

    def drop(self, offset: int) -> None:
        """Remove the temporary file of a part."""
        self._stored.pop(offset).close()
        self._room.release()

    def look(self) -> Identity:
        """Return a placeholder: a stream cannot be read again to compare it."""
        return Identity("", self.size or 0)

    def close(self) -> None:
        """Remove the remaining temporary files."""
        for file in list(self._stored.values()):  # a thread may still read
            file.close()
        if self._own:
            self._stream.close()


def _temporary_file() -> BinaryIO:
    try:
        return tempfile.TemporaryFile(prefix="cavatica-")
    except OSError as error:
        raise _not_stored(error) from error


def _not_stored(error: OSError) -> SourceError:
    return SourceError(
        f"A part of the stream could not be stored in {tempfile.tempdir or 'a temporary file'}: {reason_of(error)}.",
        "Make room there, set TMPDIR to another disk, or use smaller parts.",
    )


@attrs.frozen
class ReadingEnded:
    """The end of reading: the size, and the digest if it was requested, or the error."""

    size: int = 0
    digest: FileDigest | None = None
    error: Exception | None = None


def read_whole(
    source: Source,
    part_size: int,
    digest: DigestName | None,
    put: Callable[[Part | ReadingEnded], object],
    cancelled: Callable[[], bool],
) -> None:
    """Read a source; call `put` with each part of a stream, and with ReadingEnded. `cancelled` is called often."""
    try:
        hasher = None if digest is None else hashlib.new(digest, usedforsecurity=False)
        on_block: Callable[[bytes], object] = hasher.update if hasher is not None else lambda _block: None
        if isinstance(source, Stream):
            for part in source.parts(part_size, on_block, cancelled):
                put(part)
        else:
            _read_file(source, on_block, cancelled)
        computed = FileDigest(digest, hasher.hexdigest(), "computed") if digest and hasher else None
        ended = ReadingEnded(source.size or 0, computed)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's outcome
        ended = ReadingEnded(error=error)
    put(ended)


def _read_file(source: Source, on_block: Callable[[bytes], object], cancelled: Callable[[], bool]) -> None:
    with DIGESTS:
        for block in source.blocks(0, source.size or 0):
            if cancelled():
                raise Interrupted.while_waiting("the digest of the file")
            on_block(block)
