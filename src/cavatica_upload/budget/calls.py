"""One budget of API calls for all threads, files and processes on this machine that use the same token.

A call is taken before it is made (`acquire`) and settled by the headers of its answer (`observe`). Calls go out as
fast as they like until the window is nearly spent; then they wait for the reset. The rules are in `window.py`, the
state that processes share in `shared_window.py`.
"""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cavatica_upload.budget.ratelimit import read_rate_limit
from cavatica_upload.budget.shared_window import SharedWindow
from cavatica_upload.budget.window import Window, give_back, rolled, settle, take
from cavatica_upload.errors import Interrupted
from cavatica_upload.events import RateLimitWait

LOOK_AGAIN = 5.0
"""Seconds after which a waiting thread looks whether another process has learned something."""


class CallBudget:
    """Lets API calls through as long as the rate limit allows, and makes them wait for the reset when it does not.

    `store` is a file that processes share, None keeps the state in this object; `key` names the token in it
    (`key_for`). `share` (0 to 1) is the share of each window that this object may use, for a run spread over several
    machines. `reserve` is the fraction of the limit that is left to others. `listener` is told of every wait.
    `clock` returns epoch seconds.

    A server that announces no limit, or -1, is not limited. Safe to use from many threads.
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
        return None if window.limit is None else window.left

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

            def step(window: Window) -> tuple[Window, float]:
                window = rolled(window, now)
                if window.limit is not None and self._share < 1 and self._used_in == window.number:
                    allowed = max(1, int(window.limit * self._share))
                    if self._used >= allowed:
                        return window, max(window.ends - now, 0.1)
                return take(window, now, self._reserve)

            window, wait = self._shared.update(step)
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
        self._shared.update(lambda window: (settle(window, now, number, reading, refused), None))

    def give_back(self, number: int) -> None:
        """Put back a call that never reached the server."""
        now = self._clock()
        with self._lock:
            if self._used_in == number:
                self._used = max(0, self._used - 1)
        self._shared.update(lambda window: (give_back(window, now, number), None))

    def announce(self, seconds: float) -> None:
        """Tell the listener of a wait that the server asked for."""
        self._tell(seconds)

    def close(self) -> None:
        """Close the file that processes share."""
        self._shared.close()

    def _now(self) -> Window:
        now = self._clock()
        return self._shared.update(lambda window: (rolled(window, now), None))[0]

    def _tell(self, wait: float) -> None:
        if self._listener is not None:
            self._listener(RateLimitWait(seconds=wait, reset=self._clock() + wait))


_NEVER = threading.Event()
