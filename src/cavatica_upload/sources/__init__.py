"""The sources of an upload: a file on disk, a stream, or an object with a URL."""

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from cavatica_upload.errors import UsageError
from cavatica_upload.sources.local import LocalFile, Source, open_regular, opening
from cavatica_upload.sources.remote import RemoteFile, is_url
from cavatica_upload.sources.stream import Stream


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
    if not isinstance(source, str | os.PathLike):
        if not hasattr(source, "read"):
            raise UsageError(
                f"Expected a path or a binary file, got {type(source).__name__}.", "Wrap bytes in io.BytesIO."
            )
        return Stream(source, allow_empty=allow_empty, most=most)
    if isinstance(source, str) and is_url(source):
        return RemoteFile(source)
    path = Path(source)
    with opening(path):
        mode = path.stat().st_mode
        if stat.S_ISFIFO(mode) and not regular:
            return Stream(_open_pipe(path), own=True, allow_empty=allow_empty, most=most)
        if stat.S_ISREG(mode) and path.stat().st_size == 0:
            stream = os.fdopen(open_regular(path), "rb", buffering=0)
            first = stream.read(1)
            if first:
                return Stream(stream, own=True, ahead=first, name=path.name, most=most)
            stream.close()
    return LocalFile(path)


def _open_pipe(path: Path) -> BinaryIO:
    """Open a named pipe; on Linux without waiting for its writer: the stream waits for bytes, which can be stopped."""
    descriptor = os.open(path, os.O_RDONLY | (os.O_NONBLOCK if sys.platform == "linux" else 0))
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb", buffering=0)
