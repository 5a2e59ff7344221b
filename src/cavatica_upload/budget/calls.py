"""One budget of API calls for all threads, files and processes on this machine that use the same token.

A call is taken before it is made (`acquire`) and settled by the headers of its answer (`observe`). Calls go out as
fast as they like until the window is nearly spent; then they wait for the reset. The rules are in `window.py`, the
state that processes share in `shared_window.py`.
"""

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from cavatica_upload.budget.ratelimit import Reading, read_rate_limit
from cavatica_upload.budget.shared_window import SharedWindow
from cavatica_upload.budget.window import Window, give_back, put_by, rolled, settle, take
from cavatica_upload.errors import Interrupted
from cavatica_upload.events import RateLimitWait

LOOK_AGAIN = 5.0
"""Seconds after which a waiting thread looks whether another process has learned something."""
PLENTY = 200
"""Calls left in a window with which a process takes several at a time, …"""
AT_A_TIME = 8
"""… namely so many, and writes down what their answers said when it takes the next: for each of them to be a
transaction on the file costs as much as half a call while many threads are busy."""

T = TypeVar("T")


class CallBudget:
    """Lets API calls through as long as the rate limit allows, and makes them wait for the reset when it does not.

    `store` is a file that processes share, None keeps the state in this object; `key` names the token in it
    (`key_for`). `share` (0 to 1) is the share of each window that this object may use, for a run spread over several
    machines. `reserve` is the fraction of the limit that is left to others. `listener` is told of every wait.
    `clock` returns epoch seconds.

    A server that announces no limit, or -1, is not limited. While plenty of calls are left, several are taken from the
    file at a time: they are this object's until `close()` puts back what it did not use. Safe to use from many threads.
    """

    def __init__(
        self,
        store: Path | None = None,
        key: str = "",
        *,
        share: float = 1.0,
        reserve: float = 0.01,
        listener: Callable[[RateLimitWait], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError("share is a fraction of the calls: more than 0, and not more than 1")
        if not 0 <= reserve < 1:
            raise ValueError("reserve is a fraction of the calls: 0 or more, and less than 1")
        self._shared = SharedWindow(store, key)
        self._share = share
        self._reserve = reserve
        self._listener = listener
        self._clock = clock
        self._lock = threading.Lock()
        self._used_in = 0  # the window in which this object took …
        self._used = 0  # … so many calls
        self._put_by = 0  # so many calls taken and not handed out yet, …
        self._put_by_in = 0  # … of this window, …
        self._put_by_until = 0.0  # … which ends then, …
        self._put_by_for = 0  # … by this process
        self._plenty = False  # whether there was plenty when the window was last looked at
        self._unsettled: list[Callable[[Window], Window]] = []  # what answers said, and is not written down yet

    @staticmethod
    def key_for(endpoint: str, token: str) -> str:
        """Return the name under which a token's calls are counted, from which the token cannot be read."""
        return hashlib.sha256(f"{endpoint}\0{token}".encode()).hexdigest()[:32]

    @property
    def limit(self) -> int | None:
        """Calls in a window, None where there is no limit or none is known yet."""
        return self._now().limit

    @property
    def remaining(self) -> int | None:
        """Calls left in this window as far as is known, None where there is no limit."""
        window = self._now()
        return None if window.limit is None else window.left + self._in_hand

    def acquire(self, cancel: threading.Event | None = None) -> int:
        """Take one call, waiting for the reset where none is left; return the number of the window it was taken from.

        Raises Interrupted as soon as `cancel` is set during the wait.
        """
        told = False
        while True:
            number, wait = self.try_acquire()
            if not wait:
                return number
            if not told:
                self._tell(wait)
                told = True
            pause = min(wait + random.uniform(0, 0.5), LOOK_AGAIN)  # noqa: S311  (spreads waiters, guards nothing)
            if (cancel or _NEVER).wait(pause):
                raise Interrupted.while_waiting("the rate limit to reset")

    def try_acquire(self) -> tuple[int, float]:
        """Take one call if there is one: the number of its window, and 0 or the seconds to wait (nothing is taken)."""
        now = self._clock()
        with self._lock:
            if self._in_hand and now < self._put_by_until:
                self._put_by -= 1
                return self._put_by_in, 0.0
            more = 0

            def step(window: Window) -> tuple[Window, float]:
                nonlocal more
                window = rolled(window, now)
                if window.limit is not None and self._share < 1 and self._used_in == window.number:
                    allowed = max(1, int(window.limit * self._share))
                    if self._used >= allowed:
                        return window, max(window.ends - now, 0.1)
                window, wait = take(window, now, self._reserve)
                more = AT_A_TIME - 1 if not wait and self._share == 1 and window.left >= PLENTY else 0
                return put_by(window, more), wait

            window, wait = self._update(step)
            self._put_by, self._put_by_in, self._put_by_until = more, window.number, window.ends
            self._put_by_for = os.getpid()
            if not wait:
                if self._used_in != window.number:
                    self._used_in, self._used = window.number, 0
                self._used += 1
            return window.number, wait

    def observe(self, headers: Mapping[str, str], number: int | None = None, *, refused: bool = False) -> None:
        """Learn from the headers of an answer.

        `number` is what `acquire` returned for this call, None for a call that cost nothing; `refused` says that the
        status was 429. No headers at all (the connection was lost) settle the call as one that the server counted.
        """
        now = self._clock()
        reading = read_rate_limit(headers, now)
        with self._lock:
            if self._can_wait(reading, refused):
                self._unsettled.append(lambda window: settle(window, self._clock(), number, reading))
            else:
                self._update(lambda window: (settle(window, now, number, reading, refused), None))

    def give_back(self, number: int) -> None:
        """Put back a call that never reached the server."""
        now = self._clock()
        with self._lock:
            if self._used_in == number:
                self._used = max(0, self._used - 1)
            self._update(lambda window: (give_back(window, now, number), None))

    def announce(self, seconds: float) -> None:
        """Tell the listener of a wait that the server asked for."""
        self._tell(seconds)

    def close(self) -> None:
        """Close the file that processes share, after what was put by for this one is put back into it."""
        with self._lock:
            if self._in_hand or self._unsettled:
                self._update(lambda window: (self._all_put_back(window), None))
                self._put_by = 0
            self._shared.close()

    def _now(self) -> Window:
        now = self._clock()
        with self._lock:
            return self._update(lambda window: (rolled(window, now), None))[0]

    @property
    def _in_hand(self) -> int:
        """The calls put by for this process: a fork does not inherit them."""
        return self._put_by if self._put_by_for == os.getpid() else 0

    # The lock is held

    def _update(self, change: Callable[[Window], tuple[Window, T]]) -> tuple[Window, T]:
        unsettled, self._unsettled = self._unsettled, []

        def settled_and_changed(window: Window) -> tuple[Window, T]:
            for settled in unsettled:
                window = settled(window)
            return change(window)

        window, value = self._shared.update(settled_and_changed)
        self._plenty = window.left >= PLENTY
        return window, value

    def _can_wait(self, reading: Reading | None, refused: bool) -> bool:
        """Say whether an answer has nothing to tell that others should know at once."""
        if not self._plenty or refused or len(self._unsettled) >= 2 * AT_A_TIME:
            return False
        return reading is None or (reading.limit is not None and reading.remaining >= PLENTY)

    def _all_put_back(self, window: Window) -> Window:
        for _ in range(self._in_hand):
            window = give_back(window, self._clock(), self._put_by_in)
        return window

    def _tell(self, wait: float) -> None:
        if self._listener is not None:
            self._listener(RateLimitWait(seconds=wait, reset=self._clock() + wait))


_NEVER = threading.Event()
