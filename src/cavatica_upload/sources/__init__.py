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
    from cavatica_upload.sources.stream import Stream  # only what is needed is loaded

    if not isinstance(source, str | os.PathLike):
        return Stream(source, allow_empty=allow_empty, most=most)
    if isinstance(source, str) and is_url(source):
        from cavatica_upload.sources.remote import RemoteFile

        return RemoteFile(source)
    path = Path(source)
    with opening(path):
        found = path.stat()
        if stat.S_ISFIFO(found.st_mode) and not regular:
            return Stream(_open_pipe(path), own=True, allow_empty=allow_empty, most=most)
        if stat.S_ISREG(found.st_mode) and found.st_size == 0:
            file = os.fdopen(open_regular(path), "rb")
            if file.peek(1):
                return Stream(file, own=True, name=path.name, most=most)
            file.close()
    return LocalFile(path)


def _open_pipe(path: Path) -> BinaryIO:
    """Open a named pipe; on Linux without waiting for its writer: the stream waits for bytes, which can be stopped."""
    descriptor = os.open(path, os.O_RDONLY | (os.O_NONBLOCK if sys.platform == "linux" else 0))
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb", buffering=0)
