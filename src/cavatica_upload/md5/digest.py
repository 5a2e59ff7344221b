"""What a part's MD5 is asked of, and which implementation answers."""

import hashlib
from typing import Protocol


class PartDigest(Protocol):
    """The MD5 of one part; used by one thread at a time."""

    def update(self, block: bytes) -> None:
        """Take the next block of the part. May return before the block is hashed."""

    def hexdigest(self) -> str:
        """The MD5 of all blocks so far, 32 lower-case hexadecimal digits. Waits until they are hashed."""


class HashlibDigest:
    """An MD5 taken at once, by OpenSSL."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, block: bytes) -> None:
        self._md5.update(block)

    def hexdigest(self) -> str:
        return self._md5.hexdigest()


def new_digest() -> PartDigest:
    """A digest of nothing yet."""
    return HashlibDigest()


def implementation() -> str:
    """Which implementation takes the MD5s of this process: `hashlib`."""
    return "hashlib"
