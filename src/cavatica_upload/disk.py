"""Files that this package writes: private folders, and texts that are on disk whole or not at all."""

import os
import stat
import tempfile
from pathlib import Path


def private_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, for this user only (0700), whatever the umask is.

    An empty folder of this user's that others may enter is closed to them, too. Raises OSError.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    if not missing:
        _close(path)


def _close(folder: Path) -> None:
    found = folder.stat()
    mine = hasattr(os, "getuid") and found.st_uid == os.getuid()
    if mine and found.st_mode & 0o077 and not any(folder.iterdir()):
        folder.chmod(0o700)


def is_regular_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a regular file is there. Never raises; to open a pipe instead would wait for its writer."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names that are too long


def json_files(folder: Path) -> list[Path]:
    """Return the regular files `*.json` in a folder, sorted; none if there is no such folder, or it cannot be read."""
    if not os.path.isdir(folder):  # noqa: PTH112 - unlike Path.is_dir, it never raises
        return []
    return sorted(path for path in folder.glob("*.json") if is_regular_file(path))


def write_whole(path: Path, text: str) -> None:
    """Write a text (UTF-8) to a path that the user named: whole or not at all, even after a power cut.

    Links are followed. What is there and is no regular file (a pipe, a device) is written into, never replaced. A file
    that is replaced keeps its permissions. Raises OSError.
    """
    try:
        mode: int | None = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with path.open("w", encoding="utf-8") as file:
            file.write(text)
        return
    path = Path(os.path.realpath(path))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if mode is not None:
                Path(temporary).chmod(stat.S_IMODE(mode))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
