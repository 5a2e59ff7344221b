"""How many calls may be made: a share of the rate limit, as the platform's headers tell it."""

import time
from collections.abc import Callable

from tests.contract.answer import Answer
from tests.contract.rules import RATE_HEADERS

FREE = "getRateLimit"


class RateBudget:
    """Waits before a call that would leave less than the share that belongs to others.

    `reserve` tells how many calls are still needed to clean up: they are kept back. `sleep` and `clock` are for tests.
    """

    def __init__(
        self,
        share: float,
        reserve: Callable[[], int],
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share, self._reserve, self._say = share, reserve, say
        self._clock, self._sleep = clock, sleep
        self._limit = self._remaining = self._reset = 0
        self.lowest: int | None = None
        self.used = 0
        self.refused = 0
        self.cleaning = False

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def floor(self) -> int:
        """The calls that are left to others."""
        return self._limit - int(self._limit * self._share)

    def before(self, operation: str | None) -> None:
        """Wait for the next window when the share of this one is spent."""
        if operation == FREE or not self._limit:
            return
        kept = 0 if self.cleaning else self._reserve()
        if self._remaining - kept > self.floor or self._clock() >= self._reset:
            return
        seconds = self._reset - self._clock() + 1
        self._say(
            f"{self._remaining} of {self._limit} calls are left: {self.floor} are others', {kept} are kept for "
            f"cleaning up. {seconds:.0f} s to wait."
        )
        self._sleep(seconds)

    def observe(self, answer: Answer) -> None:
        """Learn from an answer's headers."""
        self.used += answer.operation is None or answer.operation.id != FREE
        self.refused += answer.status == 429
        if all(answer.headers.get(name, "").isdigit() for name in RATE_HEADERS):
            self._limit, self._remaining, self._reset = (int(answer.headers[name]) for name in RATE_HEADERS)
            self.lowest = self._remaining if self.lowest is None else min(self.lowest, self._remaining)
