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

WINDOW = 300.0  # length of the usual window in seconds
LONGEST_WINDOW = 600.0
"""The longest wait in seconds that one answer can cause; a reset further away is an error, and is ignored."""
BLUR = 1  # seconds by which two announcements of one reset may differ, if a server rounds the remaining time
POLL = 5.0  # seconds between two checks of a waiting thread for news from other threads


@attrs.frozen
class Reading:
    """What the headers of an answer say about waiting; None for what is missing or cannot be true."""

    limit: int | None = None  # calls in a window; 0 or less if they are unlimited (the platform sends -1)
    remaining: int | None = None
    reset: int | None = None  # the end of the window in epoch seconds of the server's clock; it identifies the window
    resets_in: float | None = None  # seconds from the answer to the end of the window
    retry_after: float | None = None  # seconds of Retry-After, in either of its forms

    @property
    def is_spent(self) -> bool:
        """Whether the window may have no calls left; if it has, its end says nothing about a refusal."""
        return (self.limit is None or self.limit > 0) and (self.remaining is None or self.remaining <= 0)


def read_headers(headers: Mapping[str, str], now: float) -> Reading:
    """Read the headers of an answer. `now`, in epoch seconds, is used only if it has no Date: clocks differ."""
    known = {name.lower(): value for name, value in headers.items()}
    sent = http_date(known.get("date")) or now
    counts = (_number(known.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining", "reset"))
    limit, remaining, reset = (None if count is None else int(count) for count in counts)
    if reset is not None and reset > 100_000_000_000:
        reset //= 1000  # an example on docs.cavatica.org, Get your current rate limit status, is in milliseconds
    resets_in = None if reset is None else max(0.0, reset - sent)
    if reset is None or not -1 <= reset - sent <= LONGEST_WINDOW:
        reset = resets_in = None
    text = known.get("retry-after", "").strip()
    retry_after, moment = _number(text), http_date(text)
    if retry_after is None and moment is not None:
        retry_after = max(0.0, moment - sent)
    if retry_after is not None and retry_after < 0:
        retry_after = None
    return Reading(limit, remaining, reset, resets_in, retry_after)


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
        self._used = 0  # the same, with all calls of others that the server certainly counted
        self._in_flight = 0  # calls taken and not answered, of any window
        self._reset = 0  # of this window, or of the one before if `_over`
        self._over = False  # whether the window is over by our clock, and the reset of the next is not known yet
        self._ends = 0.0  # when the window is certainly over, by our clock
        self._blocked_until = 0.0  # because of a 429
        self.refusals = 0  # how often calls had to wait because of a 429 since one was answered otherwise
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
            return None if self._limit is None else max(0, self._limit - self._used)

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
                if self._taken >= own or self._limit - self._used <= reserve:
                    until = max(until, self._ends)
            if until <= now:
                self._in_flight += 1
                self._taken += 1
                self._used += 1
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
        said = read_headers(headers, self._wall())
        with self._lock:
            now = self._clock()
            self._roll_over(now)
            if counted:
                self._in_flight = max(0, self._in_flight - 1)
            if refused:
                self.refusals += now >= self._blocked_until
                wait = said.retry_after
                if wait is None and said.is_spent:
                    wait = said.resets_in
                if wait is None:
                    wait = self._timing.backoff(self.refusals)
                self._blocked_until = now + min(wait, LONGEST_WINDOW) + self._timing.reset_margin
                if said.retry_after is not None:
                    return  # it counts more than the window, which may have calls left: a gateway may limit bursts
            elif counted:
                self.refusals = 0
            if said.limit is not None and said.limit <= 0:
                self._limit = None
            elif None not in (said.limit, said.remaining, said.reset):
                self._learn(said, now)
            elif self._over and not refused:
                self._limit = None  # the server no longer announces a limit

    def give_back(self) -> None:
        """Return a call that never reached the server."""
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
            self._taken = max(0, self._taken - 1)
            self._used = max(0, self._used - 1)

    # The lock is held

    def _learn(self, said: Reading, now: float) -> None:
        limit, reset = said.limit or 0, said.reset or 0
        counted, ends = limit - max(0, said.remaining or 0), now + (said.resets_in or 0.0) + self._timing.reset_margin
        if self._limit is None:  # calls made before belong to this window as far as the server counted them
            self._taken = self._used = min(self._taken, counted + self._in_flight)
        elif reset < self._reset or (self._over and reset == self._reset):
            return  # a late answer, from a window that is over
        elif reset <= self._reset + BLUR and not self._over:
            # The same window: answers overtake each other, and each estimate of its end is safe.
            reset, ends = self._reset, min(ends, self._ends)
        else:
            if not self._over:  # the server began the next window first, and may count calls in flight in it
                self._taken = self._in_flight + 1
            self._used = self._taken
        self._limit, self._reset, self._ends, self._over = limit, reset, ends, False
        # Calls in flight may be counted or not: only what exceeds them all is certainly somebody else's.
        self._used = max(self._used, counted)

    def _roll_over(self, now: float) -> None:
        if self._limit is not None and now >= self._ends:
            self._taken = self._used = min(self._in_flight, self._limit // 2)
            self._over = True
            self._ends = now + WINDOW + self._timing.reset_margin  # until an answer names the end
