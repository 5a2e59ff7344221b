"""Whether to try a part again, when, and with which URL: pure rules."""

import random
from collections.abc import Callable

import attrs

from cavatica_upload.errors import (
    CertificateUntrusted,
    ConnectionFailed,
    EtagMismatch,
    MissingHeader,
    PartNotReserved,
    PartRefused,
    RateLimited,
    ServerError,
    StorageError,
    UrlExpired,
)

ATTEMPTS = 8
WRONG_ANSWERS = 4  # of a part that arrives damaged, or without a header that is needed
FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 60.0

Backoff = Callable[[int], float]


def full_jitter(failures: int) -> float:
    """Return a random delay in seconds after so many failures: up to 0.5, 1, 2, … 60."""
    return random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures - 1, 20)))  # noqa: S311


@attrs.frozen
class Again:
    """Try again after `delay` seconds; `new_url` says to ask for another part URL."""

    delay: float
    new_url: bool


@attrs.define
class Tries:
    """What was tried for one part so far.

    A refused URL (403, or 400 with a word about expiry) is asked for anew, the first time without counting as a
    failure. Storage in trouble (408, 429, 5xx), silence and broken connections are tried eight times, wrong answers
    (damaged bytes, a missing header, other refusals) four times, with a delay that grows at random.
    """

    started: float
    failures: int = 0
    wrong: int = 0
    refused_urls: int = 0

    def after(self, error: Exception, backoff: Backoff = full_jitter) -> Again | None:
        """Return how to go on after this error; None where trying again is of no use."""
        if isinstance(error, UrlExpired):
            self.refused_urls += 1
            if self.refused_urls == 1:
                return Again(0.0, new_url=True)
        wrong = isinstance(error, MissingHeader | EtagMismatch) or (
            isinstance(error, PartRefused) and error.status < 500 and error.status not in (408, 429)
        )
        if not wrong and not _passing(error):
            return None
        self.failures += 1
        self.wrong += wrong
        if self.failures >= ATTEMPTS or self.wrong >= WRONG_ANSWERS:
            return None
        return Again(backoff(self.failures), new_url=isinstance(error, PartRefused) and wrong)


def _passing(error: Exception) -> bool:
    """Whether this is trouble that may be over in a while."""
    if isinstance(error, CertificateUntrusted):
        return False
    return isinstance(error, PartNotReserved | StorageError | ServerError | RateLimited | ConnectionFailed)
