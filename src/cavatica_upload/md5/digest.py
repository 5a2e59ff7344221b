"""What a part's MD5 is asked of, and which implementation answers."""

import hashlib
import os
import threading
from typing import Protocol

from cavatica_upload.errors import ConfigError
from cavatica_upload.md5.library import load
from cavatica_upload.md5.pool import LaneDigest, Pool

VARIABLE = "CAVATICA_MD5"
"""The environment variable that forces an implementation, `hashlib` or `lanes`; read when the first is needed."""


class PartDigest(Protocol):
    """The MD5 of one part; used by one thread at a time."""

    def update(self, block: bytes) -> None:
        """Take the next block of the part. May return before the block is hashed; the block is kept until then."""

    def hexdigest(self) -> str:
        """The MD5 of all blocks so far, 32 lower-case hexadecimal digits. Waits until they are hashed."""


class HashlibDigest:
    """An MD5 taken at once, by OpenSSL."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, block: bytes) -> None:
        """Hash the next block of the part."""
        self._md5.update(block)

    def hexdigest(self) -> str:
        """The MD5 of all blocks so far."""
        return self._md5.hexdigest()


class Choice:
    """Which implementation this process uses, settled when it is first asked."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Choose anew: a forked child has no threads that would finish what the pool began."""
        self._lock = threading.Lock()
        self._settled = False
        self._pool: Pool | None = None

    def pool(self) -> Pool | None:
        """Where digests share the lanes; None means hashlib. Raises ConfigError where VARIABLE cannot be obeyed."""
        with self._lock:
            if not self._settled:
                self._pool = _pool(os.environ.get(VARIABLE, ""))
                self._settled = True
            return self._pool


def _pool(forced: str) -> Pool | None:
    if forced not in ("", "hashlib", "lanes"):
        raise ConfigError(f"{VARIABLE} is {forced!r}.", "Set it to hashlib or lanes, or unset it.")
    library = load() if forced != "hashlib" else None
    if library is None and forced == "lanes":
        raise ConfigError(
            f"{VARIABLE} asks for lanes, and they were not built for this machine.",
            "Install again where there is a C compiler, or unset it.",
        )
    return Pool(library) if library is not None else None


_choice = Choice()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_choice.forget)


def new_digest() -> PartDigest:
    """A digest of nothing yet. Raises ConfigError where CAVATICA_MD5 cannot be obeyed."""
    pool = _choice.pool()
    return LaneDigest(pool) if pool is not None else HashlibDigest()


def implementation() -> str:
    """Which one takes the MD5s of this process: `lanes` or `hashlib`. Raises ConfigError as `new_digest` does."""
    return "lanes" if _choice.pool() is not None else "hashlib"
