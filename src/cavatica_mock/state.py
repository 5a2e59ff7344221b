"""Everything that one mock has: its store, its bytes, the rules over both, the rate limit, and what it counts."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from cavatica_mock.blobs import Blobs
from cavatica_mock.faults import Faults
from cavatica_mock.files import Files, Locations
from cavatica_mock.settings import DEFAULT_RATE_LIMIT, Settings
from cavatica_mock.store import Ids, Store
from cavatica_mock.uploads import Uploads

FILE: Final = "state.sqlite"
UNLIMITED: Final = 2**63 - 1  # what the platform shows as remaining if there is no limit


@attrs.frozen
class RateLimitStatus:
    """The calls allowed to a token, the calls left, and the end of the window in whole seconds since 1970."""

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


class RateLimit:
    """Counts calls. A window begins with a token's first call and ends `seconds` later (docs: a fixed interval).

    Without a limit nothing is counted and -1 is shown, as the platform does for its instance limit: a client that
    counts for itself would stop at any other number.
    """

    def __init__(self, limit: tuple[int, float] | None, clock: Callable[[], float]) -> None:
        self._counting = limit is not None
        self._calls, self._seconds = limit or DEFAULT_RATE_LIMIT
        self._clock = clock
        self._windows: dict[str, tuple[int, int]] = {}  # user -> end of the window, calls made in it

    def look(self, user: str) -> RateLimitStatus:
        """The status, without counting a call."""
        end, used = self._window(user)
        if not self._counting:
            return RateLimitStatus(-1, UNLIMITED, end)
        return RateLimitStatus(self._calls, self._calls - used, end)

    def spend(self, user: str) -> RateLimitStatus:
        """Count one call. `refused` is True if it exceeds the limit."""
        end, used = self._window(user)
        refused = self._counting and used >= self._calls
        if not refused:
            self._windows[user] = end, used + 1
        return attrs.evolve(self.look(user), refused=refused)

    def clear(self) -> None:
        self._windows.clear()

    def _window(self, user: str) -> tuple[int, int]:
        now = self._clock()
        if user not in self._windows or now >= self._windows[user][0]:
            # It ends on a whole second, because the header has whole seconds.
            self._windows[user] = math.ceil(now + self._seconds), 0
        return self._windows[user]


class State:
    """Raises OSError or sqlite3.Error if the folder cannot be used."""

    def __init__(self, settings: Settings, folder: Path, script: Faults) -> None:
        self.settings = settings
        self.script = script
        self.calls: Counter[str] = Counter()
        self.bytes_received = 0
        self.rates = RateLimit(settings.rate_limit, settings.clock)
        folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(None if settings.data is None else folder / FILE)
        self.blobs = Blobs(folder)
        self.blobs.sweep(self.store.blobs())
        self.ids = Ids(settings.seed)
        self.signing_secret = self.store.setting("signing secret", self.ids.secret).encode()
        self.locations = Locations(self.store, settings.projects)
        self.files = Files(self.store, self.blobs, self.locations, self.ids, settings.clock)
        self.uploads = Uploads(self.store, self.blobs, self.locations, self.ids, settings)

    def close(self) -> None:
        self.store.close()

    def reset(self) -> None:
        """Forget every upload, file, fault and call, and restart the ids."""
        self.store.clear()
        self.blobs.sweep(set())
        self.ids.restart()
        self.rates.clear()
        self.script.clear()
        self.calls.clear()
        self.bytes_received = 0

    def file_bytes(self, file_id: str) -> bytes:
        """The whole file. Raises KeyError if there is none."""
        if self.store.file(file_id) is None:
            raise KeyError(file_id)
        return b"".join(self.blobs.read(self.store.pieces(file_id)))
