"""What a mock has and knows: its store, its bytes, the rules over both, the rate limit, and how to begin anew."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from cavatica_mock.blobs import Blobs
from cavatica_mock.faults import Faults
from cavatica_mock.files import Files, Locations
from cavatica_mock.records import Ids, Views
from cavatica_mock.settings import DEFAULT_RATE_LIMIT, Settings
from cavatica_mock.storage import Signer, Traffic
from cavatica_mock.store import Store
from cavatica_mock.uploads import Uploads

FILE: Final = "state.sqlite"


class State:
    """Raises OSError or sqlite3.Error if the folder cannot be used."""

    def __init__(self, settings: Settings, folder: Path, script: Faults) -> None:
        self.settings = settings
        self.script = script
        self.traffic = Traffic()
        folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(None if settings.data is None else folder / FILE)
        self.blobs = Blobs(folder)
        self.blobs.sweep(self.store.blobs())
        self.rates = RateLimit(settings.rate_limit, settings.clock)
        self._build()

    def _build(self) -> None:
        settings = self.settings
        ids = Ids(settings.seed)
        locations = Locations(self.store, settings.projects)
        self.signer = Signer(self.store.setting("signing secret", ids.secret()).encode())
        self.files = Files(self.store, self.blobs, locations, ids, settings.clock)
        self.uploads = Uploads(
            self.store, self.blobs, locations, ids, settings.clock, settings.min_part_size, settings.part_size
        )

    def close(self) -> None:
        self.store.close()

    def reset(self) -> None:
        """As new: no uploads, files, faults, calls; ids begin anew."""
        self.store.clear()
        self.blobs.sweep(set())
        self.rates.clear()
        self.script.clear()
        self.traffic.calls.clear()
        self.traffic.bytes_received = 0
        self._build()

    def describe_files(self, views: Views) -> list[dict[str, Any]]:
        return [views.file(file) for file in self.store.files(None)[0]]

    def describe_uploads(self, views: Views) -> list[dict[str, Any]]:
        shown = []
        for upload in self.store.uploads(None)[0]:
            parts = self.store.parts(upload.id)
            document = views.upload(upload, self.store.reported(upload.id), parts)
            stored = [
                {"part_number": part.number, "size": part.size, "etag": part.etag}
                for part in parts
                if part.blob is not None
            ]
            shown.append(document | {"size": upload.size, "stored_parts": stored})
        return shown

    def file_bytes(self, file_id: str) -> bytes:
        """Raises KeyError if there is no such file."""
        if self.store.file(file_id) is None:
            raise KeyError(file_id)
        return b"".join(self.blobs.read(self.store.pieces(file_id)))


UNLIMITED = 9223372036854775807  # what the platform shows as remaining if there is no limit


@attrs.frozen
class RateLimitStatus:
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

    def look(self, user: str) -> RateLimitStatus:
        """Costs nothing, as `GET /rate_limit` does not."""
        return self._status(self._window(user))

    def spend(self, user: str) -> RateLimitStatus:
        """One call. `refused` says that it was one too many."""
        window = self._window(user)
        refused = self._counting and window.used >= self._calls
        if self._counting and not refused:
            window.used += 1
        return attrs.evolve(self._status(window), refused=refused)

    def clear(self) -> None:
        self._windows.clear()

    def _window(self, user: str) -> _Window:
        now = self._clock()
        window = self._windows.get(user)
        if window is None or now >= window.end:
            # Ends on a whole second, because the header has whole seconds.
            window = self._windows[user] = _Window(end=math.ceil(now + self._seconds))
        return window

    def _status(self, window: _Window) -> RateLimitStatus:
        if not self._counting:
            return RateLimitStatus(-1, UNLIMITED, int(window.end))
        return RateLimitStatus(self._calls, self._calls - window.used, int(window.end))
