"""The delay before a retry: exponential backoff with full jitter, so that clients spread."""

import random
from collections.abc import Callable


def full_jitter(
    failures: int,
    first: float = 0.5,
    longest: float = 60.0,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return a random delay in seconds after a number of failures (from 1): up to `first`, twice that, … `longest`."""
    return uniform(0, min(longest, first * 2 ** min(failures - 1, 20)))
