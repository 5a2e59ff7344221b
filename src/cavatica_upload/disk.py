"""Files of this machine: the state folder, private folders, atomic writes, what cannot be read, what changed."""

import contextlib
import errno
import functools
import os
import stat
import tempfile
import time
from pathlib import Path, PurePath

import attrs

from cavatica_upload.errors import reason_of

READER_SECONDS = 10.0  # how long the reader of a named pipe may take to open it


def state_dir(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of journal and receipts: `given`, else CAVATICA_STATE_DIR, else the user's state directory.

    If there is no home folder, or it cannot be written, it is a folder for temporary files.
    """
    chosen = given or os.environ.get("CAVATICA_STATE_DIR")
    return Path(os.path.expanduser(chosen)) if chosen else _default_folder()[0]  # noqa: PTH111 - never raises


def state_notice() -> str | None:
    """Return a sentence if the journal and the receipts are not in the usual folder, None if they are."""
    return None if os.environ.get("CAVATICA_STATE_DIR") else _default_folder()[1]


def _default_folder() -> tuple[Path, str | None]:
    import platformdirs  # slow, and seldom needed

    try:
        usual = platformdirs.user_state_path("cavatica-upload")
    except RuntimeError:  # neither HOME nor an entry in the list of users
        folder = _temporary_folder()
        return folder, f"The home folder is not known: journal and receipts are in {folder}."
    existing = next(path for path in (usual, *usual.parents) if os.path.exists(path))  # noqa: PTH110 - never raises
    if os.access(existing, os.W_OK | os.X_OK):
        return usual, None
    folder = _temporary_folder()
    return folder, (
        f"{existing} cannot be written: journal and receipts are in {folder}. To keep them, set CAVATICA_STATE_DIR."
    )


@functools.cache
def _temporary_folder() -> Path:
    """Return the folder of this user, or a new one if another user made it."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(tempfile.gettempdir()) / f"cavatica-upload-{user}"
    with contextlib.suppress(OSError):
        private_folder(path)
    found = path.lstat() if path.exists() else None
    ours = found is not None and stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022
    return path if ours else Path(tempfile.mkdtemp(prefix="cavatica-upload-"))


def private_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, for this user only (0700), whatever the umask is.

    If the folder exists, belongs to this user and is empty, it is made private, too. Raises OSError.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    if not missing and hasattr(os, "getuid"):
        found = path.stat()
        if found.st_uid == os.getuid() and found.st_mode & 0o077 and not any(path.iterdir()):
            path.chmod(0o700)


def is_regular_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a regular file is there. Never raises; to open a pipe instead would wait for its writer."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names that are too long


def read_problem(error: Exception, path: str) -> str:
    """Return why a path cannot be read, as the end of a sentence; if it does not exist, with a likely cause."""
    match error:
        case FileNotFoundError() if Path(path).is_symlink():
            return "it is a link to something that does not exist"
        case FileNotFoundError() if any(part.startswith("~") for part in PurePath(path).parts):
            return "there is no such file (only a shell replaces “~” by your home folder; write the whole path)"
        case FileNotFoundError() if "\u00a0" in path:
            return "there is no such file (there is a no-break space in it)"
        case FileNotFoundError() if any(part != part.strip() for part in PurePath(path).parts):
            return "there is no such file (there is a space at its beginning or end)"
        case FileNotFoundError():
            return "there is no such file"
        case PermissionError():
            return "you have no permission to read it"
        case NotADirectoryError():
            return "a part of its path is a file, and not a folder"
        case ValueError():
            return "this cannot be the path of a file"
    return reason_of(error)


def json_files(folder: Path) -> list[Path]:
    """Return the regular files `*.json` in a folder, sorted; none if there is no such folder, or it cannot be read."""
    if not os.path.isdir(folder):  # noqa: PTH112 - unlike Path.is_dir, it never raises
        return []
    return sorted(path for path in folder.glob("*.json") if is_regular_file(path))


def write_whole(path: Path, text: str) -> None:
    """Write a text (UTF-8) to a path that the user named: whole or not at all, even after a power cut.

    Links are followed. A pipe or a device is written to, never replaced. A file that is replaced keeps its permissions;
    a new one is for this user only. Raises OSError, also for a pipe that nobody reads.
    """
    try:
        mode: int | None = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with os.fdopen(_open_special(path), "w", encoding="utf-8") as file:
            file.write(text)
        return
    path = Path(os.path.realpath(path))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            Path(temporary).chmod(0o600 if mode is None else stat.S_IMODE(mode))
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Raise OSError if `write_whole` could not write to a path now. Nothing is left there."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISREG(mode):
        tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))).close()  # noqa: PTH120 - never raises
    elif stat.S_ISDIR(mode) or not os.access(path, os.W_OK):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EACCES
        raise OSError(number, os.strerror(number))


def _open_special(path: Path) -> int:
    """Open a pipe or a device for writing. Without O_NONBLOCK this would wait for the reader of a pipe forever."""
    deadline = time.monotonic() + READER_SECONDS
    while True:
        try:
            number = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            if time.monotonic() > deadline:
                raise OSError(errno.ENXIO, "nobody reads the pipe") from error
            time.sleep(0.05)
        else:
            os.set_blocking(number, True)
            return number


@attrs.frozen
class Identity:
    """The identity of a source. If it is the same as before, the bytes are the same.

    For a file on disk it is the device, inode, size in bytes, and the times of the last write and of the last change in
    nanoseconds; no program can set back the second. For a remote object it is the size and `tag`, which is the ETag,
    generation or time that its store gives.
    """

    path: str
    size: int
    device: int = 0
    inode: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    tag: str = ""

    def same_as(self, other: "Identity") -> bool:
        """Return whether the bytes are certainly unchanged; if not, only reading them can tell.

        The number of a device may change with a reboot (network and logical volumes); then the path must agree.
        """
        same_place = self.device == other.device or self.path == other.path
        return same_place and self == attrs.evolve(other, device=self.device, path=self.path)

    def may_be_same_as(self, other: "Identity") -> bool:
        """Return whether the bytes may be unchanged: the size is the same, and the path or the inode."""
        same_file = self.path == other.path or 0 != self.inode == other.inode
        return self.same_as(other) or (same_file and self.size == other.size)

    def difference(self, other: "Identity") -> str:
        """Return in a few words how a later identity differs."""
        if self.size != other.size:
            return f"its size went from {self.size:,} to {other.size:,} bytes"
        if self.mtime_ns != other.mtime_ns:
            return "its modification time has changed"
        if self.inode != other.inode:
            return "it was replaced by another file"
        return "it was written to, or its owner or permissions changed"


def identity_from(path: str, found: os.stat_result) -> Identity:
    """Return the identity of a file on disk from its path and what stat() says of it."""
    changed = 0 if os.name == "nt" else found.st_ctime_ns  # on Windows it is the time of creation
    return Identity(path, found.st_size, found.st_dev, found.st_ino, found.st_mtime_ns, changed)


def identity_of(path: str | os.PathLike[str]) -> Identity:
    """Return what a file on disk is now, without opening it. Raises OSError."""
    return identity_from(str(Path(path).absolute()), Path(path).stat())
