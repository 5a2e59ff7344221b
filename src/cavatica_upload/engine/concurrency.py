"""Decides how many parts may be in flight.

On a slow link two are enough, and a kill loses little. If storage or the way to it limits each connection, many are
needed. Which of the two it is shows only in the speed, so the limit of parts follows what is measured:

1. One part is sent. Its speed says how many parts may be lost: as many as are sent in a few seconds, at least two.
   Up to that number, and up to 4 (8 if MD5s are computed side by side), the limit rises immediately.
2. Each rise is a test. Its gain is how much faster all parts together became, as a share of how many more there are:
   1 if each connection is as fast as before, 0 if they share a link that was full. From 0.3 on the limit is doubled,
   which is the next test. From 0.1 on it stays. Below that it falls back.
3. A test that ended is followed by a pause, a minute at first and up to ten, and then by a test with one part more.
4. An error lowers the limit to 70 %, and no test follows for a minute.

No test is made while this process keeps half of the CPU busy: more parts would not be faster.

A measurement needs one sample for each part that may be in flight. A sample is 8 MiB or one second of a part after its
warm-up, in which buffers fill; a part that is too small for that is a sample as a whole.
"""

import os
import threading
import time
from collections.abc import Callable

import attrs

from cavatica_upload.plan import MIB
from cavatica_upload.timing import Timing

MOST_PARTS = 32
LEAST_WITHOUT_ERRORS = 2  # one part is sent while storage answers to the other
QUICK_LIMIT = 4  # reached without a test if little can be lost: on a fast network, more parts cost CPU
QUICK_LIMIT_OF_LANES = 8  # the same if MD5s are computed in SIMD lanes, which fewer parts do not fill
MUCH_LARGER = 4  # a part so many times larger than those before lowers the limit

WARM_UP_BYTES = 12 * MIB  # of a part, not measured while buffers fill: more than connections buffer
SAMPLE_BYTES = 8 * MIB  # of a part: enough to know the speed of its connection
NEARLY_FULL = 0.75  # share of the limit that must be in flight for a measurement: a worker is idle between two parts

GAIN_TO_GROW = 0.3  # share of a proportional gain from which even more parts are tested
GAIN_TO_KEEP = 0.1  # share of a proportional gain from which the tested number is kept
RETEST_SECONDS = 60.0  # from an error, or the first test that gained too little, to the next test
LONGEST_RETEST_SECONDS = 600.0  # the time doubles up to this, as a slow link sends the tested part for minutes
CPU_BOUND = 0.5  # share of all processors: if this process uses more, more parts are not faster
SHRINK_ON_ERROR = 0.7


@attrs.define(eq=False)
class PartInFlight:
    """One attempt to send a part of `size` bytes. Times are seconds of the monotonic clock."""

    size: int
    started: float
    last_bytes: float  # when bytes were last sent
    warm_up_started: float  # when the part was started, or the limit last changed
    warm_up_bytes: int = 0
    measured: bool = False


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@attrs.define(eq=False, slots=False)
class Concurrency:
    """The limit of parts in flight, from 1 to 32. The module says how it is found.

    `fixed` pins the limit. Up to `quick_limit` it rises without a test. `clock` returns seconds of time, `cpu` those of
    this process on all processors.
    """

    fixed: int | None = None  # the pinned limit, None while it adapts
    _quick_limit: int = attrs.field(default=QUICK_LIMIT, kw_only=True)
    _timing: Timing = attrs.field(factory=Timing, kw_only=True)
    _clock: Callable[[], float] = attrs.field(default=time.monotonic, kw_only=True)
    _cpu: Callable[[], float] = attrs.field(default=time.process_time, kw_only=True)
    _cores: int = attrs.field(factory=_usable_cores, kw_only=True)
    limit: int = attrs.field(init=False)  # how many parts may be in flight now
    rate: float | None = attrs.field(default=None, init=False)  # bytes per second of all parts, as last measured

    def __attrs_post_init__(self) -> None:
        if self.fixed is not None and self.fixed < 1:
            raise ValueError("at least one part must be in flight")
        self.limit = self.fixed or 1
        self._lock = threading.Lock()
        self._in_flight: set[PartInFlight] = set()
        self._part_size = 0  # bytes of the largest part that the limit was found with
        self._before_test: tuple[int, float] | None = None  # limit and rate before more parts were tested
        self._next_test = 0.0
        self._retest_after = RETEST_SECONDS
        self._start_measurement()

    def fix(self, limit: int | None) -> bool:
        """Pin the limit, or with None let it adapt; return whether anything has changed."""
        with self._lock:
            if limit == self.fixed:
                return False
            self.fixed = limit
            self._set_limit(limit or 1)
            return True

    def begin(self, size: int) -> PartInFlight:
        """Start an attempt to send a part of `size` bytes."""
        with self._lock:
            if size > MUCH_LARGER * self._part_size:
                self._part_size = size
                if self.fixed is None:
                    self._set_limit(min(self.limit, self._affordable))
            now = self._clock()
            part = PartInFlight(size, started=now, last_bytes=now, warm_up_started=now)
            self._in_flight.add(part)
            return part

    def sent(self, part: PartInFlight, count: int) -> bool:
        """Count bytes that were sent; return whether the limit has changed."""
        with self._lock:
            now = self._clock()
            seconds, part.last_bytes = now - part.last_bytes, now
            if part.warm_up_bytes < WARM_UP_BYTES and now - part.warm_up_started < self._timing.warm_up:
                part.warm_up_bytes += count
                return False
            part.measured = True
            return self._measure(count, seconds, samples=max(count / SAMPLE_BYTES, seconds / self._timing.sample))

    def end(self, part: PartInFlight, *, stored: bool) -> None:
        """End an attempt; `stored` if it succeeded."""
        with self._lock:
            one_limit = part.warm_up_started == part.started  # it has not changed since the part was started
            if stored and one_limit and not part.measured:
                self._measure(max(1, part.size), self._clock() - part.started, samples=1)
            self._in_flight.discard(part)

    def failed(self) -> None:
        """Lower the limit: the network or storage is in trouble."""
        with self._lock:
            if self.fixed is None:
                self._next_test = self._clock() + RETEST_SECONDS
                self._set_limit(max(1, int(self.limit * SHRINK_ON_ERROR)))

    # The lock is held

    def _start_measurement(self) -> None:
        self._bytes, self._seconds, self._samples = 0, 0.0, 0.0
        self._since, self._cpu_since = self._clock(), self._cpu()

    def _measure(self, count: int, seconds: float, *, samples: float) -> bool:
        """Add bytes that one connection sent to the measurement; return whether the limit has changed."""
        if len(self._in_flight) < self.limit * NEARLY_FULL:  # fewer say nothing about the limit
            return False
        self._bytes += count
        self._seconds += seconds
        self._samples += samples
        if self._samples < self.limit or not self._bytes or self._seconds <= 0:
            return False
        limit, now = self.limit, self._clock()
        self.rate = limit * self._bytes / self._seconds
        self._part_size = max(part.size for part in self._in_flight)
        if self.fixed is None:
            cpu_bound = self._cpu() - self._cpu_since > (now - self._since) * self._cores * CPU_BOUND
            self._decide(self.rate, may_test=now >= self._next_test, more_possible=limit < MOST_PARTS and not cpu_bound)
        self._start_measurement()
        return self.limit != limit

    def _decide(self, rate: float, *, may_test: bool, more_possible: bool) -> None:
        """Set the next limit from the rate at this one; if this was a test, the rate before it says what was gained."""
        limit, before = self.limit, self._before_test
        quick = min(self._affordable, self._quick_limit)
        gain = None if before is None else (rate / before[1] - 1) / (limit / before[0] - 1)
        if gain is not None and gain >= GAIN_TO_GROW and more_possible:
            self._retest_after = RETEST_SECONDS
            self._set_limit(min(MOST_PARTS, max(limit * 2, self._affordable)), before_test=(limit, rate))
        elif limit < quick:
            self._set_limit(quick, before_test=(limit, rate) if may_test else None)
        elif before is not None and gain is not None:  # the test is over
            self._next_test = self._clock() + self._retest_after
            self._retest_after = min(LONGEST_RETEST_SECONDS, self._retest_after * 2)
            self._set_limit(limit if gain >= GAIN_TO_KEEP else max(quick, before[0]))
        elif more_possible and may_test:
            self._set_limit(max(limit + 1, self._affordable), before_test=(limit, rate))

    @property
    def _affordable(self) -> int:
        """How many parts may be lost: as many as are sent in a few seconds, but at least two."""
        parts = (self.rate or 0) * self._timing.at_stake / max(1, self._part_size)
        return int(max(LEAST_WITHOUT_ERRORS, min(MOST_PARTS, parts)))

    def _set_limit(self, limit: int, before_test: tuple[int, float] | None = None) -> None:
        """Set the limit and start a new measurement; `before_test` says that the limit is a test."""
        if limit != self.limit:
            self.limit = limit
            for part in self._in_flight:
                part.warm_up_started, part.warm_up_bytes, part.measured = self._clock(), 0, False
        self._before_test = before_test
        self._start_measurement()
