"""Waits and timeouts, in one class that tests replace; the server's clock; how times are read and written."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import attrs


@attrs.frozen(kw_only=True)
class Timing:
    """Waits and timeouts in seconds."""

    connect: float = 15.0  # timeout of a connection to the API or to storage
    silence: float = 60.0  # timeout of a read from, or a write to, the API or storage
    slow_silence: float = 300.0  # timeout of the answer to a completion
    first_backoff: float = 0.5  # the longest pause before the first retry; it doubles with each retry
    longest_backoff: float = 60.0  # the longest pause before any retry
    reset_margin: float = 1.0  # wait after the reset of the rate limit, which is in whole seconds, as the Date header
    tick: float = 0.1  # time between two checks of the engine for what is due
    gathering: float = 0.2  # the most time to collect requests before the largest of them starts
    describing: float = 10.0  # time to collect files whose metadata one call sets, to save a third of the calls
    busy: float = 1.0  # time between two tries to lock an upload that another process holds
    small_file: float = 0.5  # time between starts of small files beside large ones, which need the calls
    stream_end: float = 0.25  # wait before a stream is completed: the signal that ended it may stop us, too
    dropping: float = 1.0  # how long to wait for the end of a dropped part, which may hang in the network
    final_calls: float = 5.0  # how long reporting the stored parts may take after a stop
    closing: float = 10.0  # how long to wait for threads when the uploader is closed; a tenth of it after a stop
    at_stake: float = 4.0  # how much sending a kill may lose: limits the parts in flight, unless more are faster
    warm_up: float = 1.0  # the most time of a part that is not measured, while buffers fill
    sample: float = 1.0  # the most time for which the speed of a part is measured
    first_outage: float = 10.0  # time without any answer before Outage is emitted
    later_outages: float = 60.0  # time between two Outage events

    def backoff(self, failures: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """Return a random delay in seconds after a number of failures (from 1): exponential backoff, full jitter."""
        return uniform(0, min(self.longest_backoff, self.first_backoff * 2 ** min(failures - 1, 20)))


CLOCK_GRAIN = 5.0  # seconds by which two equal times of the platform may differ: it cuts them to whole seconds

MOST_SECONDS = 100_000_000_000
"""Epoch seconds of the year 5138: a larger number is in milliseconds, microseconds or nanoseconds."""


class ServerClock:
    """The server's clock, read from the Date header of its latest answer."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.skew: float | None = None  # seconds that it is ahead of ours; None before the first answer

    def observe(self, date: str | None) -> None:
        """Read the time from the Date header of an answer that has just arrived."""
        moment = http_date(date)
        if moment is not None:
            self.skew = moment + 0.5 - self._now()  # the header is in whole seconds

    def seconds_until(self, moment: datetime) -> float:
        """Return the seconds until a time of the server's clock."""
        return epoch_seconds(moment) - self._now() - (self.skew or 0.0)


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
    """Return a time in UTC, None if it is not one: ISO 8601, the form of HTTP, or a number since 1970 in any unit.

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
