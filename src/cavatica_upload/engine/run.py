"""The requests of one `upload_many()` call, the biggest files first, and their outcomes."""

import bisect
import contextlib
import math
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from cavatica_upload.errors import (
    CertificateUntrusted,
    ConfigError,
    Forbidden,
    Interrupted,
    NotFound,
    Unauthorized,
    UploadGone,
)
from cavatica_upload.plan import MAX_FILE_SIZE, ONE_PART, parts_text
from cavatica_upload.request import Outcome, UploadRequest

WINDOW = 2000  # requests read ahead
FIRST_FILES = 4  # open at a time at first; more if these open, so that a common error fails few files
MOST_FILES = 32  # open at a time
LOOK = 0.1  # seconds between looks whether the run was stopped
MOST_ENDED = 100  # outcomes that wait before more requests are read
IN_A_ROW = 3
PROJECT_GONE = frozenset({3002, 5026})  # docs.cavatica.org, API status codes: no such project; no such folder


class CircuitBreaker:
    """Stops a run that cannot succeed, so that not every file is tried.

    It opens after three files in a row that were refused because permissions, the project or the folder are missing. It
    opens at once if the token is refused or a certificate cannot be verified. `error` is then the reason.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._in_a_row = 0

    def succeeded(self) -> None:
        """Note that a file was opened or completed."""
        self._in_a_row = 0

    def failed(self, error: Exception) -> None:
        """Note why a file failed."""
        if isinstance(error, Unauthorized | ConfigError | CertificateUntrusted):
            self.error = error
        elif isinstance(error, Forbidden) or (
            isinstance(error, NotFound) and not isinstance(error, UploadGone) and error.code in PROJECT_GONE
        ):
            self._in_a_row += 1
            if self._in_a_row >= IN_A_ROW:
                self.error = error


@attrs.define(eq=False)
class OpenFile:
    """A file that was started, and its progress. Only its own thread writes here; other threads may read."""

    run: "Run"
    request: UploadRequest
    left: int
    """Bytes that wait to be sent, roughly."""
    sent: int = 0
    """Parts that storage has."""
    parts: int | None = None
    """All parts, None if not known."""
    all_sent: bool = False
    rereadable: bool | None = None
    """Whether its source can be read a second time; None before it is open."""

    @property
    def key(self) -> str:
        """The file's name in events."""
        return self.request.key

    def interruption(self) -> Interrupted:
        """Return the error for a stopped upload, with the number of sent parts."""
        if self.parts is None:
            return Interrupted(f"The upload of {self.key} was interrupted.", "Run the same command again.")
        return Interrupted(
            f"The upload of {self.key} was interrupted: {self.sent:,} of {parts_text(self.parts)} sent.",
            "Run the same command again to go on from there.",
        )


class Run:
    """Reads some requests ahead and sorts them by size. Memory and threads do not grow with their number."""

    def __init__(self, requests: Iterable[UploadRequest | Outcome]) -> None:
        self.outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.exhausted = False
        self._requests = iter(requests)
        self._lock = threading.Lock()
        self._breaker = CircuitBreaker()
        self._waiting: list[tuple[int, int, UploadRequest]] = []
        self._count = 0
        self._open: set[OpenFile] = set()
        self._most = FIRST_FILES
        self._stopped = False

    # For the caller's thread

    def read_ahead(self) -> Iterator[UploadRequest]:
        """Yield requests to `add` until the window is full. The caller's iterable may block.

        Outcomes among them go to `outcomes`. If many wait there, this returns so that the caller can handle them first.
        """
        while len(self._waiting) < WINDOW and not self.exhausted and not self._stopped:
            request = next(self._requests, None)
            if request is None:
                self.exhausted = True
                return
            if isinstance(request, UploadRequest):
                yield request
            else:
                with self._lock:
                    if request.error is not None:
                        self._breaker.failed(request.error)
                self.outcomes.put(request)
                if self.outcomes.qsize() >= MOST_ENDED:
                    return

    def add(self, request: UploadRequest) -> None:
        """Add a request to the window."""
        size = size_of(request)
        with self._lock:
            self._count += 1
            bisect.insort(self._waiting, (size, -self._count, request), key=lambda item: item[:2])
            if self._stopped:
                self._reject_waiting()

    @property
    def under_way(self) -> bool:
        """Whether files were begun that have not ended."""
        return bool(self._open)

    @property
    def over(self) -> bool:
        """Whether nothing will be added to `outcomes` any more."""
        with self._lock:
            return (self.exhausted or self._stopped) and not self._waiting and not self._open

    def wait(self, most: float = math.inf) -> tuple[list[Outcome], bool]:
        """Wait up to `most` seconds for files to end; return their outcomes, and whether the run is over."""
        until = time.monotonic() + most
        while True:
            over = self.over
            try:
                ended = [self.outcomes.get(block=not over, timeout=LOOK)]
            except queue.Empty:
                if over or time.monotonic() >= until:
                    return [], over
                continue
            with contextlib.suppress(queue.Empty):
                while True:
                    ended.append(self.outcomes.get_nowait())
            return ended, False

    # For the engine

    def take(self, *, smallest: bool = False) -> OpenFile | None:
        """Start the biggest file, or with `smallest` a file of one part; None if none may start now."""
        with self._lock:
            if self._breaker.error is not None:
                self._reject_waiting()
            if not self._waiting or len(self._open) >= self._most:
                return None
            if smallest and self._waiting[0][0] > ONE_PART:
                return None
            size, _, request = self._waiting.pop(0 if smallest else -1)
            file = OpenFile(self, request, size)
            self._open.add(file)
            return file

    def opened(self) -> None:
        """Note that a file was opened, and allow one more open file."""
        with self._lock:
            self._breaker.succeeded()
            self._most = min(MOST_FILES, self._most + 1)

    def end(self, file: OpenFile, outcome: Outcome) -> None:
        """Note the outcome of a file; a second one is ignored."""
        with self._lock:
            if file not in self._open:
                return
            self._open.remove(file)
            if outcome.error is not None:
                self._breaker.failed(outcome.error)
            self.outcomes.put(outcome)
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

    # The lock is held

    def _reject_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for _, _, request in waiting:
            error = self._breaker.error or Interrupted(f"{request.key} was not begun.", "Run the same command again.")
            self.outcomes.put(Outcome(request, error=error))


def size_of(request: UploadRequest) -> int:
    """Return the size by which a request is sorted: streams and URLs, whose size is not known yet, come first."""
    if not isinstance(request.source, str | os.PathLike):
        return MAX_FILE_SIZE
    try:
        return Path(request.source).stat().st_size
    except (OSError, ValueError):
        return MAX_FILE_SIZE if "://" in os.fspath(request.source) else 0
