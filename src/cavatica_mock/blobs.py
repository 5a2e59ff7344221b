"""The bytes of parts: a folder with one file for each part.

A completed file remains a sequence of parts. So completing an upload copies nothing, never needs the space twice, and
is one transaction in SQLite: no crash can leave a half-assembled file.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from cavatica_mock.store import Piece

BLOCK: Final = 2**18


class PartWriter:
    """Writes one blob. `keep()` makes it part of the folder, `drop()` removes it."""

    def __init__(self, partial: Path, final: Path) -> None:
        self._partial, self._final = partial, final
        self._file: BinaryIO = partial.open("xb", buffering=0)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.blob = final.name
        self.size = 0

    def write(self, block: bytes) -> None:
        self._md5.update(block)
        self.size += len(block)
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]

    def md5(self) -> bytes:
        """The digest of the bytes written so far."""
        return self._md5.digest()

    def flip_a_bit(self) -> None:
        """Corrupt one bit of the bytes written, and the digest with them: for the fault `corrupt`."""
        if self.size == 0:
            return
        with self._partial.open("r+b") as file:
            file.seek(self.size // 2)
            corrupt = file.read(1)[0] ^ 1
            file.seek(self.size // 2)
            file.write(bytes((corrupt,)))
            file.seek(0)
            self._md5 = hashlib.file_digest(file, "md5")

    def keep(self) -> None:
        # No fsync: the page cache outlives the process, and a mock need not outlive the machine.
        self._file.close()
        self._partial.replace(self._final)

    def drop(self) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)


class Blobs:
    """The folder. The mock makes the names in it; nothing that a client sends becomes a path."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs"
        self._partial = folder / "partial"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._partial.mkdir(exist_ok=True)

    def sweep(self, wanted: set[str]) -> None:
        """Remove what a crash left: half-written blobs, and whole ones that no row uses."""
        for path in self._partial.iterdir():
            path.unlink()
        for path in self._blobs.iterdir():
            if path.name not in wanted:
                path.unlink()

    def incoming(self) -> PartWriter:
        name = secrets.token_hex(16)
        return PartWriter(self._partial / name, self._blobs / name)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self._blobs / name).unlink(missing_ok=True)

    def read(self, pieces: Iterable[Piece], start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of the pieces in sequence, in blocks, from `start` on. Raises OSError if a blob is gone."""
        left = sum(piece.size for piece in pieces) - start if length is None else length
        for piece in pieces:
            if left <= 0:
                return
            if start >= piece.size:
                start -= piece.size
                continue
            with (self._blobs / piece.blob).open("rb", buffering=0) as file:
                file.seek(start)
                start = 0
                while left > 0 and (block := file.read(min(BLOCK, left))):
                    left -= len(block)
                    yield block
