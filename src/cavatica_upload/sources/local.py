"""A file on disk as a source."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cavatica_upload.errors import FileChanged, SourceError
from cavatica_upload.sources.base import Identity, usual_block


class LocalFile:
    """A regular file on disk, read with `pread`, so that threads share one descriptor."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.name: str | None = self.path.name
        with Opening(self.path):
            self._fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(self._fd)
            raise SourceError(f"{self.path} is not a regular file.", _hint_for(found.st_mode))
        self._absolute = str(self.path.absolute())
        self._opened = _identity(self._absolute, found)
        self.identity: Identity | None = self._opened
        self.size: int | None = found.st_size
        self._read = _reader(self._fd)

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:
        """Yield the bytes of a range; raises SourceError where the file has become shorter or cannot be read."""
        end = offset + size
        read = self._read
        while offset < end:
            try:
                found = read(min(block(), end - offset), offset)
            except OSError as error:
                raise SourceError(
                    f"{self.path} could not be read: {error.strerror}.", "See to the disk, then run the same again."
                ) from error
            if not found:
                left = os.fstat(self._fd).st_size
                raise SourceError(
                    f"{self.path} was cut short while it was being uploaded: it has {left:,} bytes instead of "
                    f"{self.size:,}.",
                    "Let nothing write to a file that is being uploaded; run the same again when it is finished.",
                )
            yield found
            offset += len(found)

    def check(self) -> None:
        """Raise FileChanged where the file (also: the one that now has its path) is no longer the one opened."""
        now = _identity(self._absolute, os.fstat(self._fd))
        if now == self._opened:
            try:
                now = _identity(self._absolute, Path(self._absolute).stat())
            except OSError:
                return  # deleted or out of reach meanwhile: the bytes that were sent are still those of the file
        if now != self._opened:
            raise FileChanged(
                f"{self.path} changed while it was being uploaded: {self._opened.difference(now)}.",
                "Run the same again when nothing writes to the file; the unfinished upload is then replaced.",
            )

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Opening:
    """Turn an OSError of opening a file into a SourceError of one sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, OSError | ValueError):
            return
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise SourceError(f"{self._path} does not exist.", "Check the path.") from error
        if isinstance(error, PermissionError):
            raise SourceError(f"{self._path} may not be read: permission denied.", "Ask its owner.") from error
        if isinstance(error, IsADirectoryError):  # Windows says PermissionError instead
            raise SourceError(f"{self._path} is a directory.", "Upload it with --recursive.") from error
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise SourceError("Too many files are open.", "Raise the limit (ulimit -n).") from error
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"{self._path} could not be opened: {why}.") from error


def _hint_for(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "Upload a directory with --recursive."
    return "Upload a device or a socket through standard input: `cavatica upload - --name NAME`."


def _identity(path: str, found: os.stat_result) -> Identity:
    return Identity(path, found.st_size, found.st_dev, found.st_ino, found.st_mtime_ns)


def _reader(fd: int) -> Callable[[int, int], bytes]:
    if hasattr(os, "pread"):

        def read(count: int, offset: int) -> bytes:
            return os.pread(fd, count, offset)

        return read
    lock = threading.Lock()  # Windows: one file position for all threads

    def seek_and_read(count: int, offset: int) -> bytes:
        with lock:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, count)

    return seek_and_read
