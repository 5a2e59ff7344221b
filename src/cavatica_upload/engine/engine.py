"""The engine: decides which file starts next, and owns the threads.

Every open file has its own thread, which runs `FileUpload.run`. The parts of all files share one pool of workers
(`parts`). One more thread does what is due: it starts files, applies a stop, and emits progress and outages.
"""

import bisect
import contextlib
import math
import queue
import threading
import time
from collections.abc import Iterable

from cavatica_upload.engine.context import Context
from cavatica_upload.engine.file_upload import FileUpload
from cavatica_upload.engine.send_part import PartSender
from cavatica_upload.errors import (
    CavaticaError,
    ConfigError,
    Forbidden,
    Interrupted,
    NotFound,
    Unauthorized,
    UploadGone,
)
from cavatica_upload.plan import MAX_FILE_SIZE, MIB, ONE_PART
from cavatica_upload.request import Outcome, UploadRequest
from cavatica_upload.sources import file_size, is_missing

MOST_READ_AHEAD = 2000  # requests
FIRST_FILES = 4  # open at a time at first; more if these open, so that a common error fails few files
MOST_FILES = 32  # open at a time
MOST_ENDED = 100  # outcomes that wait before more requests are read
CHECK_SECONDS = 0.1  # between checks whether the run was stopped
BYTES_FOR_EACH_PART = 64 * MIB  # that wait to be sent, for each part in flight; if fewer wait, another file is opened
LEAST_BYTES_OF_FILE = 4 * MIB  # that a file counts for
FAILURES_IN_A_ROW = 3
PROJECT_GONE = frozenset({3002, 5026})  # docs.cavatica.org, API status codes: no such project; no such folder


class CircuitBreaker:
    """Stops a run that cannot succeed, so that not every file is tried.

    It opens after three files in a row that were refused because permissions, the project or the folder are missing. It
    opens immediately if the token is refused, a proxy refuses, or a certificate cannot be verified. `error` is then the
    reason.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._in_a_row = 0

    def succeeded(self) -> None:
        """Note that a file could be opened."""
        self._in_a_row = 0

    def failed(self, error: Exception) -> None:
        """Note why a file failed."""
        if isinstance(error, Unauthorized | ConfigError) or (isinstance(error, CavaticaError) and error.permanent):
            self.error = error
        elif isinstance(error, Forbidden) or (
            isinstance(error, NotFound) and not isinstance(error, UploadGone) and error.code in PROJECT_GONE
        ):
            self._in_a_row += 1
            if self._in_a_row >= FAILURES_IN_A_ROW:
                self.error = error


class Run:
    """The requests of one `upload_many()` call, the biggest files first, and their outcomes.

    Some requests are read ahead and sorted by size. Memory and threads do not grow with their number.
    """

    def __init__(self, requests: Iterable[UploadRequest | Outcome]) -> None:
        self._requests = iter(requests)
        self._exhausted = False
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._breaker = CircuitBreaker()
        self._waiting: list[tuple[int, int, UploadRequest]] = []
        self._count = 0
        self._open: set[FileUpload] = set()
        self.start_at = math.inf  # by the monotonic clock; until then requests are gathered
        self._opened = 0  # files that were open and have ended
        self._stopped = False

    # For the caller's thread

    def read_next(self) -> bool:
        """Read one more request ahead, or an outcome; return whether to read more. The caller's iterable may block."""
        if self._exhausted or self._stopped or len(self._waiting) >= MOST_READ_AHEAD:
            return False
        request = next(self._requests, None)
        if request is None:
            self._exhausted = True
            return False
        if isinstance(request, UploadRequest):
            size = file_size(request.source)
            if size is None:  # what is not known yet comes first, and a path without a file last
                size = 0 if is_missing(request.source) else MAX_FILE_SIZE
            with self._lock:
                self._count += 1
                bisect.insort(self._waiting, (size, -self._count, request), key=lambda item: item[:2])
                if self._stopped:
                    self._reject_waiting()
            return True
        with self._lock:
            if request.error is not None:
                self._breaker.failed(request.error)
        self._outcomes.put(request)
        return self._outcomes.qsize() < MOST_ENDED

    @property
    def over(self) -> bool:
        """Whether there will be no more outcomes."""
        with self._lock:
            return (self._exhausted or self._stopped) and not self._waiting and not self._open

    def wait(self, seconds: float = math.inf) -> tuple[list[Outcome], bool]:
        """Wait up to `seconds` for files to end; return their outcomes, and whether the run is over."""
        until = time.monotonic() + seconds
        while True:
            over = self.over
            try:
                ended = [self._outcomes.get(block=not over, timeout=CHECK_SECONDS)]
            except queue.Empty:
                if over or time.monotonic() >= until:
                    return [], over
                continue
            with contextlib.suppress(queue.Empty):
                while True:
                    ended.append(self._outcomes.get_nowait())
            return ended, False

    # For the engine

    def take(self, context: Context, sender: PartSender, *, smallest: bool) -> FileUpload | None:
        """Start the biggest file, or with `smallest` a file of one part; None if none may start now."""
        with self._lock:
            if self._breaker.error is not None:
                self._reject_waiting()
            opened = self._opened + sum(file.upload is not None for file in self._open)
            if not self._waiting or len(self._open) >= min(MOST_FILES, FIRST_FILES + opened):
                return None
            if time.monotonic() < self.start_at or (smallest and self._waiting[0][0] > ONE_PART):
                return None
            size, _, request = self._waiting.pop(0 if smallest else -1)
            file = FileUpload(context, sender, request, self, size)
            self._open.add(file)
            return file

    def end(self, file: FileUpload, outcome: Outcome) -> None:
        """Note the outcome of a file; a second one is ignored."""
        with self._lock:
            if file not in self._open:
                return
            self._open.remove(file)
            if file.upload is not None:
                self._opened += 1
                self._breaker.succeeded()
            if outcome.error is not None:
                self._breaker.failed(outcome.error)
            self._outcomes.put(outcome)
            if self._breaker.error is not None:
                self._reject_waiting()

    def stop(self) -> None:
        """End all waiting files, and any that are added later."""
        with self._lock:
            self._stopped = True
            self._reject_waiting()

    def abandon(self) -> None:
        """End all open files without waiting for their threads."""
        for file in list(self._open):
            self.end(file, Outcome(file.request, error=file.interruption()))

    def _reject_waiting(self) -> None:
        """End all waiting files. The lock is held."""
        waiting, self._waiting = self._waiting, []
        for _, _, request in waiting:
            error = self._breaker.error or Interrupted(f"{request.key} was not started.", "Run the same command again.")
            self._outcomes.put(Outcome(request, error=error))


class Engine:
    """Runs uploads. Owns its threads and its lock."""

    def __init__(self, context: Context, sender: PartSender) -> None:
        self._context = context
        self._sender = sender
        self._parts = sender.pool
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._threads: dict[FileUpload, threading.Thread] = {}
        self._next_small_file = 0.0
        self._closed = False
        self._wake = threading.Event()
        self._clock = threading.Thread(target=self._watch, name="cavatica-engine", daemon=True)
        self._clock.start()

    def add(self, run: Run) -> None:
        run.start_at = time.monotonic() + self._context.timing.gathering
        with self._lock:
            self._runs.append(run)
        if self._context.stop.requested:
            run.stop()

    def feed(self, run: Run) -> None:
        """Read requests ahead on the caller's thread, so that the biggest of them start first."""
        while run.read_next():
            pass
        run.start_at = 0.0
        self._wake.set()

    def remove(self, run: Run) -> None:
        with self._lock:
            self._runs.remove(run)

    def close(self, seconds: float) -> None:
        """Drop all uploads and end all threads; wait up to `seconds` for them."""
        self._context.stop.request(at_once=True)
        self._closed = True
        self._wake.set()
        until = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads.values())
        for thread in (self._clock, *threads):
            thread.join(max(0.0, until - time.monotonic()))
        self._sender.close()

    # Threads

    def _watch(self) -> None:
        """Do what is due, until the engine is closed."""
        context, due = self._context, 0.0
        while True:
            self._wake.wait(context.timing.tick)
            self._wake.clear()
            closed = self._closed  # before the look at the stop, which close() requests first
            if context.stop.apply(time.monotonic()):
                self._stop()
            if closed:
                return
            if time.monotonic() >= due:
                due = time.monotonic() + context.timing.tick
                context.events.flush()
                context.outage.tick(self._parts.pausing)
                self._sender.follow_workers()
                context.rate = self._parts.concurrency.rate
            while not context.stop.requested and (started := self._start_file()) is not None:
                thread = threading.Thread(target=self._upload, args=started, name="cavatica-file", daemon=True)
                with self._lock:
                    self._threads[started[1]] = thread
                thread.start()

    def _stop(self) -> None:
        self._parts.stop()
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            run.stop()
            if self._context.stop.abandoning.is_set():
                run.abandon()

    def _start_file(self) -> tuple[Run, FileUpload] | None:
        """Return the file to start now, with its run; None if there is none.

        If too few bytes wait to be sent, it is the biggest file. If not, a file of one part starts now and then.
        """
        with self._lock:
            runs, files = list(self._runs), list(self._threads)
        if len(files) >= MOST_FILES:
            return None
        waiting = sum(max(file.left, LEAST_BYTES_OF_FILE) for file in files if file.left)
        enough = waiting >= BYTES_FOR_EACH_PART * self._parts.concurrency.limit
        if enough and time.monotonic() < self._next_small_file:
            return None
        for run in sorted(runs, key=lambda run: sum(file.group is run for file in files)):
            file = run.take(self._context, self._sender, smallest=enough)
            if file is not None:
                if enough:
                    self._next_small_file = time.monotonic() + self._context.timing.small_file
                return run, file
        return None

    def _upload(self, run: Run, file: FileUpload) -> None:
        try:
            outcome = file.run()
        finally:
            with self._lock:
                del self._threads[file]
        run.end(file, outcome)
        self._wake.set()
