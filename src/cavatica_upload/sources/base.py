"""What a source is: read by ranges, by several threads at once, in blocks; nothing holds a whole part in memory."""

from collections.abc import Callable, Iterator
from typing import Protocol

from cavatica_upload.identity import Identity

BLOCK = 512 * 1024  # bytes


def usual_block() -> int:
    """Return how many bytes to read at a time if nobody knows better."""
    return BLOCK


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
