"""Decides how many parts to have in flight. Starts with one and adds more quickly while little can be lost.

A kill loses the parts in flight. So their number is first limited to what the network sends in a few seconds. More are
tried now and then, and kept if the total speed grows.
"""

import os
import threading
import time
from collections.abc import Callable

from cavatica_upload.plan import MIB
from cavatica_upload.timing import Timing

MOST = 32
LEAST = 2  # while nothing fails: one goes out while storage answers to the other
QUICK_LIMIT = 4  # up to which little at stake is reason enough: on a fast network more cost CPU
QUICK_LIMIT_SIDE_BY_SIDE = 8  # if the MD5s of parts are taken side by side: fewer leave lanes empty
FILL = 12 * MIB  # of a part, at first and after each change, not measured: the buffers of a connection take less
MEASURE = 8 * MIB  # of each part in flight, for a measurement of their speed
GAIN = 0.3  # of what would be proportional must come of more parts for still more to be tried
LITTLE_GAIN = 0.1  # of it must come for them to be kept
REST = 60.0  # seconds after which a level that was the best is doubted again; doubles each time it proves the best
LONGEST_REST = 600.0
SHRINK = 0.7
NEARLY = 0.75  # of the limit in flight: between two parts a worker is idle for a moment
CPU_BOUND = 0.5  # of what the processors can do: above it parts compete for them, not for the network
LARGER = 4  # times larger parts: what was learned from the others does not hold for them


class Concurrency:
    """The limit of parts in flight: one at first, more while throughput grows, less on errors, from 1 to 32.

    A measurement is the speed of a connection with as many parts in flight as may be. It is taken within parts, and of
    whole parts if they are small. Each leads to a decision (`_decide`). `fixed` pins the limit; up to `quick_limit` the
    sum of the speeds need not grow; `clock` and `cpu` return seconds, of time and of this process on all processors.
    """

    def __init__(
        self,
        fixed: int | None = None,
        *,
        quick_limit: int = QUICK_LIMIT,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
        cores: int | None = None,
    ) -> None:
        if fixed is not None and fixed < 1:
            raise ValueError("at least one part must be in flight")
        self.fixed = fixed
        """What the limit is pinned to, None while it adapts."""
        self._quick_limit = quick_limit
        self._timing = timing or Timing()
        self._clock = clock
        self._cpu = cpu
        self._cores = cores or _usable_cores()
        self._lock = threading.Lock()
        self._flights: set[Flight] = set()
        self._size = 0  # bytes of the largest part that the limit was found with
        self._before: tuple[int, float] | None = None  # the limit and the rate before a change that is to be judged
        self._rest = REST
        self._rest_until = 0.0
        self.limit = fixed or 1
        """Parts that may be in flight now."""
        self.rate: float | None = None
        """Bytes per second of all parts together, as last measured."""
        self._begin()

    def fix(self, limit: int | None) -> bool:
        """Pin the limit from now on, or with None let it adapt; return whether anything has changed."""
        with self._lock:
            if limit == self.fixed:
                return False
            self.fixed = limit
            self._set(limit or 1)
            return True

    def begin(self, size: int) -> "Flight":
        """Note that a part of `size` bytes goes out."""
        with self._lock:
            if size > LARGER * self._size:
                self._size = size
                if self.fixed is None:
                    self._set(min(self.limit, self._affordable))
            flight = Flight(self, size, self._clock())
            self._flights.add(flight)
            return flight

    def failed(self) -> None:
        """Shrink: the network or storage is in trouble."""
        with self._lock:
            if self.fixed is None:
                self._rest_until = self._clock() + REST
                self._set(max(1, int(self.limit * SHRINK)))

    # Called by flights

    def sent(self, flight: "Flight", count: int) -> bool:
        """Count bytes of a flight; return whether the limit has changed."""
        with self._lock:
            now = self._clock()
            took, flight.last = now - flight.last, now
            if flight.unmeasured < FILL and now - flight.since < self._timing.settle:
                flight.unmeasured += count
                return False
            flight.measured = True
            return self._measure(count, took, max(count / MEASURE, took / self._timing.measure))

    def ended(self, flight: "Flight", *, stored: bool) -> None:
        """Note the end of a flight."""
        with self._lock:
            now = self._clock()
            if stored and not flight.measured and flight.since == flight.began:
                self._measure(max(1, flight.size), now - flight.began, 1)
            self._flights.discard(flight)

    # The lock is held

    @property
    def _affordable(self) -> int:
        """How many parts may be lost: as many as take a few seconds, and two."""
        parts = (self.rate or 0) * self._timing.at_stake / max(1, self._size)
        return int(max(LEAST, min(MOST, parts)))

    def _set(self, limit: int, before: tuple[int, float] | None = None) -> None:
        if limit != self.limit:
            self.limit = limit
            for flight in self._flights:
                flight.since, flight.unmeasured, flight.measured = self._clock(), 0, False
        self._before = before
        self._begin()

    def _begin(self) -> None:
        self._bytes, self._seconds, self._enough = 0, 0.0, 0.0
        self._since, self._cpu_since = self._clock(), self._cpu()

    def _measure(self, count: int, seconds: float, share: float) -> bool:
        """Add bytes to the measurement; `share` is what they are of enough for one part in flight."""
        if len(self._flights) < self.limit * NEARLY:  # fewer say nothing about the limit
            return False
        self._bytes += count
        self._seconds += seconds
        self._enough += share
        if self._enough < self.limit or not self._bytes or self._seconds <= 0:
            return False
        now = self._clock()
        cpu_bound = self._cpu() - self._cpu_since > (now - self._since) * self._cores * CPU_BOUND
        self.rate = self.limit * self._bytes / self._seconds
        self._size = max(flight.size for flight in self._flights)
        limit = self.limit
        if self.fixed is None:
            self._decide(self.rate, now, cpu_bound=cpu_bound)
        self._begin()
        return self.limit != limit

    def _decide(self, rate: float, now: float, *, cpu_bound: bool) -> None:
        limit, before = self.limit, self._before
        quick = min(self._affordable, self._quick_limit)
        gain = None if before is None else (rate / before[1] - 1) / (limit / before[0] - 1)
        more_possible = limit < MOST and not cpu_bound
        rested = now >= self._rest_until
        if gain is not None and gain >= GAIN and more_possible:
            self._rest = REST
            self._set(min(MOST, max(limit * 2, self._affordable)), before=(limit, rate))
        elif limit < quick:
            self._set(quick, before=(limit, rate) if rested else None)
        elif before is not None and gain is not None:
            self._rest_until = now + self._rest
            self._rest = min(LONGEST_REST, self._rest * 2)
            self._set(limit if gain >= LITTLE_GAIN else max(quick, before[0]))
        elif more_possible and rested:
            self._set(max(limit + 1, self._affordable), before=(limit, rate))


class Flight:
    """One attempt at one part."""

    def __init__(self, concurrency: Concurrency, size: int, now: float) -> None:
        self._concurrency = concurrency
        self.size = size
        self.began = self.last = now
        self.since = now  # when it began, or the limit last changed
        self.unmeasured = 0  # bytes since then
        self.measured = False

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
