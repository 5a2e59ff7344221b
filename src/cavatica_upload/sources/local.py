"""The interface of sources, and a file on disk as a source."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from cavatica_upload.disk import Identity, identity_from
from cavatica_upload.errors import FileChanged, SourceError, reason_of
from cavatica_upload.plan import count_text

BLOCK = 512 * 1024  # bytes
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def usual_block() -> int:
    """Return the default number of bytes to read at a time."""
    return BLOCK


class Source(Protocol):
    """A source that is open for reading."""

    name: str | None  # the last element of its path
    size: int | None  # in bytes; None if it is known only after reading to the end
    identity: Identity | None  # None if the source cannot be read a second time

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:
        """Yield the bytes of a range, `block()` at most at a time; raises SourceError if they are missing."""

    def look(self) -> Identity:
        """Return what the source is now. Raises SourceError."""

    def close(self) -> None:
        """Close it."""


class LocalFile:
    """A regular file on disk, read with `pread`, so that threads share one descriptor."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.name: str | None = self.path.name
        self._fd = open_regular(self.path)
        found = os.fstat(self._fd)
        self._absolute = str(self.path.absolute())
        self.identity: Identity | None = identity_from(self._absolute, found)
        self.size: int | None = found.st_size
        self._position = threading.Lock()

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:
        """Yield the bytes of a range; raises FileChanged if the file is too short, SourceError if it is unreadable."""
        end = offset + size
        while offset < end:
            count = min(block(), end - offset)
            try:
                found = self._read(count, offset)
            except OSError as error:
                raise SourceError(
                    f"{self.path} could not be read: {reason_of(error)}.",
                    "Check the disk, then run the same command again.",
                ) from error
            if not found:
                left = os.fstat(self._fd).st_size
                raise FileChanged(
                    f"{self.path} was cut short while it was being uploaded: it has {count_text(left, 'byte')} "
                    f"instead of {self.size:,}. Nothing was completed.",
                    'Wait until nothing writes to it. Then run the same command with --yes (changed="restart" in '
                    "Python) to upload it from the start.",
                )
            yield found
            offset += len(found)

    def look(self) -> Identity:
        return identity_from(self._absolute, os.fstat(self._fd))

    def _read(self, count: int, offset: int) -> bytes:
        try:
            return self._read_at(count, offset)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        # A network file system lost the handle; the path may still lead to the file.
        descriptor = open_regular(self.path)
        os.dup2(descriptor, self._fd, inheritable=False)
        os.close(descriptor)
        return self._read_at(count, offset)

    def _read_at(self, count: int, offset: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._fd, count, offset)
        with self._position:  # Windows: one file position for all threads
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.read(self._fd, count)

    def close(self) -> None:
        os.close(self._fd)


@contextlib.contextmanager
def opening(path: Path) -> Iterator[None]:
    """Turn an OSError of opening a file into a SourceError of one sentence."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceError(f"{path} does not exist.", "Check the path.") from error
    except PermissionError as error:
        raise SourceError(f"{path} cannot be read: permission denied.", "Ask its owner for permission.") from error
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            raise SourceError("Too many files are open.", "Raise the limit (ulimit -n).") from error
        raise SourceError(f"{path} could not be opened: {reason_of(error)}.") from error


def open_regular(path: Path) -> int:
    """Open a regular file for reading; raises SourceError for anything else, even if it appears at this moment."""
    with opening(path):
        _check_regular(path, path.stat().st_mode)  # to open a device may do something
        descriptor = os.open(path, _FLAGS)  # does not wait for the writer of a pipe
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise SourceError(
            f"{path} is not a regular file.",
            "Upload a folder with “cavatica upload --recursive” (requests_for() in Python)."
            if stat.S_ISDIR(mode)
            else "Upload a device, a pipe or a socket through standard input: `cavatica upload - --name NAME`.",
        )
