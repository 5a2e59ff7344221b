"""Waits and timeouts, in one class, so that tests can shorten them."""

import random
from collections.abc import Callable

import attrs


@attrs.frozen(kw_only=True)
class Timing:
    """Waits and timeouts in seconds."""

    connect: float = 15.0
    """Timeout of a connection to the API or to storage."""
    silence: float = 60.0
    """Timeout of a read from, or a write to, the API or storage."""
    slow_silence: float = 300.0
    """Timeout of the answer to a completion."""
    first_backoff: float = 0.5
    """The longest pause before the first retry; it doubles with each retry."""
    longest_backoff: float = 60.0
    """The longest pause before any retry."""
    reset_margin: float = 1.0
    """Extra wait after the reset of the rate limit, because the reset and the Date header are in whole seconds."""
    tick: float = 0.1
    """Time between two checks of the engine for what is due."""
    gathering: float = 0.2
    """Time to collect requests before the biggest of them starts."""
    describing: float = 10.0
    """Time to collect files whose metadata one call sets: a call for each file would be a third more calls."""
    busy: float = 1.0
    """Time between two tries to lock an upload that another process holds."""
    small_file: float = 0.5
    """Time between starts of small files beside big ones, so that the big ones keep most of the calls."""
    stream_end: float = 0.25
    """Wait between the end of a stream and its completion: what ended the stream may also stop this process."""
    dropping: float = 1.0
    """How long to wait for a dropped part, which may hang in the network."""
    final_calls: float = 5.0
    """How long reporting the stored parts may take after a stop."""
    closing: float = 10.0
    """How long to wait for threads when the uploader is closed; a tenth of it after a stop."""
    at_stake: float = 4.0
    """Seconds of sending that a kill may lose: it limits the parts in flight, unless more of them are faster."""
    settle: float = 1.0
    """The longest time at the start of a part, or after a change of the limit, that is not measured: buffers fill."""
    measure: float = 1.0
    """The longest measurement of a part's speed."""
    first_outage: float = 10.0
    """Time without any answer before Outage is emitted."""
    later_outages: float = 60.0
    """Time between two Outage events."""


def full_jitter(
    failures: int,
    first: float = 0.5,
    longest: float = 60.0,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return a random delay in seconds after a number of failures (from 1): at most `first`, doubled up to `longest`.

    This is exponential backoff with full jitter, so that clients do not retry at the same time.
    """
    return uniform(0, min(longest, first * 2 ** min(failures - 1, 20)))
