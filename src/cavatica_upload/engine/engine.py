"""The engine: decides which file starts next, and owns the threads.

Every open file has its own thread, which runs `upload_file`. The parts of all files share one pool of workers
(`parts`). One more thread does what is due: it starts files, applies a stop, and emits progress and outages.
"""

import threading
import time

from cavatica_upload.engine.concurrency import Concurrency
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.file_upload import upload_file
from cavatica_upload.engine.parts import PartPool
from cavatica_upload.engine.run import MOST_FILES, OpenFile, Run
from cavatica_upload.plan import MIB

FOR_EACH_PART = 64 * MIB  # waiting bytes per part that may be in flight; if there are fewer, another file is opened
LEAST_OF_FILE = 4 * MIB  # the fewest bytes that a file counts for


class Engine:
    """Runs uploads. Owns its threads and its lock."""

    def __init__(self, context: Context, concurrency: Concurrency, parts: PartPool) -> None:
        self._context = context
        self._concurrency = concurrency
        self._parts = parts
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._threads: dict[OpenFile, threading.Thread] = {}
        self._small_next = 0.0
        self._closed = False
        self._wake = threading.Event()
        self._clock = threading.Thread(target=self._watch, name="cavatica-engine", daemon=True)
        self._clock.start()

    def begin(self, run: Run) -> None:
        """Add a run."""
        with self._lock:
            self._runs.append(run)
        if self._context.stop.requested:
            run.stop()

    def feed(self, run: Run) -> None:
        """Read requests ahead on the caller's thread, so that the biggest of them start first."""
        started = time.monotonic()
        for request in run.read_ahead():
            run.add(request)
            if time.monotonic() - started > self._context.timing.gathering:
                self._wake.set()
        self._wake.set()

    def finish(self, run: Run) -> None:
        """Remove a run."""
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
        self._parts.close()

    # Threads

    def _watch(self) -> None:
        """Do what is due, until the engine is closed."""
        due = 0.0
        while True:
            self._wake.wait(self._context.timing.tick)
            self._wake.clear()
            if self._context.stop.apply(self._context.clock()):
                self._stop()
            if self._closed:
                return
            if self._context.clock() >= due:
                due = self._context.clock() + self._context.timing.tick
                self._context.events.flush()
                self._context.outage.tick(self._parts.pausing)
                self._parts.follow_workers()
                self._context.rate = self._concurrency.rate
            self._begin_files()

    def _stop(self) -> None:
        self._parts.wake()
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            run.stop()
            if self._context.stop.abandoning.is_set():
                run.abandon()

    def _begin_files(self) -> None:
        while not self._context.stop.requested and (file := self._next_file()) is not None:
            thread = threading.Thread(target=self._upload, args=(file,), name="cavatica-file", daemon=True)
            with self._lock:
                self._threads[file] = thread
            thread.start()

    def _next_file(self) -> OpenFile | None:
        """Return the file to start now, None if there is none.

        If too few bytes wait to be sent, it is the biggest file. If not, a file of one part starts now and then.
        """
        with self._lock:
            runs, files = list(self._runs), list(self._threads)
        if len(files) >= MOST_FILES:
            return None
        waiting = sum(max(file.left, LEAST_OF_FILE) for file in files if not file.all_sent)
        enough = waiting >= FOR_EACH_PART * self._concurrency.limit
        if enough and self._context.clock() < self._small_next:
            return None
        open_files = {run: sum(file.run is run for file in files) for run in runs}
        for run in sorted(runs, key=lambda run: open_files[run]):
            file = run.take(smallest=enough)
            if file is not None:
                if enough:
                    self._small_next = self._context.clock() + self._context.timing.small_file
                return file
        return None

    def _upload(self, file: OpenFile) -> None:
        try:
            outcome = upload_file(self._context, self._parts, file)
        finally:
            with self._lock:
                del self._threads[file]
        file.run.end(file, outcome)
        self._wake.set()
