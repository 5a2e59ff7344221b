"""Ranges of a file that the kernel moves to a connection by itself (sendfile(2)), underneath httpcore.

httpcore takes bytes. What it is given are stand-ins, bytes of the right length that nobody reads; the connection that
is to write one asks here what it stands for. A stand-in that does not reach its connection as it is raises: it must
never go out itself.
"""

import sys
import threading
from collections.abc import Iterator

import attrs

from cavatica_upload.sources.local import LocalFile

POSSIBLE = sys.platform == "linux"
"""Other systems have it too, each with its own ways to fail."""
BLOCK = 4 << 20
"""Bytes that the kernel is asked to send at a time: progress is told after each. They take no memory. Eight times as
many go a fiftieth faster."""


@attrs.frozen
class Span:
    """`size` bytes of a file from `offset` on."""

    source: LocalFile
    offset: int
    size: int


class _Here(threading.local):
    span: Span | None = None


class Spans:
    """What the stand-in stands for that each thread is about to write."""

    def __init__(self) -> None:
        self._here = _Here()
        self._stand_in = b""

    def blocks(self, source: LocalFile, offset: int, size: int) -> Iterator[bytes]:
        """Yield stand-ins for a range, `BLOCK` bytes at most at a time; each is to be written before the next."""
        end = offset + size
        while offset < end:
            count = min(BLOCK, end - offset)
            stand_in = self._stand_in
            if len(stand_in) != count:
                stand_in = self._stand_in = bytes(count)
            self._here.span = Span(source, offset, count)
            yield stand_in
            if self._here.span is not None:
                raise RuntimeError("a stand-in was not written")
            offset += count

    def take(self, buffer: bytes) -> Span | None:
        """Return what a buffer stands for that this thread is to write; None where it stands for itself."""
        span, self._here.span = self._here.span, None
        if span is not None and len(buffer) != span.size:
            raise RuntimeError("a stand-in was changed on its way")
        return span

    def forget(self) -> None:
        """Begin anew, whatever this thread left unwritten when it failed."""
        self._here.span = None
