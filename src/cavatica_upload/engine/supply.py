"""The parts that can be put, and those whose URLs are on their way: always as many as the workers will soon take.

Plain bookkeeping: no method blocks or calls anybody, and the engine's lock is held around each.
"""

import math
from collections import deque
from statistics import fmean

import attrs

from cavatica_upload.engine.transfer import Transfer
from cavatica_upload.plan import Part
from cavatica_upload.storage.put import Target

RECENT = 8  # calls and parts that are looked back upon
AT_FIRST = 2  # URLs ahead for each worker, until it is known how long parts take
MOST = 4  # URLs ahead for each worker: none shall lie about until it expires


@attrs.frozen
class Ready:
    """A part that can be put: its URL is there."""

    transfer: Transfer
    part: Part
    target: Target


class Supply:
    """One URL ahead for each worker, and more where a worker is done with its part before a call is answered."""

    def __init__(self) -> None:
        self._ready: deque[Ready] = deque()
        self._coming = 0
        self._calls: deque[float] = deque(maxlen=RECENT)
        self._parts: deque[float] = deque(maxlen=RECENT)

    def __len__(self) -> int:
        """How many parts can be put."""
        return len(self._ready)

    def take(self) -> Ready:
        """Take the part that has been ready longest."""
        return self._ready.popleft()

    def drain(self) -> list[Ready]:
        """Take all that is ready."""
        ready, self._ready = list(self._ready), deque()
        return ready

    def add(self, ready: Ready) -> None:
        """Keep a part that can be put."""
        self._ready.append(ready)

    def asking(self) -> None:
        """A URL is being asked for."""
        self._coming += 1

    def answered(self, seconds: float | None) -> None:
        """The answer is there after so many seconds; None: it was no URL."""
        self._coming -= 1
        if seconds is not None:
            self._calls.append(seconds)

    def sent(self, seconds: float) -> None:
        """A part was sent within so many seconds."""
        self._parts.append(seconds)

    def missing(self, workers: int, busy: int) -> int:
        """Return how many more URLs should be asked for when so many of the workers put a part just now."""
        return workers * self._ahead + max(0, workers - busy) - len(self._ready) - self._coming

    @property
    def _ahead(self) -> int:
        if not self._calls or not self._parts:
            return AT_FIRST
        # The shortest call: the others may have waited for the budget, or for another attempt.
        parts_in_a_call = min(self._calls) / max(fmean(self._parts), 1e-9)
        return min(MOST, max(1, math.ceil(parts_in_a_call)))
