"""What is to be done at a later moment: another attempt at a part, another look at a file that somebody else has."""

import heapq
import itertools
from collections.abc import Iterator

import attrs

from cavatica_upload.engine.transfer import Transfer
from cavatica_upload.plan import Part
from cavatica_upload.storage.put import Target


@attrs.frozen(order=True)
class Due:
    """A part to try again, with the URL it has if it has one; without a part, a file to be opened."""

    moment: float
    _order: int
    transfer: Transfer = attrs.field(order=False)
    part: Part | None = attrs.field(default=None, order=False)
    target: Target | None = attrs.field(default=None, order=False)


class Later:
    """A queue by moments of the monotonic clock. The engine's lock is held around each method."""

    def __init__(self) -> None:
        self._queue: list[Due] = []
        self._order = itertools.count()

    def add(self, moment: float, transfer: Transfer, part: Part | None = None, target: Target | None = None) -> None:
        """Keep something until its moment."""
        heapq.heappush(self._queue, Due(moment, next(self._order), transfer, part, target))

    def due(self, now: float) -> Iterator[Due]:
        """Take what is due, the earliest first."""
        while self._queue and self._queue[0].moment <= now:
            yield heapq.heappop(self._queue)

    def drain(self) -> list[Due]:
        """Take everything."""
        queue, self._queue = self._queue, []
        return queue
