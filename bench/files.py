"""The files that are uploaded: the same bytes on every machine, and no two blocks alike."""

import random
from pathlib import Path

BLOCK = 4 << 20


def write_file(path: Path, size: int, seed: int = 2026) -> Path:
    """Write `size` bytes that no storage could compress or confuse."""
    base = random.Random(seed).randbytes(min(BLOCK, size))
    with path.open("wb") as file:
        for index, start in enumerate(range(0, size, BLOCK)):
            turn = index * 4099 % BLOCK
            file.write((base[turn:] + base[:turn])[: size - start])
    return path


def write_sparse_file(path: Path, size: int) -> Path:
    """Make a file of zeros that takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(size)
    return path
