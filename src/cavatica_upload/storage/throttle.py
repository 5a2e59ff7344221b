"""A cap on the bytes per second of all workers together."""

import threading
import time
from collections.abc import Callable


class Throttle:
    """A token bucket: `take(count)` waits until `count` more bytes may go out.

    Bursts are limited to a quarter of a second's worth. `rate` is in bytes per second. `wait` sleeps (a
    `threading.Event`'s, so that a cancelled run does not sleep on).
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        if not rate > 0:
            raise ValueError("a rate is more than 0 bytes per second")
        self._rate = rate
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._paid_until = clock()

    def take(self, count: int) -> None:
        """Wait until `count` more bytes may go out."""
        with self._lock:
            now = self._clock()
            # Each caller reserves its own time and waits for that of the callers before it.
            start = max(self._paid_until, now - 0.25)
            self._paid_until = start + count / self._rate
        if start > now:
            self._wait(start - now)
