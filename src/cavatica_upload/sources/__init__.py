"""The sources of an upload: a file on disk, a stream, or an object with a URL."""

import os
import re
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from cavatica_upload.sources.local import LocalFile, Source, open_regular, opening

_URL = re.compile(r"[a-z][a-z0-9+.-]+(::[^/]*)?://", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Return whether a source is a URL rather than a path (`C:\\data` is a path)."""
    return _URL.match(text) is not None


def file_size(source: str | os.PathLike[str] | BinaryIO) -> int | None:
    """Return the size of a regular file; None for any other source, or if the file cannot be read."""
    if not isinstance(source, str | os.PathLike):
        return None
    try:
        found = Path(source).stat()
    except (OSError, ValueError):  # the engine reports the error
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def is_missing(source: str | os.PathLike[str] | BinaryIO) -> bool:
    """Return whether a source is a path, and nothing can be seen there."""
    if not isinstance(source, str | os.PathLike) or is_url(os.fspath(source)):
        return False
    return not os.path.exists(source)  # noqa: PTH110 - Path.exists() raises PermissionError


def open_source(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    regular: bool = False,
    allow_empty: bool = True,
    most: int | None = None,
) -> Source:
    """Open a path, a URL (with the extra `remote`), or a binary stream.

    A path is read as a stream if it is a pipe (a named one, or the shell's `<(…)`), or if its size is 0 but it has
    bytes (`/proc`, some FUSE file systems). If it was a `regular` file before, a pipe is refused, because it may
    have no writer. Reading an empty stream raises SourceError, unless `allow_empty`. Reading more than `most` bytes
    raises SizeMismatch. Raises SourceError if the source cannot be opened.
    """
    if isinstance(source, str) and is_url(source):
        from cavatica_upload.sources.remote import RemoteFile

        return RemoteFile(source)
    if isinstance(source, str | os.PathLike):
        stream, name = _open_stream(Path(source), regular=regular)
        if stream is None:
            return LocalFile(source)
    else:
        stream, name = source, None
    from cavatica_upload.sources.stream import Stream

    return Stream(stream, own=stream is not source, allow_empty=allow_empty, most=most, name=name)


def _open_stream(path: Path, *, regular: bool) -> tuple[BinaryIO | None, str | None]:
    """Open a path that is to be read as a stream; return the stream (None for any other path) and its name."""
    with opening(path):
        found = path.stat()
        if stat.S_ISFIFO(found.st_mode) and not regular:
            # On Linux without waiting for its writer: the stream waits for bytes, and that wait can be stopped.
            descriptor = os.open(path, os.O_RDONLY | (os.O_NONBLOCK if sys.platform == "linux" else 0))
            os.set_blocking(descriptor, True)
            return os.fdopen(descriptor, "rb", buffering=0), None
        if stat.S_ISREG(found.st_mode) and found.st_size == 0:
            file = os.fdopen(open_regular(path), "rb")
            if file.peek(1):
                return file, path.name
            file.close()
    return None, None
