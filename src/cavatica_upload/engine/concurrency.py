"""How many parts to have in flight: few at first, more as long as the sum of their speeds grows. No threads here.

What is in flight is lost by a kill. On a slow link that is minutes of work, so there one or two parts are in flight;
if parts take less than a second, nothing is at stake and the limit rises with each.
"""

import os
import threading
import time
from collections.abc import Callable

from cavatica_upload.plan import MIB
from cavatica_upload.timing import Timing

MOST = 32
LEAST = 2  # while nothing fails: one goes out while storage answers to the other
QUICK_LIMIT = 4  # up to which parts that take less than a second raise the limit by themselves
QUICK_LIMIT_SIDE_BY_SIDE = 8  # if the MD5s of parts are taken side by side: fewer leave lanes empty
FAST_BYTES = 16 * MIB  # more than the buffers of a connection take, …
FAST_SECONDS = 0.1  # … so that sending them in this time means that the network is fast
GAIN = 0.3  # of what would be proportional must come of more parts for still more to be tried
LITTLE_GAIN = 0.1  # of it must come for them to be kept
CHEAP = 4.0  # seconds that a part may take while twice as many are tried
REST = 60.0  # seconds after which a level that was the best is doubted again; doubles each time it proves the best
LONGEST_REST = 600.0
SHRINK = 0.7
NEARLY = 0.75  # of the limit in flight: between two parts a worker is idle for a moment
CPU_BOUND = 0.5  # of what the processors can do: above it parts compete for them, not for the network
LARGER = 4  # times larger parts: what was learned from the others does not hold for them


class Concurrency:
    """The limit of parts in flight: one at first, more while throughput grows, less on errors, from 1 to 32.

    It rises with every part that took less than a second, up to `quick_limit`, and doubles if all of that part went out
    at this limit. Otherwise the speed of a connection is measured with the parts in flight, then with more (twice as
    many, or one more if that would make parts slow): if the sum grew, it goes on, else back. While this process keeps
    the machine's processors busy nothing is
    tried. `fixed` pins the limit; `paced` says that a throttle lets bytes out in bursts; `clock` and `cpu` return
    seconds, of time and of this process on all processors.
    """

    def __init__(
        self,
        fixed: int | None = None,
        *,
        quick_limit: int = QUICK_LIMIT,
        paced: bool = False,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
        cores: int | None = None,
    ) -> None:
        if fixed is not None and fixed < 1:
            raise ValueError("at least one part must be in flight")
        self._fixed = fixed
        self._quick_limit = quick_limit
        self._paced = paced
        self._timing = timing or Timing()
        self._clock = clock
        self._cpu = cpu
        self._cores = cores or _usable_cores()
        self._lock = threading.Lock()
        self._flights: set[Flight] = set()
        self._size = 0  # bytes of the parts that the limit was found with
        self._before: tuple[int, float] | None = None  # the limit and the rate before a change
        self._rest = REST
        self._rest_until = 0.0
        self.limit = 1 if fixed is None else fixed
        """Parts that may be in flight now."""
        self.rate: float | None = None
        """Bytes per second of all parts together, as last measured."""
        self._change()

    @property
    def fixed(self) -> int | None:
        """What the limit is pinned to, None while it adapts."""
        return self._fixed

    def fix(self, limit: int | None) -> bool:
        """Pin the limit from now on, or with None let it adapt; return whether anything has changed."""
        with self._lock:
            if limit == self._fixed:
                return False
            self._fixed = limit
            self._before = None
            self._set(limit or 1)
            return True

    def begin(self, size: int) -> "Flight":
        """Note that a part of `size` bytes goes out."""
        with self._lock:
            now = self._clock()
            if size > LARGER * self._size:
                self._size = size
                if self._fixed is None and self.limit > LEAST:
                    self._before = None
                    self._set(LEAST)
            flight = Flight(self, size, now)
            self._flights.add(flight)
            return flight

    def tick(self) -> bool:
        """Look at what was measured, and return whether the limit has changed."""
        with self._lock:
            return self._measure()

    # Called by flights

    def sent(self, flight: "Flight", count: int) -> bool:
        """Count bytes of a flight; return whether the limit has changed."""
        with self._lock:
            now = self._clock()
            since = max(flight.began, self._changed) + self._timing.settle
            if flight.last >= since and self._is_full:
                self._bytes += count
                self._seconds += now - flight.last
            flight.last = now
            before = flight.bytes
            flight.bytes += count
            if before < FAST_BYTES <= flight.bytes and now - flight.began < FAST_SECONDS and not self._paced:
                return self._raise_to(self._quick_limit)
            return False

    def ended(self, flight: "Flight", *, stored: bool) -> None:
        """Note the end of a flight."""
        with self._lock:
            was_full = self._is_full
            self._flights.discard(flight)
            if not stored:
                return
            took = max(self._clock() - flight.began, 1e-6)
            quick = took < self._timing.quick_part
            if quick and was_full and flight.began >= self._changed:
                self._bytes += flight.size
                self._seconds += took
            if self._fixed is not None or not was_full:
                return
            if quick and self.limit < self._quick_limit and not self._dwarfed(flight.size):
                self._size = flight.size
                double = flight.began >= self._changed  # a whole part at this limit, and still quick
                self._raise_to(min(self._quick_limit, self.limit * 2 if double else self.limit + 1))
            elif self.limit == 1:
                self._before = (1, flight.size / took)
                self._set(LEAST)

    def failed(self) -> None:
        """Shrink: the network or storage is in trouble."""
        if self._fixed is not None:
            return
        with self._lock:
            self._before = None
            self._rest_until = self._clock() + REST
            self._set(max(1, int(self.limit * SHRINK)))

    # The lock is held

    @property
    def _is_full(self) -> bool:
        """Whether about as many parts are in flight as may be: fewer say nothing about the limit."""
        return len(self._flights) >= self.limit * NEARLY

    def _dwarfed(self, size: int) -> bool:
        return any(flight.size > LARGER * size for flight in self._flights)

    def _raise_to(self, limit: int) -> bool:
        if self._fixed is not None or limit <= self.limit:
            return False
        self._before = None
        self._set(limit)
        return True

    def _set(self, limit: int) -> None:
        self.limit = limit
        self._change()

    def _change(self) -> None:
        self._changed = self._clock()
        self._begin()

    def _begin(self) -> None:
        self._bytes, self._seconds = 0, 0.0
        self._since, self._cpu_since = self._clock(), self._cpu()

    def _measure(self) -> bool:
        limit = self.limit
        if self._seconds < self._timing.measure * limit:
            return False
        now = self._clock()
        cpu_bound = self._cpu() - self._cpu_since > (now - self._since) * self._cores * CPU_BOUND
        self.rate = rate = limit * self._bytes / self._seconds
        if self._fixed is None and rate > 0:
            self.limit = self._decide(rate, now, cpu_bound=cpu_bound)
        if self.limit != limit:
            self._change()
        else:
            self._begin()
        return self.limit != limit

    def _decide(self, rate: float, now: float, *, cpu_bound: bool) -> int:
        limit = self.limit
        if self._before is None:
            if cpu_bound or limit == MOST or (limit > 1 and now < self._rest_until):
                return limit
            self._before = (limit, rate)
            return self._more(rate)
        limit_before, rate_before = self._before
        gain = (rate / rate_before - 1) / (limit / limit_before - 1)
        if gain >= GAIN and limit < MOST and not cpu_bound:
            self._before, self._rest = (limit, rate), REST
            return min(MOST, limit * 2)
        self._before = None
        self._rest_until = now + self._rest
        self._rest = min(LONGEST_REST, self._rest * 2)
        return limit if gain >= LITTLE_GAIN else max(LEAST, limit_before)

    def _more(self, rate: float) -> int:
        limit = self.limit
        largest = max((flight.size for flight in self._flights), default=self._size)
        cheap = largest * 2 * limit / rate <= CHEAP
        return min(MOST, limit * 2 if cheap else limit + 1)


class Flight:
    """One attempt at one part."""

    def __init__(self, concurrency: Concurrency, size: int, now: float) -> None:
        self._concurrency = concurrency
        self.size = size
        self.began = now
        self.last = now
        self.bytes = 0

    def sent(self, count: int) -> bool:
        """Count bytes that went out; return whether more parts may be in flight than before."""
        return self._concurrency.sent(self, count)

    def ended(self, *, stored: bool) -> None:
        """Note the end, whatever it was."""
        self._concurrency.ended(self, stored=stored)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
