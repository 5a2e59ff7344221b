"""Helpers of the tests of the compiled MD5."""

import shutil
from hashlib import md5

from cavatica_upload.md5 import load

LIBRARY = load()
WIDTHS = [lanes for lanes in (1, 4, 8, 16) if LIBRARY is not None and lanes <= LIBRARY.lanes]
"""Each way in which the compiled code of this machine can be asked to work; none where there is no compiled code."""

COMPILER = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def pattern(size: int, salt: int = 0) -> bytes:
    """Bytes of a given length that differ from block to block and from salt to salt."""
    seed = md5(salt.to_bytes(8), usedforsecurity=False).digest()
    return (b"".join(seed + number.to_bytes(5) for number in range(size // 21 + 1)))[:size]
