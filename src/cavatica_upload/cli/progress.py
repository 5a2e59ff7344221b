"""The progress of a run and its display as lines or JSON; progress bars are in `bars.py`."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Self

import attrs

from cavatica_upload.cli.messages import count_text, in_plain_words, record, sentence, time_text, timestamp
from cavatica_upload.cli.output import Output
from cavatica_upload.errors import Interrupted
from cavatica_upload.events import (
    BytesSent,
    Drift,
    Event,
    FileKey,
    Notice,
    Outage,
    PartRetried,
    PartSent,
    PartsReported,
    RateLimitWait,
    Retrying,
    UploadCompleted,
    UploadFailed,
    UploadSkipped,
    UploadStarted,
)
from cavatica_upload.plan import size_text

WINDOW = 20.0  # seconds over which a speed is averaged
STALLED = 5.0  # seconds without a byte after which a file is shown as stalled
TROUBLE = 15.0  # seconds of failures without a sent part after which the user is told
_GRAIN = 0.25  # seconds; bytes sent within this time are added up
Clock = Callable[[], float]
_PERCENT_STEP = 10  # percent between two lines about a file
_LINE_SECONDS = 300.0  # the longest time between two lines about a file
_TROUBLE_LINE_SECONDS = 60.0  # between two lines about an outage
_SMALL = 16 * 1024 * 1024  # bytes; the start of a smaller file is not shown


class Speed:
    """Bytes per second over the last `WINDOW` seconds, without the bytes of earlier runs."""

    def __init__(self, now: float) -> None:
        self._steps: deque[tuple[float, int]] = deque()
        self.restart(now)

    def restart(self, now: float) -> None:
        """Start again, so that an outage does not lower the speed."""
        self._since = now
        self._steps.clear()

    def add(self, count: int, now: float) -> None:
        """Count sent bytes; negative if they have to be sent again."""
        if self._steps and now - self._steps[-1][0] < _GRAIN:
            self._steps[-1] = (self._steps[-1][0], self._steps[-1][1] + count)
        else:
            self._steps.append((now, count))

    def value(self, now: float) -> float:
        """Return bytes per second, 0.0 if nothing was sent lately."""
        while self._steps and now - self._steps[0][0] > WINDOW:
            self._steps.popleft()
        span = min(WINDOW, now - self._since)
        return max(0.0, sum(count for _, count in self._steps) / span) if span > 0 else 0.0


@attrs.define
class FileProgress:
    """The progress of one file.

    `sent` counts the bytes sent by this run and earlier ones, with those of parts in flight. `kept` and `kept_parts`
    count only parts that storage has confirmed. `moved` is the time of the last sent byte.
    """

    size: int | None
    parts: int | None
    speed: Speed
    began: float
    moved: float
    sent: int
    kept: int
    kept_parts: int


class Meter:
    """Adds up the events of a run.

    `size` is the sum of the known sizes; those of the `unsized` files are added when they become known. `active` has
    only the files that are being uploaded, so that memory does not grow with the number of files. A file counts as
    `finished` if it is on the platform or was skipped.
    """

    def __init__(self, files: int, size: int, now: float, unsized: Iterable[FileKey] = ()) -> None:
        self.files = files
        self.size = size
        self._unsized = set(unsized)
        self.finished = 0
        self.failed = 0
        self.done = 0
        self.active: dict[FileKey, FileProgress] = {}
        self.speed = Speed(now)
        self.sent = 0
        self.waiting_until: float | None = None
        self.unfinished_kept = 0  # bytes of files that ended unfinished, kept on the server
        self.unfinished_parts = 0
        self._outage: tuple[Outage, float] | None = None  # and when it was emitted
        self._moved = now
        self._trouble_since: float | None = None
        self._trouble_parts: set[tuple[FileKey, int]] = set()
        self._trouble_reason = ""

    def take(self, event: Event, now: float) -> None:
        """Count an event; `now` is the time of a monotonic clock."""
        match event:
            case UploadStarted():
                known = self.active.get(event.file)
                self.done += event.resumed_bytes - (known.sent if known else 0)  # a file may start again
                self.active[event.file] = FileProgress(
                    event.size, event.parts, Speed(now), now, now,
                    event.resumed_bytes, event.resumed_bytes, event.resumed_parts,
                )  # fmt: skip
                if event.file in self._unsized and event.size is not None:
                    self._unsized.discard(event.file)
                    self.size += event.size
            case BytesSent():
                self._move(event, now)
            case PartSent():
                self._recover()
                if event.file in self.active:
                    self.active[event.file].kept += event.size
                    self.active[event.file].kept_parts += 1
            case PartRetried():
                self._trouble_parts.add((event.file, event.number))
                self._trouble(event.reason, now)
            case Retrying():
                self._trouble(event.reason, now)
            case Outage():
                self._outage = None if event.over else (event, now)
                if event.over:
                    for speed in (self.speed, *(progress.speed for progress in self.active.values())):
                        speed.restart(now)
            case PartsReported():
                self._recover()
            case UploadCompleted():
                self.finished += 1
                self._recover()
                self._end(event.file, event.receipt.size)
            case UploadSkipped():
                self.finished += 1
                self._end(event.file, None)
            case UploadFailed():
                self.failed += not isinstance(event.error, Interrupted)
                self._end(event.file, None)
            case RateLimitWait():
                self.waiting_until = now + event.seconds

    def settle(self, size: int) -> None:
        """Count the bytes of a file that is not sent."""
        self.done += size

    def wait_left(self, now: float) -> float:
        """Return the seconds that the run still waits for the rate limit, 0.0 if it does not."""
        return max(0.0, self.waiting_until - now) if self.waiting_until is not None else 0.0

    def time_left(self, now: float) -> float | None:
        """Return the seconds left at the current speed, None if it is not known."""
        speed = self.speed.value(now)
        return max(0, self.size - self.done) / speed if speed > 0 else None

    def stalled(self, progress: FileProgress, now: float) -> float:
        """Return the seconds since a file last sent a byte, 0.0 if it is not stalled."""
        if self.wait_left(now) or (progress.size is not None and progress.sent >= progress.size):
            return 0.0
        # A file that has sent nothing may be waiting for its turn; then it is stalled only if all files are.
        since = progress.moved if progress.moved > progress.began else max(progress.began, self._moved)
        return now - since if now - since >= STALLED else 0.0

    def trouble(self, now: float) -> str | None:
        """Return a sentence about an outage or failing parts, None if there is no trouble."""
        if self._outage is not None:
            outage, then = self._outage
            return sentence(attrs.evolve(outage, seconds=outage.seconds + now - then))
        if self._trouble_since is None or now - self._trouble_since < TROUBLE:
            return None
        waiting = f"; {count_text(len(self._trouble_parts), 'part')} waiting" if self._trouble_parts else ""
        span = time_text(now - self._trouble_since)
        return f"No part sent for {span}{waiting} ({in_plain_words(self._trouble_reason.rstrip('.'))})"

    def _move(self, event: BytesSent, now: float) -> None:
        self.speed.add(event.count, now)
        self.done += event.count
        self.sent += event.count
        if event.file in self._unsized:  # a stream: its size so far is what was sent
            self.size += event.count
        progress = self.active.get(event.file)
        if progress is not None:
            progress.sent += event.count
            progress.speed.add(event.count, now)
            if event.count > 0:
                progress.moved = self._moved = now

    def _trouble(self, reason: str, now: float) -> None:
        if self._trouble_since is None:
            self._trouble_since = now
        self._trouble_reason = reason

    def _recover(self) -> None:
        self._trouble_since = self._outage = None
        self._trouble_parts.clear()

    def _end(self, file: FileKey, size: int | None) -> None:
        progress = self.active.pop(file, None)
        if progress is None:
            self.done += size or 0  # a file that was complete before anything was sent
        elif size is not None:
            self.done += size - progress.sent
        else:
            self.unfinished_kept += progress.kept
            self.unfinished_parts += progress.kept_parts


class Display:
    """The base of all displays; shows nothing. It is a listener of the uploader and a context manager."""

    def __init__(self, output: Output, meter: Meter, clock: Clock = time.monotonic) -> None:
        self.output = output
        self.meter = meter
        self.clock = clock

    def __call__(self, event: Event) -> None:
        """Count an event and show it."""
        self.meter.take(event, self.clock())
        self.show(event)

    def show(self, event: Event) -> None:
        """Show an event; this class shows none."""

    def settle(self, size: int) -> None:
        """Count a file that is not sent."""
        self.meter.settle(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what is on the screen; this class has nothing there."""


def worth_a_line(event: Event, *, verbose: bool) -> bool:
    """Whether to print a line for an event."""
    return isinstance(event, Notice | Drift | RateLimitWait | Outage) or (
        verbose and not isinstance(event, BytesSent | UploadFailed)
    )


class Lines(Display):
    """Prints a line if a file starts, every 10 percent, and if it ends; for logs and batch jobs."""

    def __init__(self, output: Output, meter: Meter, clock: Clock = time.monotonic) -> None:
        super().__init__(output, meter, clock)
        self._shown: dict[FileKey, tuple[int, float]] = {}
        self._waits_until = float("-inf")
        self._trouble_line = float("-inf")

    def show(self, event: Event) -> None:
        """Write the lines of an event."""
        match event:
            case UploadStarted(file=file, size=size, resumed_bytes=resumed):
                self._shown[file] = (100 * resumed // size if size else 0, self.clock())
                if size is None or size >= _SMALL or resumed:
                    self.output.say(sentence(event))
            case BytesSent(file=file):
                self._show_progress(file)
            case UploadCompleted(file=file) | UploadSkipped(file=file):
                self._shown.pop(file, None)
                if isinstance(event, UploadCompleted) or event.receipt is None or self.output.verbose:
                    self.output.say(sentence(event))
            case UploadFailed(file=file):
                self._shown.pop(file, None)
            case RateLimitWait(seconds=seconds):  # each waiting thread emits one
                now = self.clock()
                if now + seconds > self._waits_until + 1.0:
                    self.output.say(sentence(event))
                self._waits_until = max(self._waits_until, now + seconds)
            case _ if worth_a_line(event, verbose=self.output.verbose):
                self.output.say(sentence(event))
                if isinstance(event, Outage):
                    self._trouble_line = self.clock()
            case PartRetried() | Retrying():
                self._show_trouble()

    def _show_trouble(self) -> None:
        now = self.clock()
        trouble = self.meter.trouble(now)
        if trouble and now - self._trouble_line >= _TROUBLE_LINE_SECONDS:
            self._trouble_line = now
            self.output.say(f"{trouble}. Trying again.")

    def _show_progress(self, file: FileKey) -> None:
        progress = self.meter.active.get(file)
        if progress is None:
            return
        now = self.clock()
        reached, when = self._shown.get(file, (0, now))
        percent = 100 * progress.sent // progress.size if progress.size else 0
        if (percent < reached + _PERCENT_STEP and now - when < _LINE_SECONDS) or percent > 100 - _PERCENT_STEP // 2:
            return
        self._shown[file] = (percent - percent % _PERCENT_STEP, now)
        amount = f"{percent} %, {size_text(progress.sent)} of {size_text(progress.size)}" if progress.size else ""
        self.output.say(f"{file}: {amount or size_text(progress.sent)}, {size_text(progress.speed.value(now))}/s")


class JsonLines(Display):
    """Prints a JSON object per line for each event; for progress at most one a second for each file."""

    def __init__(self, output: Output, meter: Meter, clock: Clock = time.monotonic) -> None:
        super().__init__(output, meter, clock)
        self._shown: dict[FileKey, float] = {}

    def show(self, event: Event) -> None:
        """Write the object of an event."""
        if isinstance(event, UploadCompleted | UploadFailed | UploadSkipped):
            self._shown.pop(event.file, None)
        if isinstance(event, UploadSkipped) and event.receipt is not None:
            return  # the event already_there is written instead
        if not isinstance(event, BytesSent):
            self.output.record(record(event))
            return
        now = self.clock()
        progress = self.meter.active.get(event.file)
        if progress is None or now - self._shown.get(event.file, progress.began) < 1.0:
            return
        self._shown[event.file] = now
        self.output.record(
            {
                "event": "progress",
                "time": timestamp(),
                "file": event.file,
                "sent": progress.sent,
                "size": progress.size,
                "bytes_per_second": round(progress.speed.value(now)),
            }
        )
