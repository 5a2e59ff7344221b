"""What the headers of an answer say of the rate limit, read the same way for retries and for the budget of calls.

docs.cavatica.org and docs.sevenbridges.com, API rate limit: X-RateLimit-Limit is the ceiling, -Remaining what is left
of it, -Reset the Unix time at which the window ends. Times are taken relative to the answer's own Date, so that a
wrong clock on this machine neither makes it sleep for an hour nor ask again at once.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import attrs

MARGIN = 1.0
"""Seconds to wait beyond a reset: both it and the Date are cut to whole seconds."""
LONGEST_WINDOW = 3660.0
"""Seconds. No window is longer than the hour that one page of the documentation speaks of."""
UNSURE = 310.0
"""Seconds. The usual window and a little, the longest wait where there is no Date to trust."""


@attrs.frozen
class Reading:
    """What one answer says; `limit` is None where calls are unlimited (the platform says -1)."""

    limit: int | None
    remaining: int
    reset: int | None = None
    """The end of the window in epoch seconds of the server's clock: names the window."""
    resets_in: float | None = None
    """Seconds from the answer to the end of the window."""


def read_rate_limit(headers: Mapping[str, str], now: float) -> Reading | None:
    """Return what the headers say, None where they say nothing usable; `now` is this machine's clock, epoch seconds."""
    known = {name.lower(): value for name, value in headers.items()}
    limit = _integer(known.get("x-ratelimit-limit"))
    remaining = _integer(known.get("x-ratelimit-remaining"))
    if limit is None or (remaining is None and limit >= 0):
        return None
    if limit < 0:
        return Reading(limit=None, remaining=0)
    reset, resets_in = _reset(known, now)
    return Reading(limit=limit, remaining=max(0, remaining or 0), reset=reset, resets_in=resets_in)


def wait_asked_for(headers: Mapping[str, str], now: float) -> float | None:
    """Return for how many seconds an answer asks to be left alone: Retry-After, else the reset, else None."""
    known = {name.lower(): value for name, value in headers.items()}
    later = known.get("retry-after", "").strip()  # undocumented here; proxies and gateways send it
    if later.isascii() and later.isdigit():
        return min(float(later[:9]), LONGEST_WINDOW)
    if later:
        at = _date(later)
        server_now = _date(known.get("date"))
        if at is not None:
            return _believable(at, server_now, now)
    return _reset(known, now)[1]


def _reset(known: Mapping[str, str], now: float) -> tuple[int | None, float | None]:
    reset = _integer(known.get("x-ratelimit-reset"))
    if reset is None or reset < 0:
        return None, None
    if reset > 100_000_000_000:
        reset //= 1000  # an example on docs.cavatica.org, Get your current rate limit status, is in milliseconds
    return reset, _believable(float(reset), _date(known.get("date")), now)


def _believable(at: float, server_now: float | None, now: float) -> float:
    if server_now is not None:
        return min(max(at - server_now, 0.0), LONGEST_WINDOW)
    # Without a Date this machine's clock has to do, which may be an hour wrong in either direction.
    return at - now if 0 <= at - now <= UNSURE else UNSURE / 5


def _integer(text: str | None) -> int | None:
    try:
        return int(text) if text is not None and len(text) < 25 else None
    except ValueError:
        return None


def _date(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
