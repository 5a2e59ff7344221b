"""Watches the answers of a visit: how many calls may be made, and what has to be deleted at the end."""

import time
from collections.abc import Callable

from tests.contract.answer import Answer, Broken
from tests.contract.known_uploads import NAME_PREFIX, KnownUpload, KnownUploads
from tests.contract.model.asserts import pages
from tests.contract.rules import NEVER_COUNTED, RATE_HEADERS


class RateBudget:
    """Waits before a call that would use more than our share of the rate limit.

    `reserve` returns the number of calls that the cleanup needs; they are kept back. `sleep` and `clock` are for tests.
    """

    def __init__(
        self,
        share: float,
        reserve: Callable[[], int],
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share, self._reserve, self._say = share, reserve, say
        self._clock, self._sleep = clock, sleep
        self._limit = self._remaining = self._reset = 0
        self.lowest: int | None = None
        self.used = 0
        self.refused = 0
        self.cleaning = False

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def floor(self) -> int:
        """The calls of a window that belong to others."""
        return self._limit - int(self._limit * self._share)

    def before(self, operation: str | None) -> None:
        """Wait for the next window if our share of this one is used up."""
        if operation == NEVER_COUNTED or not self._limit:
            return
        kept = 0 if self.cleaning else self._reserve()
        if self._remaining - kept > self.floor or self._clock() >= self._reset:
            return
        seconds = self._reset - self._clock() + 1
        self._say(
            f"{self._remaining} of {self._limit} calls are left: {self.floor} belong to others, {kept} are for the "
            f"cleanup. Waiting {seconds:.0f} s."
        )
        self._sleep(seconds)

    def observe(self, answer: Answer) -> None:
        """Read the headers of an answer."""
        self.used += answer.operation is None or answer.operation.id != NEVER_COUNTED
        self.refused += answer.status == 429
        if all(answer.headers.get(name, "").isdigit() for name in RATE_HEADERS):
            self._limit, self._remaining, self._reset = (int(answer.headers[name]) for name in RATE_HEADERS)
            self.lowest = self._remaining if self.lowest is None else min(self.lowest, self._remaining)


class Cleanup:
    """Deletes what a visit made, also uploads whose start was not answered: these are found by their names."""

    def __init__(self, known: KnownUploads) -> None:
        self.known = known

    def __len__(self) -> int:
        """The calls that the cleanup needs: one for each thing, and some to list what is left."""
        open_uploads = sum(not upload.ended for upload in self.known.uploads.values())
        return open_uploads + len(self.known.files) + len(self.known.folders) + 5

    def clean(self) -> list[str]:
        """Delete everything. Returns what could not be deleted."""
        for upload_id in self._lost():
            self.known.uploads[upload_id] = KnownUpload(upload_id, None, 1)
        return self.known.tidy() + [f"upload {upload_id} is still listed" for upload_id in self._lost()]

    def _lost(self) -> list[str]:
        """Uploads of this visit that the platform lists and that are not known here."""
        try:
            listed = pages(self.known.api, "listUploads", 100, "upload_id")
        except Broken:
            return []
        prefix = f"{NAME_PREFIX}{self.known.run}-"
        mine = [item["upload_id"] for item in listed if str(item.get("name", "")).startswith(prefix)]
        return [upload_id for upload_id in mine if upload_id not in self.known.uploads]
