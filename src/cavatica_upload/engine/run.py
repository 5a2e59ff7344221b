"""The requests of one call of the uploader, the biggest files first, and how they ended."""

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
FIRST_FILES = 4  # open at a time until some were opened well: what fails for all fails for few
MOST_FILES = 32  # open at a time
LOOK = 0.1  # seconds between looks whether the run was stopped
MOST_ENDED = 100  # outcomes that wait before more requests are read
IN_A_ROW = 3
PROJECT_GONE = frozenset({3002, 5026})  # docs.cavatica.org, API status codes: no such project; no such folder


class CircuitBreaker:
    """Stops a run that cannot succeed, instead of trying a thousand files.

    Open after three files in a row that were refused for want of rights or place, and immediately after a refused token
    or a certificate that cannot be verified. `error` is then why.
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
    """A file that was begun, and how far it is: its thread writes these, and others may look."""

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
        """Return the error of being stopped, with what is done."""
        if self.parts is None:
            return Interrupted(f"The upload of {self.key} was interrupted.", "Run the same command again.")
        return Interrupted(
            f"The upload of {self.key} was interrupted: {self.sent:,} of {parts_text(self.parts)} sent.",
            "Run the same command again to go on from there.",
        )


class Run:
    """A window over requests, sorted by size, so that neither memory nor threads grow with their number."""

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
        """Yield requests to be added, until the window is full; the caller's iterable may take its time.

        Those that have ended already are among the `outcomes`; many of these are for the caller to look at first.
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
        """Whether nothing more will come of it but what lies in `outcomes`."""
        with self._lock:
            return (self.exhausted or self._stopped) and not self._waiting and not self._open

    def wait(self, most: float = math.inf) -> tuple[list[Outcome], bool]:
        """Wait until files end, for `most` seconds; return how they did, and whether no other will."""
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
        """Begin the biggest file, or with `smallest` one that is one part; None if none may be begun now."""
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
        """Note that a file was opened: one more may be open at a time."""
        with self._lock:
            self._breaker.succeeded()
            self._most = min(MOST_FILES, self._most + 1)

    def end(self, file: OpenFile, outcome: Outcome) -> None:
        """Note how a file ended; once."""
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
        """End what waits, and whatever is added."""
        with self._lock:
            self._stopped = True
            self._reject_waiting()

    def abandon(self) -> None:
        """End what is under way without waiting for it."""
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
