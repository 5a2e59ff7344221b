"""The interface of sources: several threads read ranges in blocks; nothing holds a whole part in memory."""

from collections.abc import Callable, Iterator
from typing import Protocol

from cavatica_upload.identity import Identity

BLOCK = 512 * 1024  # bytes


def usual_block() -> int:
    """Return the default number of bytes to read at a time."""
    return BLOCK


class Source(Protocol):
    """A source that is open for reading."""

    name: str | None
    """The last element of its path; None if there is no path."""
    size: int | None
    """In bytes; None if it is known only after reading to the end."""
    identity: Identity | None
    """None if the source cannot be read a second time."""

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:
        """Yield the bytes of a range, `block()` at most at a time; raises SourceError if they are missing."""

    def look(self) -> Identity:
        """Return what the source is now. Raises SourceError."""

    def close(self) -> None:
        """Close it."""
