"""The platform's rate limit: a fixed number of calls in a fixed window, for each token."""

import math
from collections.abc import Callable

import attrs

from cavatica_mock.settings import DEFAULT_RATE_LIMIT

UNLIMITED = 9223372036854775807  # what the platform shows as remaining if there is no limit


@attrs.frozen
class Standing:
    """Where a token stands: calls allowed, calls left, the end of the window in whole seconds since 1970."""

    limit: int
    remaining: int
    reset: int
    refused: bool = False

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


@attrs.define
class _Window:
    end: float
    used: int = 0


class RateLimit:
    """Counts calls. A window begins with a token's first call and ends `seconds` later (docs: a fixed interval).

    Without a limit nothing is counted, and -1 is shown, as the platform does for an instance limit that is none: a
    client that counts for itself would stop at any other figure.
    """

    def __init__(self, limit: tuple[int, float] | None, clock: Callable[[], float]) -> None:
        self._counting = limit is not None
        self._calls, self._seconds = limit or DEFAULT_RATE_LIMIT
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def look(self, user: str) -> Standing:
        """Costs nothing, as `GET /rate_limit` does not."""
        return self._standing(self._window(user))

    def spend(self, user: str) -> Standing:
        """One call. `refused` says that it was one too many."""
        window = self._window(user)
        refused = self._counting and window.used >= self._calls
        if self._counting and not refused:
            window.used += 1
        return attrs.evolve(self._standing(window), refused=refused)

    def clear(self) -> None:
        self._windows.clear()

    def _window(self, user: str) -> _Window:
        now = self._clock()
        window = self._windows.get(user)
        if window is None or now >= window.end:
            # Ends on a whole second, because the header has whole seconds.
            window = self._windows[user] = _Window(end=math.ceil(now + self._seconds))
        return window

    def _standing(self, window: _Window) -> Standing:
        if not self._counting:
            return Standing(-1, UNLIMITED, int(window.end))
        return Standing(self._calls, self._calls - window.used, int(window.end))
