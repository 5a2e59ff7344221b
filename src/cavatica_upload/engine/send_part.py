"""One attempt at one part. It needs only its arguments, so it can run in any thread, process or machine."""

import atexit
import contextlib
import functools
import os
import socket
import time
from typing import Protocol

import attrs

from cavatica_upload.errors import (
    CavaticaError,
    EtagMismatch,
    FileChanged,
    MissingHeader,
    PartRefused,
    StorageError,
    WorkerFailed,
)
from cavatica_upload.journal.records import SentPart
from cavatica_upload.md5.lanes import ENOUGH
from cavatica_upload.plan import Part
from cavatica_upload.sources.local import LocalFile, Source
from cavatica_upload.storage import Storage, Target
from cavatica_upload.timing import full_jitter

ATTEMPTS_OF_WORKER = 3  # if the connection to storage fails; a retry needs no API call
LARGEST_BLOCK = 1 << 20
"""Bytes. Larger blocks save little CPU, keep memory allocated, and make progress coarse on a slow network."""
BLOCKS_TOGETHER = 24 << 20
"""Bytes: the most in the blocks of all parts in flight together. The rest of a process takes 45 MiB."""
BLOCKS_SENT = 2
"""Blocks of a part without MD5: one is sent, and the next is read."""
BLOCKS_HASHED = ENOUGH + 1
"""Blocks of a part with MD5: one is sent, and the others wait to be hashed together with those of other parts."""
STEP = 64 << 10
"""Bytes: block sizes are multiples of it."""


@attrs.frozen
class PartTask:
    """A part and its target. It can be pickled and holds no token. The URL in `target` is a secret until it expires.

    `path` is the file on disk, None for any other source. With `verify`, the MD5 of the bytes is compared with
    storage's ETag. `deadline` is in seconds from the start of the attempt, because the clocks of machines differ. A
    worker checks that the file at `path` has `file_size` (bytes) and `mtime_ns`. `attempt` makes each task unique,
    because Dask caches results.
    """

    part: Part
    target: Target
    path: str | None
    verify: bool = True
    deadline: float | None = None
    file_size: int | None = attrs.field(kw_only=True)
    mtime_ns: int | None = attrs.field(kw_only=True)
    attempt: int = 1


class Watch(Protocol):
    """Limits the rate of an attempt in this process, counts its bytes, and stops it."""

    def block_size(self) -> int:
        """Return how many bytes to read and send at a time."""

    def pace(self, count: int, /) -> None:
        """Wait until `count` more bytes may go out."""

    def sent(self, count: int, /) -> None:
        """Count bytes that went out."""

    def stopped(self) -> bool:
        """Whether to drop the part."""


def send_part(task: PartTask, storage: Storage, source: Source, watch: Watch) -> SentPart:
    """Send a part once, from this process, and return it as storage has it.

    Raises UrlExpired (ask for another URL), PartRefused, MissingHeader, EtagMismatch, StorageError,
    CertificateUntrusted, SourceError, and Interrupted if `watch` stopped it.
    """
    stored = storage.put(
        task.target,
        task.part,
        source,
        block_size=watch.block_size,
        on_bytes=watch.sent,
        pace=watch.pace,
        stopped=watch.stopped,
        deadline=_moment(task.deadline),
    )
    return SentPart(task.part.number, task.part.size, stored.md5, stored.headers)


def _moment(deadline: float | None) -> float:
    return float("inf") if deadline is None else time.monotonic() + deadline


@functools.cache
def _storage(_process: int, *, verify: bool) -> Storage:
    storage = Storage(hashing=verify)
    atexit.register(storage.close)
    return storage


def send_part_on_worker(task: PartTask) -> SentPart:
    """Send a part of a file on disk, as a worker of an executor; a broken connection is tried again at once.

    The errors name this host. Raises UrlExpired, PartRefused, MissingHeader and EtagMismatch for answers of storage,
    and WorkerFailed for errors that another host may not have.
    """
    host = socket.gethostname()
    try:
        return _send_patiently(task)
    except (PartRefused, MissingHeader, EtagMismatch) as error:
        error.add_to_message(f"sent by {host}")
        raise
    except CavaticaError as error:
        raise WorkerFailed(f"{host}: {error.message}", error.hint) from error


def _send_patiently(task: PartTask) -> SentPart:
    until = _moment(task.deadline)
    storage = _storage(os.getpid(), verify=task.verify)
    with contextlib.closing(LocalFile(task.path or "")) as source:
        _check_file(source, task)
        attempt = 1
        while True:
            try:
                stored = storage.put(task.target, task.part, source, deadline=until)
                return SentPart(task.part.number, task.part.size, stored.md5, stored.headers)
            except (PartRefused, MissingHeader):
                raise
            except StorageError:
                delay = full_jitter(attempt)
                if attempt == ATTEMPTS_OF_WORKER or time.monotonic() + delay > until:
                    raise
                attempt += 1
                time.sleep(delay)


def _check_file(source: LocalFile, task: PartTask) -> None:
    """Raise FileChanged if this host has another file at the path."""
    found = source.look()
    if found.size != task.file_size:
        differs = f"of {found.size:,} bytes instead of {task.file_size:,}"
    elif found.mtime_ns != task.mtime_ns:
        differs = "of the same size, written at another time"
    else:
        return
    raise FileChanged(
        f"{source.path} is another file here, {differs}.", "Let all workers see the same files, at the same paths."
    )


def block_size(parts: int, *, hashing: bool) -> int:
    """Return how many bytes to read and send at a time with `parts` parts in flight."""
    share = BLOCKS_TOGETHER // (parts * (BLOCKS_HASHED if hashing else BLOCKS_SENT))
    return max(STEP, min(LARGEST_BLOCK, share - share % STEP))
