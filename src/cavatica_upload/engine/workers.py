"""Sends parts through an executor: other processes, other machines. The calls of the API stay here.

Whatever goes wrong there is a WorkerFailed in one sentence, and the part is sent by another worker or from here.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from typing import Any

from cavatica_upload.engine.send_part import PartTask, Watch, send_part_on_worker
from cavatica_upload.errors import CavaticaError, Interrupted, WorkerFailed
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import MIB
from cavatica_upload.redact import scrub

LOOK = 0.1  # seconds between looks whether a part that is sent elsewhere is still wanted
LOOK_AT_SIZE = 1.0  # seconds between looks how many workers there are
GRACE = 60.0  # seconds after its deadline that a part may take to come back
FAILURES_IN_A_ROW = 8  # with no part under way: the executor is of no use
MOST = 512  # parts that are given to an executor at the same time: a thread here waits for each
EXPECTED_RATE = 64 * MIB
"""Bytes per second expected of a worker, until it is known better: about what one connection to S3 takes."""

_SIZES = ("_max_workers", "max_workers", "num_workers")  # concurrent.futures and Parsl, executorlib, mpi4py


class Workers:
    """An executor, how many parts it can send at the same time, and whether it is of use.

    `notice` is told once for each thing that the user has to know; `patience` is how many seconds to wait for a first
    worker, before parts are sent from here; `expected_rate` is that of all workers, in bytes per second.
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
        self._gone = False
        self._empty_since: float | None = None
        self._closed = threading.Event()
        self.size = self._look()
        """How many parts can be sent at the same time; None if the executor does not say."""
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Look from now on how many workers there are."""
        if _dask_client(self._executor) is not None:
            self._thread = threading.Thread(target=self._watch, name="cavatica-workers", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Look no more. The executor belongs to whoever made it."""
        self._closed.set()

    @property
    def usable(self) -> bool:
        """Whether to give parts to the executor."""
        return not self._gone and not self._is_empty_for_long

    @property
    def limit(self) -> int | None:
        """How many parts to have in flight; None if that is to be found out."""
        if not self.usable or self.size is None:
            return None
        return min(MOST, max(1, self.size))

    @property
    def expected_rate(self) -> float | None:
        """Bytes per second that all workers together may reach: as was said, else as a guess."""
        if self._expected_rate is not None or not self.usable or not self.size:
            return self._expected_rate
        return self.size * EXPECTED_RATE

    def send(self, task: PartTask, watch: Watch) -> SentPart:
        """Have a part sent; its bytes are counted when it is done.

        Raises what `send_part_on_worker` raises, WorkerFailed where no answer came back, and Interrupted if `watch`
        stopped it.
        """
        with self._lock:
            self._under_way += 1
        failure = None
        try:
            sent = self._send(task, watch)
        except WorkerFailed as error:
            failure = error.message
            raise
        finally:  # any other error is an answer of storage's, or a stop
            self._ended(failure)
        watch.sent(sent.size)
        return sent

    def _send(self, task: PartTask, watch: Watch) -> SentPart:
        try:
            future: Future[Any] = self._executor.submit(send_part_on_worker, task)
        except Exception as error:
            self._lose(f"The executor takes no parts any more ({_name(error)}).")
            raise WorkerFailed("The executor took no part.") from error
        until = float("inf") if task.deadline is None else time.monotonic() + task.deadline + GRACE
        while not wait([future], timeout=LOOK).done:
            if watch.stopped():
                future.cancel()
                raise Interrupted(f"Part {task.part.number} was dropped.")
            if not self.usable or time.monotonic() > until:
                future.cancel()
                raise WorkerFailed(f"Part {task.part.number} did not come back from a worker.")
        try:
            sent = future.result()
        except CavaticaError:
            raise
        except BrokenExecutor as error:
            self._lose(f"The executor lost its workers ({_name(error)}).")
            raise WorkerFailed(f"The worker that had part {task.part.number} was lost.") from error
        except BaseException as error:  # Ctrl-C reaches the processes of a terminal, and is not for this thread
            raise _failure(task, error) from error
        if not isinstance(sent, SentPart) or (sent.number, sent.size) != (task.part.number, task.part.size):
            raise WorkerFailed(
                f"A worker gave an answer that is none to part {task.part.number}.",
                "Install the same version of cavatica-upload for the workers as here.",
            )
        return sent

    def _ended(self, failure: str | None) -> None:
        with self._lock:
            self._under_way -= 1
            self._failures = 0 if failure is None else self._failures + 1
            useless = self._failures >= FAILURES_IN_A_ROW and self._under_way == 0
        if useless:
            self._lose(f"{self._failures} parts in a row failed on the workers. The last: {failure}")

    def _lose(self, why: str) -> None:
        with self._lock:
            gone, self._gone = self._gone, True
        if not gone:
            self._notice(f"{why} Parts are sent from this machine from now on.")

    # How many there are

    def _look(self) -> int | None:
        client = _dask_client(self._executor)
        if client is not None:
            return int(sum(client.nthreads().values()))
        sizes = (getattr(self._executor, name, None) for name in _SIZES)
        return next((size for size in sizes if isinstance(size, int) and size > 0), None)

    def _watch(self) -> None:
        unanswered = 0
        while True:
            try:
                self._take(self._look())
                unanswered = 0
            except Exception as error:  # noqa: BLE001 - whatever Dask raises: the scheduler does not answer
                unanswered += 1
                if unanswered == 3:
                    self._lose(f"The Dask scheduler does not answer any more ({_name(error)}).")
            if self._closed.wait(LOOK_AT_SIZE) or self._gone:
                return

    def _take(self, size: int | None) -> None:
        self.size = size
        if size != 0:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = time.monotonic()
            self._notice("The executor has no worker now; parts wait for one.")

    @property
    def _is_empty_for_long(self) -> bool:
        since = self._empty_since
        return since is not None and time.monotonic() - since > self._patience


def _failure(task: PartTask, error: BaseException) -> WorkerFailed:
    number = task.part.number
    if isinstance(error, ImportError):
        return WorkerFailed(
            f"A worker could not send part {number}: {scrub(str(error))}.",
            "Install the same version of cavatica-upload for the workers as here.",
        )
    said = scrub(str(error)).rstrip(".")
    return WorkerFailed(f"The worker that had part {number} failed ({_name(error)}{': ' if said else ''}{said}).")


def _name(error: BaseException) -> str:
    return type(error).__name__


def _dask_client(executor: Executor) -> Any:
    client = getattr(executor, "_client", None)
    return client if hasattr(client, "nthreads") else None
