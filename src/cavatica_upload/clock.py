"""Reads and writes times, and follows the server's clock, from which the local clock may differ by hours."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

CLOCK_GRAIN = 5.0
"""Seconds by which two equal times of the platform may differ: it cuts them to whole seconds."""

MOST_SECONDS = 100_000_000_000
"""Epoch seconds of the year 5138: a larger number is in milliseconds, microseconds or nanoseconds."""


class ServerClock:
    """The server's clock, read from the Date header of its latest answer."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.skew = 0.0
        """Seconds that the server's clock is ahead of ours; 0 before its first answer."""
        self.known = False

    def observe(self, date: str | None) -> None:
        """Take the time from the Date header of an answer that has just arrived."""
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
        """Return the seconds until a time of the server's clock."""
        return epoch_seconds(moment) - self.now()


def epoch_seconds(moment: datetime | str) -> float:
    """Return a time (text is ISO 8601) as epoch seconds; one without a zone is UTC. Raises ValueError."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def http_date(text: str | None) -> float | None:
    """Return the date of a header (`Date`, `Retry-After`) in epoch seconds, None if it is not a date."""
    try:
        return epoch_seconds(parsedate_to_datetime(text)) if text else None
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def read_time(value: object) -> datetime | None:
    """Return a time in UTC: ISO 8601, as mail and HTTP write it, or a number since 1970 in any unit; else None.

    Without a time zone it is UTC.
    """
    try:
        if isinstance(value, int):
            seconds = float(value)
            for _unit in ("milli", "micro", "nano"):
                if abs(seconds) >= MOST_SECONDS:
                    seconds /= 1000
            return datetime.fromtimestamp(seconds, UTC)
        text = str(value).strip()
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            found = parsedate_to_datetime(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None


def now_utc(timespec: str = "seconds") -> str:
    """Return this machine's time in UTC, as ISO 8601 with Z; `timespec` is as in datetime.isoformat()."""
    return utc_text(datetime.now(UTC), timespec)


def utc_text(moment: datetime, timespec: str = "auto") -> str:
    """Return a time in UTC as ISO 8601 with Z; `timespec` is as in datetime.isoformat()."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")
