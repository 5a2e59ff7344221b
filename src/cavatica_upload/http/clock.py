"""The time, as this machine has it, and the server's clock, as its answers tell it: ours may be wrong by hours."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class ServerClock:
    """How far the server's clock is ahead of ours, from the Date header of its latest answer."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.skew = 0.0
        """Seconds that the server's clock is ahead of ours."""
        self.known = False

    def observe(self, date: str | None) -> None:
        """Learn from the Date header of an answer that has just come."""
        if not date:
            return
        try:
            moment = parsedate_to_datetime(date)
        except (TypeError, ValueError):
            return
        with self._lock:
            # Half a second is cut off on average: the header has whole seconds.
            self.skew = moment.timestamp() + 0.5 - self._now()
            self.known = True

    def now(self) -> float:
        """Return the server's time, in epoch seconds."""
        return self._now() + self.skew

    def seconds_until(self, moment: datetime) -> float:
        """Return how long it is until a moment of the server's clock; without a time zone, UTC is meant."""
        return epoch_seconds(moment) - self.now()


def epoch_seconds(moment: datetime | str) -> float:
    """Return a moment (text is ISO 8601) in epoch seconds; without a time zone, UTC is meant. Raises ValueError."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def now_utc(timespec: str = "seconds") -> str:
    """Return this machine's time in UTC, as ISO 8601 with Z; `timespec` is as in datetime.isoformat()."""
    return datetime.now(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
