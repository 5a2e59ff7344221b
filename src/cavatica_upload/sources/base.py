"""What a source is: read by ranges, by several threads at once, in blocks; nothing holds a whole part in memory."""

from collections.abc import Callable, Iterator
from typing import Protocol

import attrs

BLOCK = 512 * 1024  # bytes


def usual_block() -> int:
    """Return how many bytes to read at a time if nobody knows better."""
    return BLOCK


@attrs.frozen
class Identity:
    """What makes a source the same as before: an upload is resumed only for an equal one.

    Of a file on disk its device, inode, size, and the times of its last write and of its last change (which nobody can
    set back), in nanoseconds; of a remote object its size and `tag` (ETag, generation or time, whatever its store
    gives).
    """

    path: str
    size: int
    device: int = 0
    inode: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    tag: str = ""

    def same_as(self, other: "Identity") -> bool:
        """Return whether nothing touched the bytes in between; if not, only reading them can tell.

        The number of a device may change with a reboot (network and logical volumes); then the path must agree.
        """
        return (self.size, self.inode, self.mtime_ns, self.ctime_ns, self.tag) == (
            other.size,
            other.inode,
            other.mtime_ns,
            other.ctime_ns,
            other.tag,
        ) and (self.device == other.device or self.path == other.path)

    def difference(self, other: "Identity") -> str:
        """Say in a few words how `other`, looked at later, differs."""
        if self.size != other.size:
            return f"its size went from {self.size:,} to {other.size:,} bytes"
        if self.mtime_ns != other.mtime_ns:
            return "its modification time has changed"
        if self.inode != other.inode:
            return "it was replaced by another file"
        return "it was written to, or its owner or permissions changed"


class Source(Protocol):
    """A source that is open for reading."""

    name: str | None
    """The last element of its path; None where there is no path."""
    size: int | None
    """In bytes; None where only reading to the end will tell."""
    identity: Identity | None
    """None if the source cannot be read a second time."""

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:
        """Yield the bytes of a range, `block()` at most at a time; raises SourceError where they are not there."""

    def look(self) -> Identity:
        """Return what the source is now. Raises SourceError."""

    def close(self) -> None:
        """Let go of it."""
