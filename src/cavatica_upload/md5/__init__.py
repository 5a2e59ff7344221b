"""MD5 of parts, computed from the bytes as they are sent."""

import functools
import os
from hashlib import md5
from typing import Protocol

from cavatica_upload.errors import UsageError
from cavatica_upload.md5.lanes import LaneDigest, Pool, load

VARIABLE = "CAVATICA_MD5"
"""The environment variable that chooses an implementation, `hashlib` or `lanes`; read when the first is needed."""


class PartDigest(Protocol):
    """The MD5 of one part; used by one thread at a time."""

    def update(self, chunk: bytes, /) -> None:
        """Add the next bytes of the part. May return before they are hashed; they are kept until then."""

    def hexdigest(self) -> str:
        """Return the MD5 of all bytes so far, 32 lower-case hexadecimal digits. Waits until they are hashed."""


def new_digest() -> PartDigest:
    """Return a new digest. Raises UsageError if the implementation that CAVATICA_MD5 names is not available."""
    pool = _pool(os.getpid())
    return LaneDigest(pool) if pool is not None else md5(usedforsecurity=False)


def implementation() -> str:
    """Return which implementation this process uses: `lanes` or `hashlib`. Raises UsageError as `new_digest` does."""
    return "lanes" if _pool(os.getpid()) is not None else "hashlib"


@functools.cache  # by process: a forked child has no threads that would finish what the pool started
def _pool(_process: int) -> Pool | None:
    forced = os.environ.get(VARIABLE, "")
    if forced not in ("", "hashlib", "lanes"):
        raise UsageError(f"{VARIABLE} is {forced!r}.", "Set it to hashlib or lanes, or unset it.")
    library = load() if forced != "hashlib" else None
    if library is None and forced == "lanes":
        raise UsageError(
            f"{VARIABLE} is lanes, which were not built for this machine.",
            "Install a C compiler and then this program again, or unset it.",
        )
    return Pool(library) if library is not None else None
