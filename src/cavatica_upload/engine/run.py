"""The requests of one call of the uploader, the biggest files first, and how they ended."""

import bisect
import os
import queue
from collections.abc import Iterable, Iterator
from pathlib import Path

from cavatica_upload.engine.circuit import Circuit
from cavatica_upload.plan import MAX_FILE_SIZE, ONE_PART
from cavatica_upload.request import Outcome, UploadRequest

WINDOW = 2000  # requests read ahead


class Run:
    """A window over requests, sorted by size, so that neither memory nor threads grow with their number."""

    def __init__(self, requests: Iterable[UploadRequest]) -> None:
        self.circuit = Circuit()
        self.outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.under_way = 0
        self.exhausted = False
        self._requests = iter(requests)
        self._waiting: list[tuple[int, int, UploadRequest]] = []
        self._count = 0

    def read_ahead(self) -> Iterator[UploadRequest]:
        """Yield requests to be added, until the window is full; the caller's iterable may take its time."""
        while len(self._waiting) < WINDOW and not self.exhausted:
            request = next(self._requests, None)
            if request is None:
                self.exhausted = True
                return
            yield request

    def add(self, request: UploadRequest, size: int) -> None:
        """Add a request to the window."""
        self._count += 1
        bisect.insort(self._waiting, (size, -self._count, request), key=lambda item: item[:2])

    @property
    def has_waiting(self) -> bool:
        """Whether a request waits to be begun."""
        return bool(self._waiting)

    @property
    def has_small(self) -> bool:
        """Whether a file that is one part waits."""
        return bool(self._waiting) and self._waiting[0][0] <= ONE_PART

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it but what lies in `outcomes`."""
        return self.exhausted and not self._waiting and not self.under_way

    def take(self, *, smallest: bool = False) -> tuple[UploadRequest, int]:
        """Take the biggest file (or the smallest); `has_waiting` must be true."""
        size, _, request = self._waiting.pop(0 if smallest else -1)
        self.under_way += 1
        return request, size

    def drain(self) -> list[UploadRequest]:
        """Take all that waits, without beginning it."""
        drained, self._waiting = [item[2] for item in self._waiting], []
        return drained

    def end(self, outcome: Outcome) -> None:
        """Note how a request that was taken ended."""
        self.under_way -= 1
        self.outcomes.put(outcome)


def size_of(request: UploadRequest) -> int:
    """Return the size by which a request is sorted: streams and URLs, whose size is not known yet, come first."""
    if not isinstance(request.source, str | os.PathLike):
        return MAX_FILE_SIZE
    try:
        return Path(request.source).stat().st_size
    except (OSError, ValueError):
        return MAX_FILE_SIZE if "://" in os.fspath(request.source) else 0
