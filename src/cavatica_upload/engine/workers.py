"""Sends parts through an executor, to other processes or machines. All API calls are made in this process.

A worker gets a `PartTask` and runs `send_part_on_worker`. If it fails, WorkerFailed is raised, and the part is then
sent by another worker or from this machine.
"""

import atexit
import contextlib
import functools
import pickle
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from typing import Any

import attrs

from cavatica_upload.disk import Identity
from cavatica_upload.errors import (
    CavaticaError,
    EtagMismatch,
    FileChanged,
    Interrupted,
    MissingHeader,
    PartRefused,
    StorageError,
    WorkerFailed,
)
from cavatica_upload.plan import MIB, Part, PartUrl, count_text
from cavatica_upload.redact import scrub
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.storage import SentPart, Storage
from cavatica_upload.timing import Timing

ATTEMPTS_OF_WORKER = 3  # if the connection to storage fails; a retry needs no API call
CHECK_SECONDS = 0.1  # between checks whether a part on a worker is still wanted
CHECK_SIZE_SECONDS = 1.0  # between checks of the number of Dask workers
ANSWER_SECONDS = 5.0  # that a Dask scheduler may take to answer
GRACE_SECONDS = 60.0  # after the deadline of a part until its worker is given up
FAILURES_IN_A_ROW = 8  # per worker; after that many, with no part under way, the executor is given up
MOST_PARTS = 512  # on workers at a time: a thread of this process waits for each
EXPECTED_RATE = 64 * MIB  # bytes per second assumed for a worker: about that of one connection to S3

_SIZE_ATTRIBUTES = ("_max_workers", "max_workers", "num_workers")  # concurrent.futures and Parsl, executorlib, mpi4py
_ALL_WELL = "The workers of the Dask cluster send the parts."
_INSTALL = "Install the same version of cavatica-upload for the workers as here."


# On the worker


@attrs.frozen
class PartTask:
    """A part and its target. It can be pickled and holds no token. The URL in `target` is a secret until it expires.

    `file` is the file as this machine sees it; a worker checks that it sees the same one. With `verify`, the MD5 of the
    bytes is compared with storage's ETag. `seconds` is the most time for the attempt; it is not a moment, because the
    clocks of machines differ. `attempt` makes each task unique, because Dask caches results.
    """

    part: Part
    target: PartUrl
    file: Identity
    verify: bool = True
    seconds: float = float("inf")
    attempt: int = 1


def send_part_on_worker(task: PartTask) -> SentPart:
    """Send a part of a file on disk; retry if the connection breaks.

    The errors name this host. Raises UrlExpired, PartRefused, MissingHeader and EtagMismatch for answers of storage,
    and WorkerFailed for errors that another host may not have.
    """
    host = socket.gethostname()
    try:
        return _send_with_retries(task)
    except (PartRefused, MissingHeader, EtagMismatch) as error:
        error.add_to_message(f"sent by {host}")
        raise
    except CavaticaError as error:
        raise WorkerFailed(f"{host}: {error.message}", error.hint) from error


def _send_with_retries(task: PartTask) -> SentPart:
    deadline = time.monotonic() + task.seconds
    storage = _storage(verify=task.verify)
    with contextlib.closing(LocalFile(task.file.path)) as source:
        _check_file(source, task.file)
        attempt = 1
        while True:
            try:
                return storage.put(task.target, task.part, source, deadline=deadline)
            except (PartRefused, MissingHeader):
                raise
            except StorageError:
                delay = Timing().backoff(attempt)
                if attempt == ATTEMPTS_OF_WORKER or time.monotonic() + delay > deadline:
                    raise
                attempt += 1
                time.sleep(delay)


@functools.cache
def _storage(*, verify: bool) -> Storage:
    storage = Storage(hashing=verify)
    atexit.register(storage.close)
    return storage


def _check_file(source: LocalFile, file: Identity) -> None:
    """Raise FileChanged if this host has another file at the path."""
    found = source.look()
    if found.size != file.size:
        differs = f"of {count_text(found.size, 'byte')} instead of {file.size:,}"
    elif found.mtime_ns != file.mtime_ns:
        differs = "of the same size, written at another time"
    else:
        return
    raise FileChanged(
        f"{source.path} is another file here, {differs}.", "Let all workers see the same files, at the same paths."
    )


# On this machine


@attrs.frozen
class _Call:
    """A task that runs when it is unpickled.

    Dask unpickles functions and arguments on the scheduler, too, and a worker that cannot do so shuts down. So Dask
    gets `pickle.loads` and bytes instead: if this package is missing on a worker, only the task fails.
    """

    task: PartTask

    def __reduce__(self) -> tuple[Callable[[PartTask], SentPart], tuple[PartTask]]:
        return send_part_on_worker, (self.task,)


@attrs.define(eq=False, slots=False)
class Workers:
    """An executor, the number of parts that it can send at a time, and whether it works.

    `notice` receives each message for the user once. `patience` is how many seconds parts wait for a worker before
    they are sent from this machine. `expected_rate` is that of all workers together, in bytes per second.
    """

    _executor: Executor
    _notice: Callable[[str], None]
    _patience: float = attrs.field(kw_only=True)
    _expected_rate: float | None = attrs.field(default=None, kw_only=True)
    size: int | None = attrs.field(init=False)
    """How many parts can be sent at the same time; None if the executor does not say."""

    def __attrs_post_init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._failures = 0  # in a row
        self._noticed: set[str] = set()  # kinds of notices
        self._lost = False
        self._away = False  # no workers for too long, or no answer of the Dask scheduler
        self._empty_since: float | None = None
        self._looking = threading.Lock()
        self._state = _ALL_WELL
        self._closed = threading.Event()
        client = getattr(self._executor, "_client", None)
        self._dask: Any = client if hasattr(client, "nthreads") else None
        sizes = (getattr(self._executor, name, None) for name in _SIZE_ATTRIBUTES)
        self.size = next((size for size in sizes if isinstance(size, int) and size > 0), None)

    def watch(self) -> None:
        """Start to follow the number of workers of a Dask cluster."""
        if self._dask is not None:
            self.look()
            threading.Thread(target=self._watch, name="cavatica-workers", daemon=True).start()

    def look(self) -> None:
        """Request the number of workers from the Dask scheduler, and emit a notice if there are none, or some again."""
        with self._looking:
            size = None
            if self._answers:
                with contextlib.suppress(Exception):  # of many kinds, if the scheduler is lost at this moment
                    size = sum(self._dask.nthreads(callback_timeout=ANSWER_SECONDS).values())
            now = time.monotonic()
            self._empty_since = (self._empty_since or now) if size == 0 else None
            for_long = self._empty_since is not None and now - self._empty_since > self._patience
            self.size, self._away = size, for_long or size is None
            if size is None:
                state = "The Dask scheduler does not answer; parts are sent from this machine."
            elif for_long:
                state = "The Dask cluster has no workers; parts are sent from this machine until it has."
            elif size == 0:
                state = "The Dask cluster has no workers; parts wait for one."
            else:
                state = _ALL_WELL
            if state != self._state:
                self._state = state
                self._notice(state)

    def _watch(self) -> None:
        while not self._closed.wait(CHECK_SIZE_SECONDS):
            self.look()

    def close(self) -> None:
        """Stop following the cluster. The executor is left open; its owner closes it."""
        self._closed.set()

    @property
    def usable(self) -> bool:
        """Whether to give parts to the executor."""
        return self._answers and not (self._lost or self._away)

    @property
    def _answers(self) -> bool:
        """Whether the connection to the Dask scheduler is open; always for another executor."""
        return self._dask is None or self._dask.status == "running"

    @property
    def limit(self) -> int | None:
        """How many parts to have in flight; None if the engine should find that out."""
        if not self.usable or self.size is None:
            return None
        return min(MOST_PARTS, max(1, self.size))

    @property
    def expected_rate(self) -> float | None:
        """Bytes per second of all workers together: the given rate, else an assumption for each worker."""
        if self._expected_rate is not None or not self.usable or not self.size:
            return self._expected_rate
        return self.size * EXPECTED_RATE

    def send(self, task: PartTask, dropped: Callable[[], bool]) -> SentPart:
        """Let a worker send a part.

        Raises the errors of `send_part_on_worker`, WorkerFailed if no result came back, and Interrupted if the part was
        `dropped` meanwhile.
        """
        with self._lock:
            self._under_way += 1
        failure = None
        try:
            return self._result(self._submit(task), task, dropped)
        except WorkerFailed as error:
            failure = error
            raise
        finally:  # any other error is an answer of storage or a stop, and no failure of the worker
            self._count(failure)

    def _submit(self, task: PartTask) -> "Future[Any]":
        try:
            return self._executor.submit(pickle.loads, pickle.dumps(_Call(task)))
        except Exception as error:
            if self._answers:
                self._lose(f"The executor accepts no more parts ({type(error).__name__}).")
            raise WorkerFailed("The executor did not accept the part.") from error

    def _result(self, future: "Future[Any]", task: PartTask, dropped: Callable[[], bool]) -> SentPart:
        until = time.monotonic() + task.seconds + GRACE_SECONDS
        while not wait([future], timeout=CHECK_SECONDS).done:
            if dropped():
                self._cancel(future)
                raise Interrupted(f"Part {task.part.number} was dropped.")
            if not self.usable or time.monotonic() > until:
                self._cancel(future)
                raise WorkerFailed("The part did not come back from a worker.")
        try:
            sent = future.result()
        except WorkerFailed as error:
            self._failed(error.message.partition(":")[0], error)  # once for each host
            raise
        except CavaticaError:
            raise
        except BrokenExecutor as error:
            self._lose(f"The executor lost its workers ({type(error).__name__}).")
            raise WorkerFailed("The worker was lost.") from error
        except CancelledError as error:
            if not self._answers:
                self.look()
            raise WorkerFailed("The executor cancelled the part.") from error
        except BaseException as error:  # Ctrl-C reaches the processes of a terminal, and is not for this thread
            failure = _failure(error)
            self._failed(type(error).__name__, failure)
            raise failure from error
        if not isinstance(sent, SentPart) or (sent.number, sent.size) != (task.part.number, task.part.size):
            failure = WorkerFailed("A worker returned something other than a sent part.", _INSTALL)
            self._failed("result", failure)
            raise failure
        return sent

    def _cancel(self, future: "Future[Any]") -> None:
        if self._answers:  # without a scheduler, cancel() raises
            future.cancel()

    def _count(self, failure: WorkerFailed | None) -> None:
        """Count the end of a part, and give up the executor after too many failures in a row."""
        with self._lock:
            self._under_way -= 1
            self._failures = 0 if failure is None else self._failures + 1
            many = FAILURES_IN_A_ROW * (self.size or 1)  # one bad worker fails fast and takes many parts
            useless = self._failures >= many and self._under_way == 0
        if useless:
            self._lose(f"{self._failures} parts in a row failed on the workers. The last: {failure}")

    def _failed(self, kind: str, failure: WorkerFailed) -> None:
        self._notice_once(kind, " ".join(filter(None, (failure.message, "The part is sent again.", failure.hint))))

    def _lose(self, why: str) -> None:
        self._lost = True
        self._notice_once("lost", f"{why} Parts are sent from this machine from now on.")

    def _notice_once(self, kind: str, text: str) -> None:
        with self._lock:
            known = kind in self._noticed
            self._noticed.add(kind)
        if not known:
            self._notice(text)


def _failure(error: BaseException) -> WorkerFailed:
    reason = scrub(str(error)).replace("\n", " ").partition(". ")[0].rstrip(".")
    if isinstance(error, ImportError | AttributeError):  # the second is what pickle raises for a missing class
        return WorkerFailed(f"A worker could not send a part: {reason}.", _INSTALL)
    return WorkerFailed(f"A worker failed with a part ({type(error).__name__}{': ' if reason else ''}{reason}).")
