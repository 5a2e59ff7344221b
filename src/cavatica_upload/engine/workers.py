"""Sends parts through an executor, to other processes or machines. All API calls are made in this process.

Any failure of a worker raises WorkerFailed. The part is then sent by another worker or from this machine.
"""

import contextlib
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from typing import Any

import attrs

from cavatica_upload.engine.send_part import PartTask, Watch, send_part_on_worker
from cavatica_upload.errors import CavaticaError, Interrupted, WorkerFailed
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import MIB
from cavatica_upload.redact import scrub

LOOK = 0.1  # seconds between checks whether a part on a worker is still wanted
LOOK_AT_SIZE = 1.0  # seconds between checks of the number of Dask workers
ANSWER = 5.0  # seconds that a Dask scheduler may take to answer
GRACE = 60.0  # seconds after the deadline of a part until its worker is given up
FAILURES_IN_A_ROW = 8  # per worker; after that many, with no part under way, the executor is given up
MOST = 512  # the most parts on workers at a time: a thread of this process waits for each
EXPECTED_RATE = 64 * MIB
"""Bytes per second assumed for a worker if no rate is given: about that of one connection to S3."""

_SIZE_ATTRIBUTES = ("_max_workers", "max_workers", "num_workers")  # concurrent.futures and Parsl, executorlib, mpi4py
_ALL_WELL = "The workers of the Dask cluster send the parts."
_INSTALL = "Install the same version of cavatica-upload for the workers as here."


@attrs.frozen
class _Call:
    """A task that runs when it is unpickled.

    Dask unpickles functions and arguments on the scheduler, too, and a worker that cannot do so shuts down. So Dask
    gets `pickle.loads` and bytes instead: if this package is missing on a worker, only the task fails.
    """

    task: PartTask

    def __reduce__(self) -> tuple[Callable[[PartTask], SentPart], tuple[PartTask]]:
        return send_part_on_worker, (self.task,)


class Workers:
    """An executor, the number of parts that it can send at a time, and whether it works.

    `notice` receives each message for the user once. `patience` is how many seconds parts wait for a worker before
    they are sent from this machine. `expected_rate` is that of all workers together, in bytes per second.
    """

    def __init__(
        self,
        executor: Executor,
        notice: Callable[[str], None],
        *,
        patience: float,
        expected_rate: float | None = None,
    ) -> None:
        self._executor = executor
        self._notice = notice
        self._patience = patience
        self._expected_rate = expected_rate
        self._lock = threading.Lock()
        self._under_way = 0
        self._failures = 0
        self._told: set[str] = set()
        self._gone = False
        self._away = False
        self._empty_since: float | None = None
        self._looking = threading.Lock()
        self._state = _ALL_WELL
        self._closed = threading.Event()
        client = getattr(executor, "_client", None)
        self._dask: Any = client if hasattr(client, "nthreads") else None
        sizes = (getattr(executor, name, None) for name in _SIZE_ATTRIBUTES)
        self.size = next((size for size in sizes if isinstance(size, int) and size > 0), None)
        """How many parts can be sent at the same time; None if the executor does not say."""

    def watch(self) -> None:
        """Start to follow the number of workers of a Dask cluster."""
        if self._dask is not None:
            self.look()
            threading.Thread(target=self._watch, name="cavatica-workers", daemon=True).start()

    def look(self) -> None:
        """Ask the Dask scheduler for the number of workers, and tell the user of a change."""
        if self._dask is None:
            return
        with self._looking:
            size = None
            if self._answers:
                with contextlib.suppress(Exception):  # of many kinds, if the scheduler is lost at this moment
                    size = sum(self._dask.nthreads(callback_timeout=ANSWER).values())
            self._empty_since = (self._empty_since or time.monotonic()) if size == 0 else None
            for_long = self._empty_since is not None and time.monotonic() - self._empty_since > self._patience
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

    def close(self) -> None:
        """Stop following the cluster. The executor is left open; its owner closes it."""
        self._closed.set()

    @property
    def usable(self) -> bool:
        """Whether to give parts to the executor."""
        return self._answers and not (self._gone or self._away)

    @property
    def _answers(self) -> bool:
        """Whether the connection to the Dask scheduler is open; always for another executor."""
        return self._dask is None or self._dask.status == "running"

    @property
    def limit(self) -> int | None:
        """How many parts to have in flight; None if the engine should find that out."""
        if not self.usable or self.size is None:
            return None
        return min(MOST, max(1, self.size))

    @property
    def expected_rate(self) -> float | None:
        """Bytes per second of all workers together: the given rate, else an assumption for each worker."""
        if self._expected_rate is not None or not self.usable or not self.size:
            return self._expected_rate
        return self.size * EXPECTED_RATE

    def send(self, task: PartTask, watch: Watch) -> SentPart:
        """Let a worker send a part; its bytes are counted at the end.

        Raises the errors of `send_part_on_worker`, WorkerFailed if no result came back, and Interrupted if `watch`
        stopped it.
        """
        with self._lock:
            self._under_way += 1
        failure = None
        try:
            sent = self._send(task, watch)
        except WorkerFailed as error:
            failure = error
            raise
        finally:  # any other error is an answer of storage or a stop, and no failure of the worker
            self._ended(failure)
        watch.sent(sent.size)
        return sent

    def _send(self, task: PartTask, watch: Watch) -> SentPart:
        number = task.part.number
        try:
            future: Future[Any] = self._executor.submit(pickle.loads, pickle.dumps(_Call(task)))
        except Exception as error:
            if self._answers:
                self._lose(f"The executor accepts no more parts ({_name(error)}).")
            raise WorkerFailed("The executor did not accept the part.") from error
        until = float("inf") if task.deadline is None else time.monotonic() + task.deadline + GRACE
        while not wait([future], timeout=LOOK).done:
            if watch.stopped():
                self._cancel(future)
                raise Interrupted(f"Part {number} was dropped.")
            if not self.usable or time.monotonic() > until:
                self._cancel(future)
                raise WorkerFailed("The part did not come back from a worker.")
        try:
            sent = future.result()
        except WorkerFailed as error:
            self._tell_once(error.message.partition(":")[0], error)  # once for each host
            raise
        except CavaticaError:
            raise
        except BrokenExecutor as error:
            self._lose(f"The executor lost its workers ({_name(error)}).")
            raise WorkerFailed("The worker was lost.") from error
        except CancelledError as error:
            if not self._answers:
                self.look()
            raise WorkerFailed("The executor cancelled the part.") from error
        except BaseException as error:  # Ctrl-C reaches the processes of a terminal, and is not for this thread
            failure = _failure(error)
            self._tell_once(_name(error), failure)
            raise failure from error
        if not isinstance(sent, SentPart) or (sent.number, sent.size) != (number, task.part.size):
            failure = WorkerFailed("A worker returned something other than a sent part.", _INSTALL)
            self._tell_once("answer", failure)
            raise failure
        return sent

    def _cancel(self, future: Future[Any]) -> None:
        if self._answers:  # without a scheduler, cancel() raises
            future.cancel()

    def _ended(self, failure: WorkerFailed | None) -> None:
        with self._lock:
            self._under_way -= 1
            self._failures = 0 if failure is None else self._failures + 1
            many = FAILURES_IN_A_ROW * (self.size or 1)  # one bad worker fails fast and takes many parts
            useless = self._failures >= many and self._under_way == 0
        if useless:
            self._lose(f"{self._failures} parts in a row failed on the workers. The last: {failure}")

    def _tell_once(self, what: str, failure: WorkerFailed) -> None:
        with self._lock:
            told = what in self._told
            self._told.add(what)
        if not told:
            self._notice(" ".join(filter(None, (failure.message, "The part is sent again.", failure.hint))))

    def _lose(self, why: str) -> None:
        with self._lock:
            gone, self._gone = self._gone, True
        if not gone:
            self._notice(f"{why} Parts are sent from this machine from now on.")

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_AT_SIZE):
            self.look()


def _failure(error: BaseException) -> WorkerFailed:
    said = scrub(str(error)).replace("\n", " ").partition(". ")[0].rstrip(".")
    if isinstance(error, ImportError):
        return WorkerFailed(f"A worker could not send a part: {said}.", _INSTALL)
    return WorkerFailed(f"A worker failed with a part ({_name(error)}{': ' if said else ''}{said}).")


def _name(error: BaseException) -> str:
    return type(error).__name__
