"""The rate limit: follows the headers of every answer, and ignores those that cannot be true.

docs.cavatica.org and docs.sevenbridges.com, API rate limit: X-RateLimit-Limit is the ceiling, -Remaining what is left
of it, -Reset the Unix time at which the window ends. The server counts every process that uses the token, so there is
nothing for them to share. If several meet at the end of a window, one may be refused (429); it waits.
"""

import math
import random
import re
import threading
import time
from collections.abc import Callable, Mapping

import attrs

from cavatica_upload.errors import Interrupted, UsageError, is_number
from cavatica_upload.timing import Timing, http_date

WINDOW = 300.0
"""Length of the usual window in seconds."""
LONGEST_WINDOW = 600.0
"""The longest wait in seconds that one answer can cause; a reset further away is an error, and is ignored."""
BLUR = 1
"""Seconds by which two announcements of one reset may differ, if a server rounds the remaining time."""
POLL = 5.0
"""Seconds between two checks of a waiting thread for news from other threads."""


@attrs.frozen
class Reading:
    """The rate limit in one answer; `limit` is None if calls are unlimited (the platform sends -1)."""

    limit: int | None
    remaining: int = 0
    reset: int = 0
    """The end of the window in epoch seconds of the server's clock; it identifies the window."""
    resets_in: float = 0.0
    """Seconds from the answer to the end of the window."""


def read_rate_limit(headers: Mapping[str, str], now: float) -> Reading | None:
    """Return the rate limit in the headers, None if it is missing or cannot be true; `now` is in epoch seconds."""
    known = _lowered(headers)
    limit, remaining = _number(known.get("x-ratelimit-limit")), _number(known.get("x-ratelimit-remaining"))
    end = _end(known, now)
    if limit is not None and limit <= 0:
        return Reading(limit=None)
    if limit is None or remaining is None or end is None:
        return None
    return Reading(int(limit), max(0, int(remaining)), *end)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds of Retry-After in either of its forms, None if it is missing or unreadable."""
    known = _lowered(headers)
    text = known.get("retry-after", "").strip()
    seconds, moment = _number(text), http_date(text)
    if seconds is None and moment is not None:
        seconds = max(0.0, moment - _server_time(known, now))
    return seconds if seconds is not None and seconds >= 0 else None


def _end(known: Mapping[str, str], now: float) -> tuple[int, float] | None:
    """Return the end of the window and the seconds until then; None if it is missing or cannot be true."""
    number = _number(known.get("x-ratelimit-reset"))
    if number is None:
        return None
    reset = int(number)
    if reset > 100_000_000_000:
        reset //= 1000  # an example on docs.cavatica.org, Get your current rate limit status, is in milliseconds
    seconds = reset - _server_time(known, now)
    return (reset, max(0.0, seconds)) if -1 <= seconds <= LONGEST_WINDOW else None


def _server_time(known: Mapping[str, str], now: float) -> float:
    """Return the answer's own date, else `now`: a wrong clock on this machine does no harm."""
    return http_date(known.get("date")) or now


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _number(text: str | None) -> float | None:
    """Return a number, which some servers write with a decimal point; None if it is none or cannot be true."""
    return float(text) if text and re.fullmatch(r"\s*[+-]?[0-9]{1,18}(\.[0-9]*)?\s*", text, re.ASCII) else None


class RateLimiter:
    """Lets API calls through while the window has some left; later calls wait for its end.

    `share` (0 to 1) is the share of each window that this object may use, for a run spread over several machines.
    `reserve` is the fraction of the limit that is left to others. Safe to use from many threads.
    """

    def __init__(
        self,
        *,
        share: float = 1.0,
        reserve: float = 0.01,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if not (is_number(share) and 0 < share <= 1):
            raise UsageError("share is a fraction of the calls: more than 0, and at most 1.")
        if not (is_number(reserve) and 0 <= reserve < 1):
            raise UsageError("reserve is a fraction of the calls: 0 or more, and less than 1.")
        self._share, self._reserve, self._timing = share, reserve, timing or Timing()
        self._clock, self._wall = clock, wall
        self._lock = threading.Lock()
        self._limit: int | None = None  # None: there is none, or the server has not said
        self._taken = 0  # calls of this object that the server may count in this window, answered or not
        self._others = 0  # the least number of other calls that the server counted
        self._in_flight = 0  # calls taken and not answered, of any window
        self._reset = 0  # of this window, or of the one before if `_over`
        self._over = False  # whether the window ended by our clock, and no answer has named the next one yet
        self._ends = 0.0  # when the window is certainly over, by our clock
        self._blocked_until = 0.0  # because of a 429
        self._announced = 0.0  # the end of the wait that was reported last

    @property
    def limit(self) -> int | None:
        """Calls in a window, None if there is no limit or none is known yet."""
        return self._limit

    @property
    def remaining(self) -> int | None:
        """Calls left in this window as far as is known, None if there is no limit."""
        with self._lock:
            self._roll_over(self._clock())
            return None if self._limit is None else max(0, self._limit - self._taken - self._others)

    def acquire(
        self, cancel: threading.Event | None = None, on_wait: Callable[[float], None] = lambda _seconds: None
    ) -> None:
        """Take one call, waiting for the end of the window if none is left.

        `on_wait` is called once for each wait, with its seconds. Raises Interrupted as soon as `cancel` is set.
        """
        cancel = cancel or threading.Event()
        while wait := self.try_acquire(on_wait):
            if cancel.wait(min(wait + random.uniform(0, 0.5), POLL)):  # noqa: S311  (spreads waiters, guards nothing)
                raise Interrupted.while_waiting("the rate limit to reset")

    def try_acquire(self, on_wait: Callable[[float], None] = lambda _seconds: None) -> float:
        """Take one call if there is one and return 0, else the seconds to wait."""
        with self._lock:
            now = self._clock()
            self._roll_over(now)
            until = self._blocked_until
            if self._limit is not None:
                reserve = min(math.ceil(self._limit * self._reserve), self._limit - 1)
                own = max(1, int(self._limit * self._share))
                if self._taken >= own or self._limit - self._taken - self._others <= reserve:
                    until = max(until, self._ends)
            if until <= now:
                self._in_flight += 1
                self._taken += 1
                return 0.0
            wait = min(max(until - now, 0.1), LONGEST_WINDOW)
            is_new, self._announced = until > self._announced, max(self._announced, until)
        if is_new:
            on_wait(wait)
        return wait

    def record(self, headers: Mapping[str, str], *, refused: bool = False, counted: bool = True) -> None:
        """Learn from the headers of an answer; `refused` means 429, `counted` is False for a call that costs nothing.

        Pass no headers if the connection was lost: the server may have counted the call.
        """
        reading = read_rate_limit(headers, self._wall())
        with self._lock:
            now = self._clock()
            self._roll_over(now)
            if counted:
                self._in_flight = max(0, self._in_flight - 1)
            if refused:
                wait, end = retry_after(headers, self._wall()), _end(_lowered(headers), self._wall())
                if wait is None and end is not None:
                    wait = end[1]
                elif wait is None:
                    wait = self._ends - now if self._limit else random.uniform(0, self._timing.longest_backoff)  # noqa: S311
                self._ends = self._blocked_until = now + min(wait, LONGEST_WINDOW) + self._timing.reset_margin
                self._reset = max(self._reset, reading.reset if reading is not None else 0)
            elif reading is not None and reading.limit is not None:
                self._learn(reading, reading.limit, now)
            elif reading is not None or self._over:
                self._limit = None  # the server announces none, or no longer announces one

    def give_back(self) -> None:
        """Return a call that never reached the server."""
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
            self._taken = max(0, self._taken - 1)

    # The lock is held

    def _learn(self, reading: Reading, limit: int, now: float) -> None:
        counted = limit - reading.remaining
        reset, ends = reading.reset, now + reading.resets_in + self._timing.reset_margin
        if self._limit is None:  # calls made before belong to this window as far as the server counted them
            self._taken, self._others = min(self._taken, counted + self._in_flight), 0
        elif reset < self._reset or (self._over and reset == self._reset):
            return  # a late answer, from a window that is over
        elif reset <= self._reset + BLUR and not self._over:
            # The same window: answers overtake each other, and each estimate of its end is safe.
            reset, ends = self._reset, min(ends, self._ends)
        else:
            if not self._over:  # the server began the next window first, and may count calls in flight in it
                self._taken = self._in_flight + 1
            self._others = 0
        self._limit, self._reset, self._ends, self._over = limit, reset, ends, False
        # Calls in flight may be counted or not: only what exceeds them all is certainly somebody else's.
        self._others = max(self._others, counted - self._taken)

    def _roll_over(self, now: float) -> None:
        if self._limit is not None and now >= self._ends:
            self._taken, self._others, self._over = min(self._in_flight, self._limit // 2), 0, True
            self._ends = now + WINDOW + self._timing.reset_margin  # until an answer names the end
