"""The rules of the budget of calls, without clocks, locks or files.

The platform counts calls in windows (docs.sevenbridges.com, API rate limit: 1000 in five minutes for a token). A
`Window` is what this machine knows of the current one. Three events change it, each a function from one state to the
next: a call is about to be made (`take`), it was answered (`settle`), or it never reached the server (`give_back`).
All times are epoch seconds of this machine's clock.
"""

import math
from typing import Literal

import attrs

from cavatica_upload.budget.ratelimit import LONGEST_WINDOW, MARGIN, UNSURE, Reading

CLOCK_STEP = 5.0
"""Seconds by which the clock may run backwards before it is taken as having been set."""
JITTER_OF_RESET = 1
"""Seconds by which two announcements of the same reset may differ, where a server rounds a time to live."""


@attrs.frozen
class Window:
    """What is known of the current window; `limit` None: nothing said yet, or no limit."""

    limit: int | None = None
    taken: int = 0
    """Calls of this machine in this window, answered or not."""
    others: int = 0
    """Calls that the server counted and this machine did not make: at least so many."""
    ends: float = 0.0
    """When the window is certainly over: an estimate that is never early."""
    mark: int | None = None
    """The reset that the server announced for this window, None as long as it has announced none."""
    past: int = 0
    """The reset of the window before: an answer with it comes late and says nothing of this window."""
    length: float = UNSURE
    """Seconds from first sight to end of the longest window seen; the first one may have been nearly over."""
    flying: int = 0
    """Calls taken and not yet answered, in this window."""
    number: int = 0
    """Counts the windows, so that an answer is settled in the window in which its call was taken."""
    seen: float = 0.0
    """When this state was last looked at, to notice a clock that was set back."""

    @property
    def left(self) -> int:
        """Calls that may still be made."""
        return 0 if self.limit is None else max(0, self.limit - self.taken - self.others)


def reserve_of(limit: int, fraction: float) -> int:
    """Return the calls kept back for others who share the token: a fraction of the limit, never all of it."""
    return min(math.ceil(limit * fraction), limit - 1) if limit > 0 else 0


def take(window: Window, now: float, reserve: float) -> tuple[Window, float]:
    """Take a call from the window; the second value is 0, or the seconds to wait where nothing was taken."""
    window = rolled(window, now)
    if window.limit is None or window.left > reserve_of(window.limit, reserve):
        return put_by(window, 1), 0.0
    return window, max(window.ends - now, MARGIN / 10)


def put_by(window: Window, count: int) -> Window:
    """Take so many calls, for now or for later; it is for the caller to see that there are so many."""
    return attrs.evolve(window, taken=window.taken + count, flying=window.flying + count)


def settle(window: Window, now: float, number: int | None, reading: Reading | None, refused: bool = False) -> Window:
    """Learn from an answer to a call that was taken in window `number` (None: it cost nothing).

    `refused` says that the server answered 429: then nothing is left, whatever was believed.
    """
    window = rolled(window, now)
    if number == window.number:
        window = attrs.evolve(window, flying=max(0, window.flying - 1))
    if reading is None:
        return _refused(window, now, None) if refused and window.limit is not None else window
    if reading.limit is None:
        return Window(number=window.number, seen=now)
    if refused:
        return _refused(attrs.evolve(window, limit=reading.limit), now, reading)
    relation = _relation(window, reading)
    if relation == "late" or number not in (None, window.number):
        return window  # of a call that was made in a window before: it may speak of that one
    if relation == "new" and window.mark is not None:
        # The server went on to its next window before this machine did: what is in flight may be counted there.
        window = attrs.evolve(window, taken=window.flying + 1, others=0)
    if window.limit is None:
        # Calls made before anything was known belong to this window as far as the server counted them.
        counted = reading.limit - reading.remaining
        window = attrs.evolve(window, taken=min(window.taken, counted + window.flying))
    # Calls in flight may be counted or not, so that only what exceeds them all is certainly somebody else's.
    others = max(0, reading.limit - reading.remaining - window.taken)
    resets_in = window.length if reading.resets_in is None else reading.resets_in
    ends = now + resets_in + MARGIN
    if relation == "same":
        # Answers overtake each other: within a window calls only become fewer, and every estimate of its end is safe.
        return attrs.evolve(window, limit=reading.limit, others=max(others, window.others), ends=min(ends, window.ends))
    length = resets_in if window.limit is None else max(window.length, resets_in)
    return attrs.evolve(
        window,
        limit=reading.limit,
        others=others,
        ends=ends,
        mark=reading.reset,
        length=min(LONGEST_WINDOW, length),
        seen=now,
    )


def give_back(window: Window, now: float, number: int) -> Window:
    """Put back a call that never reached the server."""
    window = rolled(window, now)
    if number != window.number:
        return window
    return attrs.evolve(window, taken=max(0, window.taken - 1), flying=max(0, window.flying - 1))


def rolled(window: Window, now: float) -> Window:
    """Return the state at `now`: a new window where the old one has ended, or the clock was set back."""
    if window.limit is None:
        return window
    if now >= window.ends or now < window.seen - CLOCK_STEP:
        return attrs.evolve(
            window,
            # Calls in flight may be counted in the new window; those of a process that died are not for ever.
            taken=min(window.flying, window.limit // 2),
            others=0,
            ends=now + max(window.length, UNSURE),  # until an answer says better
            mark=None,
            past=window.mark if window.mark is not None else window.past,
            flying=0,
            number=window.number + 1,
            seen=now,
        )
    return attrs.evolve(window, seen=now) if now > window.seen + CLOCK_STEP else window


def _refused(window: Window, now: float, reading: Reading | None) -> Window:
    resets_in = reading.resets_in if reading is not None else None
    if resets_in is None:
        resets_in = max(window.ends - now, 0.0) or window.length
    reset = reading.reset if reading is not None else None
    others = (window.limit or 0) - window.taken
    return attrs.evolve(window, others=others, ends=now + resets_in + MARGIN, mark=reset or window.mark, seen=now)


def _relation(window: Window, reading: Reading) -> Literal["late", "same", "new"]:
    """Say which window an answer speaks of: one that is over, the current one, or one not seen before."""
    if window.limit is None:
        return "new"
    if reading.reset is None:
        return "same"
    blur = JITTER_OF_RESET if window.length > 10 * JITTER_OF_RESET else 0
    if window.mark is None:
        return "late" if reading.reset <= window.past + blur else "new"
    if reading.reset < window.mark - blur:
        return "late"
    return "same" if reading.reset <= window.mark + blur else "new"
