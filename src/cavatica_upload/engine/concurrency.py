"""How many parts to have in flight: found by trying, from the throughput that comes of it. No threads here."""

import threading
import time
from collections.abc import Callable

from cavatica_upload.plan import MIB

START = 8
MOST = 32
WINDOW_BYTES = 20 * MIB
WINDOW_SECONDS = 2.0
SHORTEST_WINDOW = 0.25  # seconds: below it a fast network gives noise
GROWTH = 1.05  # throughput must grow by this for more to be worth it
STEEP = 1.3  # and where it grows by this, connections are what is scarce: double
SHRINK = 0.7
NEARLY = 0.9  # of the limit in flight: between two parts a worker is idle for a moment
REST_WINDOWS = 15  # after which a level that was the best is doubted again


class Concurrency:
    """The limit of parts in flight: 8 at first, more while throughput grows, less on errors, from 1 to 32.

    A window is 20 MiB (and a quarter of a second), or two seconds. After one the limit is doubled; where that brought
    nearly as much, again and again; where it brought less, it grows by two; where it brought nothing, it goes back.
    `fixed` pins it.
    """

    def __init__(self, fixed: int | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        if fixed is not None and fixed < 1:
            raise ValueError("at least one part must be in flight")
        self._fixed = fixed
        self._clock = clock
        self._lock = threading.Lock()
        self._limit = START if fixed is None else fixed
        self._before: tuple[int, float] | None = None  # the limit and the rate of the window before a change
        self._resting = 0
        self.rate: float | None = None
        """Bytes per second in the last window in which all that was allowed was in flight."""
        self._bytes = 0
        self._since: float | None = None  # when the window began: with its first bytes, not with the wait for them

    @property
    def limit(self) -> int:
        """So many parts may be in flight now."""
        return self._limit

    @property
    def most(self) -> int:
        """The limit never exceeds this."""
        return MOST if self._fixed is None else self._fixed

    def sent(self, count: int) -> None:
        """Count bytes that went out."""
        with self._lock:
            if self._since is None:
                self._since = self._clock()
            else:
                self._bytes += count

    def failed(self) -> None:
        """Shrink: the network or storage is in trouble."""
        if self._fixed is not None:
            return
        with self._lock:
            self._limit = max(1, int(self._limit * SHRINK))
            self._before = None
            self._resting = REST_WINDOWS
            self._begin()

    def tick(self, busy: int) -> bool:
        """Look at the window, and return whether the limit has changed. `busy` parts are in flight.

        A window in which the limit was not reached says nothing about the limit.
        """
        with self._lock:
            elapsed = 0.0 if self._since is None else self._clock() - self._since
            if elapsed < SHORTEST_WINDOW or (self._bytes < WINDOW_BYTES and elapsed < WINDOW_SECONDS):
                return False
            rate = self._bytes / elapsed
            self._begin()
            if busy < self._limit * NEARLY or rate == 0:
                return False
            self.rate = rate
            if self._fixed is not None:
                return False
            was = self._limit
            self._limit = self._decide(rate)
            return self._limit != was

    def _decide(self, rate: float) -> int:
        limit = self._limit
        if self._resting:
            self._resting -= 1
            return limit
        if self._before is None:
            self._before = (limit, rate)
            return min(MOST, limit + max(2, limit) if limit < MOST // 2 else limit + 2)
        limit_before, rate_before = self._before
        if rate > rate_before * STEEP:
            self._before = (limit, rate)
            return min(MOST, limit * 2)
        if rate > rate_before * GROWTH:
            self._before = (limit, rate)
            return min(MOST, limit + 2)
        self._before = None
        self._resting = REST_WINDOWS
        return limit_before

    def _begin(self) -> None:
        self._bytes = 0
        self._since = None
