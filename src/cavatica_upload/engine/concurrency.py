"""How many parts to have in flight: found by trying, from the throughput that comes of it. No threads here."""

import os
import threading
import time
from collections.abc import Callable

from cavatica_upload.plan import MIB

START = 4
START_SIDE_BY_SIDE = 8  # where the MD5s of parts are taken side by side: fewer leave lanes empty
MOST = 32
WINDOW_BYTES = 20 * MIB
WINDOW_SECONDS = 2.0
SHORTEST_WINDOW = 0.25  # seconds: below it a fast network gives noise
GROWTH = 1.05  # throughput must grow by this for more to be worth it
STEEP = 1.3  # and where it grows by this, connections are what is scarce: double
SHRINK = 0.7
NEARLY = 0.9  # of the limit in flight: between two parts a worker is idle for a moment
CPU_BOUND = 0.5  # of what the processors can do: above it parts compete for them, not for the network
REST_WINDOWS = 15  # after which a level that was the best is doubted again


class Concurrency:
    """The limit of parts in flight: `start` at first, more while throughput grows, less on errors, from 1 to 32.

    A window is 20 MiB (and a quarter of a second), or two seconds. After one the limit is doubled; where that brought
    nearly as much, again and again; where it brought less, it grows by two; where it brought nothing, it goes back.
    While this process keeps the machine's processors busy nothing is tried: more parts would only compete for them.
    `fixed` pins the limit; `clock` and `cpu` return seconds, of time and of this process on all processors.
    """

    def __init__(
        self,
        fixed: int | None = None,
        *,
        start: int = START,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
        cores: int | None = None,
    ) -> None:
        if fixed is not None and fixed < 1:
            raise ValueError("at least one part must be in flight")
        self._fixed = fixed
        self._clock = clock
        self._cpu = cpu
        self._cores = cores or _usable_cores()
        self._lock = threading.Lock()
        self._limit = start if fixed is None else fixed
        self._before: tuple[int, float] | None = None  # the limit and the rate of the window before a change
        self._resting = 0
        self.rate: float | None = None
        """Bytes per second in the last window in which all that was allowed was in flight."""
        self._bytes = 0
        self._since: float | None = None  # when the window began: with its first bytes, not with the wait for them
        self._cpu_since = 0.0

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
                self._since, self._cpu_since = self._clock(), self._cpu()
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
            cpu_bound = self._cpu() - self._cpu_since > elapsed * self._cores * CPU_BOUND
            self._begin()
            if busy < self._limit * NEARLY or rate == 0:
                return False
            self.rate = rate
            if self._fixed is not None:
                return False
            was = self._limit
            self._limit = self._decide(rate, cpu_bound)
            return self._limit != was

    def _decide(self, rate: float, cpu_bound: bool) -> int:
        limit = self._limit
        if self._resting:
            self._resting -= 1
            return limit
        if self._before is None:
            if cpu_bound:
                return limit
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


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
