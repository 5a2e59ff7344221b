"""Decides how many parts to have in flight. Starts with one and adds more quickly while little can be lost.

A kill loses the parts in flight. So their number is first limited to what the network sends in a few seconds. More are
tried now and then, and kept if the total speed grows.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import attrs

from cavatica_upload.errors import Interrupted
from cavatica_upload.plan import MIB
from cavatica_upload.timing import Timing

MOST_PARTS = 32
LEAST_WITHOUT_ERRORS = 2  # one part is sent while storage answers to the other
QUICK_LIMIT = 4  # reached without a test if little can be lost: on a fast network, more parts cost CPU
QUICK_LIMIT_OF_LANES = 8  # the same if MD5s are taken in SIMD lanes, which fewer parts do not fill
BYTES_TO_SETTLE = 12 * MIB  # not measured, at the start of a part and after a change: more than connections buffer
BYTES_TO_MEASURE = 8 * MIB  # in each part in flight
GAIN_TO_GROW = 0.3  # share of a proportional gain from which even more parts are tried
GAIN_TO_KEEP = 0.1  # share of a proportional gain from which the added parts are kept
RETEST_SECONDS = 60.0  # from one test of more parts to the next; doubles with each test that gains too little
LONGEST_RETEST_SECONDS = 600.0
SHRINK_ON_ERROR = 0.7
NEARLY_FULL = 0.75  # share of the limit in flight that a measurement needs: a worker is idle between two parts
CPU_BOUND = 0.5  # share of all processors: if this process uses more, more parts are not faster
MUCH_LARGER = 4  # times the size that the limit was found with: for a larger part the limit is lowered
HELD_AHEAD = 8  # the most parts that have a URL and wait to be sent


@attrs.define(eq=False)
class Flight:
    """One attempt at one part of `size` bytes. Times are seconds of the monotonic clock."""

    size: int
    began: float
    last: float  # when bytes were last sent
    settling_since: float  # when it began, or the limit last changed
    settling_bytes: int = 0
    measured: bool = False


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
        """The pinned limit, None while it adapts."""
        self._quick_limit = quick_limit
        self._timing = timing or Timing()
        self._clock = clock
        self._cpu = cpu
        self._cores = cores or _usable_cores()
        self._lock = threading.Lock()
        self._flights: set[Flight] = set()
        self._size = 0  # bytes of the largest part that the limit was found with
        self._before: tuple[int, float] | None = None  # the limit and the rate before a test of more parts
        self._retest_after = RETEST_SECONDS
        self._retest_at = 0.0
        self.limit = fixed or 1
        """How many parts may be in flight now."""
        self.rate: float | None = None
        """Bytes per second of all parts together, as last measured."""
        self._restart_measurement()

    def fix(self, limit: int | None) -> bool:
        """Pin the limit, or with None let it adapt; return whether anything has changed."""
        with self._lock:
            if limit == self.fixed:
                return False
            self.fixed = limit
            self._set(limit or 1)
            return True

    def begin(self, size: int) -> Flight:
        """Start an attempt at a part of `size` bytes."""
        with self._lock:
            if size > MUCH_LARGER * self._size:
                self._size = size
                if self.fixed is None:
                    self._set(min(self.limit, self._affordable))
            now = self._clock()
            flight = Flight(size, now, now, now)
            self._flights.add(flight)
            return flight

    def sent(self, flight: Flight, count: int) -> bool:
        """Count bytes that were sent; return whether the limit has changed."""
        with self._lock:
            now = self._clock()
            took, flight.last = now - flight.last, now
            if flight.settling_bytes < BYTES_TO_SETTLE and now - flight.settling_since < self._timing.settle:
                flight.settling_bytes += count
                return False
            flight.measured = True
            return self._measure(count, took, max(count / BYTES_TO_MEASURE, took / self._timing.measure))

    def end(self, flight: Flight, *, stored: bool) -> None:
        """End an attempt; `stored` if it succeeded."""
        with self._lock:
            if stored and not flight.measured and flight.settling_since == flight.began:
                self._measure(max(1, flight.size), self._clock() - flight.began, 1)
            self._flights.discard(flight)

    def failed(self) -> None:
        """Shrink the limit: the network or storage is in trouble."""
        with self._lock:
            if self.fixed is None:
                self._retest_at = self._clock() + RETEST_SECONDS
                self._set(max(1, int(self.limit * SHRINK_ON_ERROR)))

    # The lock is held

    @property
    def _affordable(self) -> int:
        """How many parts may be lost: as many as are sent in a few seconds, but at least two."""
        parts = (self.rate or 0) * self._timing.at_stake / max(1, self._size)
        return int(max(LEAST_WITHOUT_ERRORS, min(MOST_PARTS, parts)))

    def _set(self, limit: int, before: tuple[int, float] | None = None) -> None:
        if limit != self.limit:
            self.limit = limit
            for flight in self._flights:
                flight.settling_since, flight.settling_bytes, flight.measured = self._clock(), 0, False
        self._before = before
        self._restart_measurement()

    def _restart_measurement(self) -> None:
        self._bytes, self._seconds, self._measured = 0, 0.0, 0.0
        self._since, self._cpu_since = self._clock(), self._cpu()

    def _measure(self, count: int, seconds: float, share: float) -> bool:
        """Add bytes to the measurement; `share` is their fraction of what is enough for one part in flight."""
        if len(self._flights) < self.limit * NEARLY_FULL:  # fewer say nothing about the limit
            return False
        self._bytes += count
        self._seconds += seconds
        self._measured += share
        if self._measured < self.limit or not self._bytes or self._seconds <= 0:
            return False
        now = self._clock()
        cpu_bound = self._cpu() - self._cpu_since > (now - self._since) * self._cores * CPU_BOUND
        self.rate = self.limit * self._bytes / self._seconds
        self._size = max(flight.size for flight in self._flights)
        limit = self.limit
        if self.fixed is None:
            self._decide(self.rate, now, cpu_bound=cpu_bound)
        self._restart_measurement()
        return self.limit != limit

    def _decide(self, rate: float, now: float, *, cpu_bound: bool) -> None:
        limit, before = self.limit, self._before
        quick = min(self._affordable, self._quick_limit)
        gain = None if before is None else (rate / before[1] - 1) / (limit / before[0] - 1)
        more_possible = limit < MOST_PARTS and not cpu_bound
        may_test = now >= self._retest_at
        if gain is not None and gain >= GAIN_TO_GROW and more_possible:
            self._retest_after = RETEST_SECONDS
            self._set(min(MOST_PARTS, max(limit * 2, self._affordable)), before=(limit, rate))
        elif limit < quick:
            self._set(quick, before=(limit, rate) if may_test else None)
        elif before is not None and gain is not None:
            self._retest_at = now + self._retest_after
            self._retest_after = min(LONGEST_RETEST_SECONDS, self._retest_after * 2)
            self._set(limit if gain >= GAIN_TO_KEEP else max(quick, before[0]))
        elif more_possible and may_test:
            self._set(max(limit + 1, self._affordable), before=(limit, rate))


class Slots:
    """Makes the workers keep to the limit of parts in flight.

    A worker holds a part, requests its URL, and waits for a slot to send it. Some more parts are held than may be sent,
    so that a free slot is used immediately. A part that waits for its next attempt does not count.
    """

    def __init__(self, concurrency: Concurrency) -> None:
        self.concurrency = concurrency
        self._changed = threading.Condition()
        self._held = 0
        self._sending = 0
        self._queue: list[object] = []  # those that wait for a slot; the first of them gets it
        self.pausing = 0
        """Parts that failed and wait for the next attempt."""

    @property
    def most_sending(self) -> int:
        """The most parts that are being sent or may be soon; takes no lock."""
        return max(self.concurrency.limit, self._sending)

    @property
    def overfull(self) -> bool:
        """Whether more parts are held than may be, because the limit has shrunk; takes no lock."""
        return self._held > self._most_held

    @property
    def _most_held(self) -> int:
        return self.concurrency.limit + min(self.concurrency.limit, HELD_AHEAD)

    def wake(self) -> None:
        """Let all waiting workers check again, after the limit or what is wanted has changed."""
        with self._changed:
            self._changed.notify_all()

    @contextlib.contextmanager
    def holding(self, wanted: Callable[[], bool]) -> Iterator[None]:
        """Wait until this worker may hold a part, then hold it. Raises Interrupted if it is not `wanted`."""
        with self._changed:
            self._wait(wanted, lambda: self._held < self._most_held)
            self._held += 1
        try:
            yield
        finally:
            with self._changed:
                self._held -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def sending(self, wanted: Callable[[], bool]) -> Iterator[None]:
        """Wait for a slot in turn, then take it. Raises Interrupted if the part is not `wanted`."""
        with self._changed:
            ticket = object()
            self._queue.append(ticket)
            try:
                self._wait(wanted, lambda: self._queue[0] is ticket and self._sending < self.concurrency.limit)
                self._sending += 1
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._sending -= 1
                self._changed.notify_all()

    def pause(self, wanted: Callable[[], bool], seconds: float) -> None:
        """Wait, and let another worker hold a part meanwhile. Raises Interrupted if the part is not `wanted`."""
        with self._changed:
            self._held -= 1
            self.pausing += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: not wanted(), seconds)
            finally:
                self.pausing -= 1
                self._held += 1
        if not wanted():
            raise Interrupted.while_waiting("another try")

    def _wait(self, wanted: Callable[[], bool], free: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: not wanted() or free())
        if not wanted():
            raise Interrupted.while_waiting("a slot")


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
