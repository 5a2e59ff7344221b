"""One process at a time for one upload: a lock file that the kernel releases on a crash."""

import contextlib
import hashlib
from pathlib import Path

import filelock

from cavatica_upload.destination import Destination
from cavatica_upload.disk import private_folder
from cavatica_upload.errors import UploadBusy


class UploadLock:
    """The lock of what goes to one destination under one name. Works between threads, too.

    Where lock files are not possible (a disk that is full or read-only), the upload goes on unlocked.
    """

    def __init__(self, state: Path, endpoint: str, destination: Destination, name: str) -> None:
        target = "\0".join((endpoint, destination.project or "", destination.parent or "", name))
        self._path = (
            state / "locks" / f"{hashlib.sha256(target.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}.lock"
        )
        self._name = name
        self._lock: filelock.BaseFileLock | None = None

    def acquire(self) -> None:
        """Take the lock or raise UploadBusy."""
        try:
            private_folder(self._path.parent)
            lock = filelock.FileLock(self._path, timeout=0, thread_local=False)
            lock.acquire()
        except filelock.Timeout as error:
            raise UploadBusy(
                f"Another upload of {self._name!r} to the same place is under way, in this run or in another process.",
                "Let it finish, or wait for it with --wait.",
            ) from error
        except OSError:
            return
        self._lock = lock

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is None:
            return
        # Removed while it is held: who waits for it notices that it is gone and makes a new one.
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._lock.release()
        self._lock = None
