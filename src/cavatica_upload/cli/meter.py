"""How far a run is, and how fast: pure arithmetic on events, without a clock or a terminal."""

from collections import deque
from collections.abc import Iterable

import attrs

from cavatica_upload.events import (
    BytesSent,
    Event,
    FileKey,
    RateLimitWait,
    UploadCompleted,
    UploadFailed,
    UploadSkipped,
    UploadStarted,
)

WINDOW = 20.0  # seconds over which a speed is taken
_GRAIN = 0.25  # seconds of a step within the window


class Speed:
    """Bytes per second over the last `WINDOW` seconds; bytes of an earlier run never get in here."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._steps: deque[tuple[float, int]] = deque()

    def add(self, count: int, now: float) -> None:
        """Count bytes sent by now (negative where some are taken back)."""
        if self._steps and now - self._steps[-1][0] < _GRAIN:
            self._steps[-1] = (self._steps[-1][0], self._steps[-1][1] + count)
        else:
            self._steps.append((now, count))

    def value(self, now: float) -> float:
        """Return bytes per second, 0.0 where nothing was sent lately."""
        while self._steps and now - self._steps[0][0] > WINDOW:
            self._steps.popleft()
        span = min(WINDOW, now - self._since)
        return max(0.0, sum(count for _, count in self._steps) / span) if span > 0 else 0.0


@attrs.define
class FileProgress:
    """How far one file is; `sent` are bytes that storage has or is getting, those of earlier runs among them."""

    size: int | None
    resumed: int
    parts: int | None
    speed: Speed
    began: float
    sent: int = 0


class Meter:
    """Adds up the events of a run.

    `size` is that of all files together, as far as it is known; those of the `unsized` files are added as they appear.
    Files that are under way are in `active`; a file that ended is forgotten, so that the memory does not grow with the
    number of files.
    """

    def __init__(self, files: int, size: int, now: float, unsized: Iterable[FileKey] = ()) -> None:
        self.files = files
        self.size = size
        self._unsized = set(unsized)
        self.ended = 0
        self.done = 0
        self.active: dict[FileKey, FileProgress] = {}
        self.speed = Speed(now)
        self.sent = 0
        self.waiting_until: float | None = None

    def take(self, event: Event, now: float) -> None:
        """Take an event into account; `now` is of a clock that only goes forward."""
        match event:
            case UploadStarted():
                known = self.active.get(event.file)
                self._forget(known)
                progress = FileProgress(event.size, event.resumed_bytes, event.parts, Speed(now), now)
                progress.sent = event.resumed_bytes
                self.done += event.resumed_bytes
                self.active[event.file] = progress
                if event.file in self._unsized and event.size is not None:
                    self._unsized.discard(event.file)
                    self.size += event.size
            case BytesSent():
                self.speed.add(event.count, now)
                self.done += event.count
                self.sent += event.count
                if event.file in self._unsized:  # a stream: all there is of it is what was sent
                    self.size += event.count
                if event.file in self.active:
                    self.active[event.file].sent += event.count
                    self.active[event.file].speed.add(event.count, now)
            case UploadCompleted():
                self._end(event.file, event.receipt.size)
            case UploadSkipped():
                self._end(event.file, None)
            case UploadFailed():
                self._end(event.file, None)
            case RateLimitWait():
                self.waiting_until = now + event.seconds

    def settle(self, size: int, *, ended: bool) -> None:
        """Count the bytes of a file that is not to be sent; `ended` where no event tells of its end."""
        self.ended += ended
        self.done += size

    def wait_left(self, now: float) -> float:
        """Return the seconds for which the rate limit keeps the run waiting, 0.0 where it does not."""
        return max(0.0, self.waiting_until - now) if self.waiting_until is not None else 0.0

    def time_left(self, now: float) -> float | None:
        """Return the seconds that the rest will take at this speed, None where that cannot be told."""
        speed = self.speed.value(now)
        return max(0, self.size - self.done) / speed if speed > 0 else None

    def _end(self, file: FileKey, size: int | None) -> None:
        self.ended += 1
        progress = self.active.pop(file, None)
        if progress is None:
            self.done += size or 0  # a file that was found whole, without a byte sent
        elif size is not None:
            self.done += size - progress.sent

    def _forget(self, progress: FileProgress | None) -> None:
        """Take back the bytes of an upload that begins anew within the run."""
        if progress is not None:
            self.done -= progress.sent
