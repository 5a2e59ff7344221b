"""How long to wait, and how long things may take: one record, so that tests can wait less."""

import random
from collections.abc import Callable

import attrs


@attrs.frozen(kw_only=True)
class Timing:
    """Seconds."""

    connect: float = 15.0
    """Until a connection to the API or to storage is there."""
    silence: float = 60.0
    """For which the API or storage may take or send nothing, …"""
    slow_silence: float = 300.0
    """… and the API before it answers a completion."""
    first_backoff: float = 0.5
    """The longest first pause before something is tried again; it doubles from one to the next …"""
    longest_backoff: float = 60.0
    """… up to this."""
    reset_margin: float = 1.0
    """Waited beyond the reset of the rate limit: it and the Date header are cut to whole seconds."""
    tick: float = 0.1
    """Between two looks of the engine at what is due."""
    gathering: float = 0.2
    """For requests to gather before the biggest of them is begun."""
    describing: float = 10.0
    """For files to gather that get their metadata by one call: a call for each file would cost a third more."""
    busy: float = 1.0
    """Until another look at a file that another process is uploading."""
    small_file: float = 0.5
    """Between small files that are begun beside big ones, so that these keep most of the calls."""
    stream_end: float = 0.25
    """Between the end of a stream and its completion: what ended the stream may be about to stop this process, too."""
    dropping: float = 1.0
    """For a part that is dropped to end by itself: one that hangs in the network is not waited for."""
    final_calls: float = 5.0
    """After a stop, for what is stored to be reported once no part is in flight any more."""
    closing: float = 10.0
    """For threads to end when the uploader is closed; a tenth of it after a stop."""
    at_stake: float = 4.0
    """That sending the parts in flight may take, without more speed to show for it: a kill loses them."""
    settle: float = 1.0
    """Of each part, and after each change of their number, not measured at most: they fill buffers."""
    measure: float = 1.0
    """Of each part in flight, for a measurement of their speed at most."""
    first_outage: float = 10.0
    """Without any answer until Outage is emitted …"""
    later_outages: float = 60.0
    """… and between two of these events."""


def full_jitter(
    failures: int,
    first: float = 0.5,
    longest: float = 60.0,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return a random delay in seconds after a number of failures (from 1): up to `first`, twice that, … `longest`.

    Exponential backoff with full jitter, so that clients spread.
    """
    return uniform(0, min(longest, first * 2 ** min(failures - 1, 20)))
