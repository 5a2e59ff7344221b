"""A file on disk as a source."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cavatica_upload.errors import FileChanged, SourceError
from cavatica_upload.identity import Identity
from cavatica_upload.sources.base import usual_block

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class LocalFile:
    """A regular file on disk, read with `pread`, so that threads share one descriptor."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.name: str | None = self.path.name
        with Opening(self.path):
            mode = self.path.stat().st_mode
            if not stat.S_ISREG(mode):  # to open a pipe would wait for its writer
                raise SourceError(f"{self.path} is not a regular file.", _hint_for(mode))
            self._fd = os.open(self.path, _FLAGS)
        found = os.fstat(self._fd)
        self._absolute = str(self.path.absolute())
        self._opened = _identity(self._absolute, found)
        self.identity: Identity | None = self._opened
        self.size: int | None = found.st_size
        self._read = _reader(self._fd)

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:
        """Yield the bytes of a range; raises FileChanged if the file has become shorter, SourceError if
        it cannot be read.
        """
        end = offset + size
        read = self._read
        while offset < end:
            count = min(block(), end - offset)
            try:
                try:
                    found = read(count, offset)
                except OSError as error:
                    if error.errno != errno.ESTALE:
                        raise
                    self._open_again()  # a network file system lost the handle: the path may lead to the file still
                    found = read(count, offset)
            except OSError as error:
                raise SourceError(
                    f"{self.path} could not be read: {error.strerror}.", "See to the disk, then run the same again."
                ) from error
            if not found:
                left = os.fstat(self._fd).st_size
                raise FileChanged(
                    f"{self.path} was cut short while it was being uploaded: it has {left:,} bytes instead of "
                    f"{self.size:,}. Nothing was completed.",
                    'When nothing writes to it any more, run the same command with --yes (changed="restart" in '
                    "Python): it is then uploaded anew.",
                )
            yield found
            offset += len(found)

    def look(self) -> Identity:
        """Return what the open file is now."""
        return _identity(self._absolute, os.fstat(self._fd))

    def _open_again(self) -> None:
        descriptor = os.open(self.path, _FLAGS)
        os.dup2(descriptor, self._fd, inheritable=False)
        os.close(descriptor)

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
        return "Upload a folder with --recursive (requests_for() in Python)."
    return "Upload a device or a socket through standard input: `cavatica upload - --name NAME`."


def _identity(path: str, found: os.stat_result) -> Identity:
    return Identity(path, found.st_size, found.st_dev, found.st_ino, found.st_mtime_ns, _change_time(found))


def _change_time(found: os.stat_result) -> int:
    return 0 if os.name == "nt" else found.st_ctime_ns  # on Windows it is the time of creation


def identity_of(path: str | os.PathLike[str]) -> Identity:
    """Return what a file on disk is now, without opening it. Raises OSError."""
    return _identity(str(Path(path).absolute()), Path(path).stat())


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
