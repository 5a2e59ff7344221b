"""The time of this machine, and the server's clock as its answers show it: ours may be wrong by hours."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

CLOCK_GRAIN = 5.0
"""Seconds by which two times of the platform may differ and mean the same: they have whole seconds."""


class ServerClock:
    """How far the server's clock is ahead of ours, from the Date header of its latest answer."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.skew = 0.0
        """Seconds that the server's clock is ahead of ours; 0 before its first answer."""
        self.known = False

    def observe(self, date: str | None) -> None:
        """Learn from the Date header of an answer that has just come."""
        moment = http_date(date)
        if moment is not None:
            with self._lock:
                # Half a second is cut off on average: the header has whole seconds.
                self.skew = moment + 0.5 - self._now()
                self.known = True

    def now(self) -> float:
        """Return the server's time, in epoch seconds."""
        return self._now() + self.skew

    def seconds_until(self, moment: datetime) -> float:
        """Return how long it is until a moment of the server's clock."""
        return epoch_seconds(moment) - self.now()


def epoch_seconds(moment: datetime | str) -> float:
    """Return a time (text is ISO 8601) as epoch seconds; one without a zone is UTC. Raises ValueError."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def http_date(text: str | None) -> float | None:
    """Return a date as headers have it (`Date`, `Retry-After`) in epoch seconds, None if it is none."""
    try:
        return epoch_seconds(parsedate_to_datetime(text)) if text else None
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def now_utc(timespec: str = "seconds") -> str:
    """Return this machine's time in UTC, as ISO 8601 with Z; `timespec` is as in datetime.isoformat()."""
    return datetime.now(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
