"""Watches the answers of a visit: how many calls may be made, and what has to be deleted at the end."""

import json
import time
from collections.abc import Callable

from tests.contract.answer import Answer, Broken
from tests.contract.client import ApiClient
from tests.contract.model.asserts import pages
from tests.contract.rules import RATE_HEADERS

FREE = "getRateLimit"


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
        if operation == FREE or not self._limit:
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
        self.used += answer.operation is None or answer.operation.id != FREE
        self.refused += answer.status == 429
        if all(answer.headers.get(name, "").isdigit() for name in RATE_HEADERS):
            self._limit, self._remaining, self._reset = (int(answer.headers[name]) for name in RATE_HEADERS)
            self.lowest = self._remaining if self.lowest is None else min(self.lowest, self._remaining)


class Cleanup:
    """Open uploads, files and folders, known from the answers themselves, so that none is forgotten."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.uploads: dict[str, None] = {}
        self.files: dict[str, None] = {}

    def __len__(self) -> int:
        """The calls that the cleanup needs: one for each thing, and some to list what is left."""
        return len(self.uploads) + len(self.files) + 5

    def observe(self, answer: Answer) -> None:
        """Note what an answer has created or ended."""
        operation = answer.operation.id if answer.operation else ""
        steps = answer.request.path.split("/")
        if operation == "startUpload" and answer.status == 200:
            self.uploads.update(dict.fromkeys(self._ids(answer, "upload_id")))
        elif operation == "completeUpload" and answer.status in (200, 201):
            self.uploads.pop(steps[3], None)
            self.files.update(dict.fromkeys(self._ids(answer, "id")))
        elif operation == "abortUpload" and answer.status in (204, 404):
            self.uploads.pop(steps[3], None)
        elif operation == "createFolder" and answer.status in (200, 201):
            self.files.update(dict.fromkeys(self._ids(answer, "id")))
        elif operation == "deleteFile" and answer.status in (204, 404):
            self.files.pop(steps[2], None)

    def clean(self, api: ApiClient) -> list[str]:
        """Delete everything. Returns what could not be deleted.

        An upload whose start was not answered is found by its name.
        """
        stuck = []
        for upload_id in [*self.uploads, *self._lost(api)]:
            try:
                api.call("abortUpload", upload_id=upload_id).expect(204, 404)
            except Broken as error:
                stuck.append(f"upload {upload_id}: {error.message}")
        for file_id in reversed(list(self.files)):  # the content of a folder was made after it
            try:
                api.call("deleteFile", file_id=file_id).expect(204, 404)
            except Broken as error:
                stuck.append(f"file {file_id}: {error.message}")
        return stuck + [f"upload {upload_id} is still listed" for upload_id in self._lost(api)]

    def _lost(self, api: ApiClient) -> list[str]:
        """Uploads of this visit that the platform lists and that are not known here."""
        try:
            listed = pages(api, "listUploads", 100, "upload_id")
        except Broken:
            return []
        return [
            item["upload_id"]
            for item in listed
            if str(item.get("name", "")).startswith(self.prefix) and item["upload_id"] not in self.uploads
        ]

    @staticmethod
    def _ids(answer: Answer, key: str) -> list[str]:
        try:
            return [str(json.loads(answer.body)[key])]
        except (ValueError, KeyError, TypeError):
            return []
