"""Decides when to report parts in bulk. API calls are limited, but only the local journal knows unreported parts."""

from collections.abc import Iterable

from cavatica_client.models import HeaderMap, PartReport, PartReportResponse
from cavatica_upload.storage import SentPart

EVERY_PARTS = 32
EVERY_SECONDS = 60.0


class Checkpoints:
    """The parts of one upload that storage took and that were not reported to the API.

    A report is due when 32 of them have gathered or the oldest is 60 seconds old, but there is never more than one
    report per 32 parts: N parts cost at most N/32 reports, rounded up. The rest is reported with the completion.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, SentPart] = {}
        self._oldest = 0.0
        self._gathered = 0
        self._reports = 0

    def add(self, part: SentPart, now: float) -> None:
        """Gather a part that storage took."""
        if not self._waiting:
            self._oldest = now
        self._waiting[part.number] = part
        self._gathered += 1

    def due(self, now: float) -> bool:
        """Return whether to report now."""
        if not self._waiting or self._reports * EVERY_PARTS >= self._gathered:
            return False
        return len(self._waiting) >= EVERY_PARTS or now - self._oldest >= EVERY_SECONDS

    def waiting(self) -> list[SentPart]:
        """Return the parts that are not reported."""
        return [self._waiting[number] for number in sorted(self._waiting)]

    def take(self) -> list[SentPart]:
        """Take all parts that are not reported, for a report."""
        taken, self._waiting = self.waiting(), {}
        self._reports += bool(taken)
        return taken

    def put_back(self, parts: Iterable[SentPart], now: float) -> None:
        """Put back parts whose report failed."""
        self._waiting = {part.number: part for part in parts} | self._waiting
        self._oldest = now

    def discard(self, number: int) -> None:
        """Forget a part that has to be sent again."""
        self._waiting.pop(number, None)


def calls_for(parts: int) -> int:
    """Return the most API calls for sending `parts` parts: a start, a URL for each part, reports, a completion."""
    return parts + 2 + max(0, parts - 1) // EVERY_PARTS


def report_of(part: SentPart) -> PartReport:
    """Return the report of a part."""
    headers = HeaderMap()
    headers.additional_properties.update(part.headers)
    return PartReport(part_number=part.number, response=PartReportResponse(headers=headers))
