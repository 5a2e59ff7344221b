"""One process at a time for one upload: a lock file that the kernel releases on a crash."""

import contextlib
import hashlib
from pathlib import Path

import filelock

from cavatica_upload.destination import Destination
from cavatica_upload.disk import private_folder
from cavatica_upload.errors import UploadBusy


class UploadLock:
    """The lock of uploads to one destination under one name, between processes and threads. Raises UploadBusy.

    If lock files are not possible (the disk is full or read-only), the upload continues without a lock.
    """

    def __init__(self, state: Path, endpoint: str, destination: Destination, name: str) -> None:
        target = "\0".join((endpoint, destination.project or "", destination.parent or "", name))
        digest = hashlib.sha256(target.encode("utf-8", "surrogatepass")).hexdigest()
        self._path = state / "locks" / f"{digest[:40]}.lock"
        self._lock: filelock.BaseFileLock | None = filelock.FileLock(self._path, timeout=0, thread_local=False)
        try:
            private_folder(self._path.parent)
            self._lock.acquire()
        except filelock.Timeout as error:
            raise UploadBusy(
                f"Another upload of {name!r} to the same place is under way, in this run or in another process.",
                "Let it finish, or use “cavatica upload --wait” (wait=True in Python).",
            ) from error
        except OSError:
            self._lock = None

    def release(self) -> None:
        if self._lock is None:
            return
        # Removed while it is held: a process that waits for it notices that it is gone and makes a new one.
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._lock.release()
        self._lock = None
