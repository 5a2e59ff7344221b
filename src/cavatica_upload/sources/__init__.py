"""Where bytes come from: a file on disk, a stream, an object behind a URL."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from cavatica_upload.errors import UsageError
from cavatica_upload.sources.base import Source
from cavatica_upload.sources.local import LocalFile, Opening
from cavatica_upload.sources.remote import RemoteFile, is_url
from cavatica_upload.sources.stream import Stream


def open_source(source: str | os.PathLike[str] | BinaryIO) -> Source:
    """Open a path, a URL (with the extra `remote`), or a binary stream.

    A path that is a pipe (a named one, or the shell's `<(…)`) is read as a stream. Raises SourceError.
    """
    if not isinstance(source, str | os.PathLike):
        if not hasattr(source, "read"):
            raise UsageError(f"A {type(source).__name__} is no path and no binary stream.")
        return Stream(source)
    if isinstance(source, str) and is_url(source):
        return RemoteFile(source)
    path = Path(source)
    with Opening(path):
        if stat.S_ISFIFO(path.stat().st_mode):
            return Stream(path.open("rb", buffering=0), own=True)
    return LocalFile(path)
