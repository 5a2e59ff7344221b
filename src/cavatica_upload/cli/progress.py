"""Progress of a run: added up from its events, and shown as lines or as JSON; progress bars are in `bars.py`."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Self

from cavatica_upload import events
from cavatica_upload.cli.messages import record, sentence, time_text
from cavatica_upload.cli.output import Output
from cavatica_upload.errors import Interrupted
from cavatica_upload.events import Event, FileKey
from cavatica_upload.plan import count_text, size_text

Clock = Callable[[], float]
WINDOW = 20.0  # seconds over which a speed is averaged
STALLED = 5.0  # seconds without a byte after which a file is shown as stalled
TROUBLE = 15.0  # seconds of failures without a sent part after which they are shown
_GRAIN = 0.25  # seconds; bytes sent within this time are added up
_PERCENT_STEP = 10  # percent between two lines about a file
_LINE_SECONDS = 300.0  # the longest time between two lines about a file
_TROUBLE_LINE_SECONDS = 60.0  # between two lines about failures
_SMALL = 16 * 1024 * 1024  # bytes; the start of a smaller file is not shown


class Speed:
    """Bytes per second over the last `WINDOW` seconds, without the bytes of earlier runs."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._steps: deque[tuple[float, int]] = deque()

    def add(self, count: int, now: float) -> None:
        """Count sent bytes; negative if they have to be sent again."""
        if self._steps and now - self._steps[-1][0] < _GRAIN:
            then, before = self._steps.pop()
            self._steps.append((then, before + count))
        else:
            self._steps.append((now, count))

    def value(self, now: float) -> float:
        """Return bytes per second, 0.0 if nothing was sent lately."""
        while self._steps and now - self._steps[0][0] > WINDOW:
            self._steps.popleft()
        span = min(WINDOW, now - self._since)
        return max(0.0, sum(count for _, count in self._steps) / span) if span > 0 else 0.0


class FileProgress:
    """The progress of a file that is being uploaded.

    `sent` counts the bytes sent by this run and earlier ones, with those in flight; `kept` and `kept_parts` only what
    storage has confirmed. `moved` is the time of the last sent byte. `shown` is the time of the last line about the
    file, and `shown_percent` what it said.
    """

    def __init__(self, started: events.UploadStarted, now: float) -> None:
        self.size = started.size
        self.sent = self.kept = started.resumed_bytes
        self.kept_parts = started.resumed_parts
        self.speed = Speed(now)
        self.began = self.moved = self.shown = now
        self.shown_percent = self.percent

    @property
    def percent(self) -> int:
        """How much is sent; 0 if the size is not known."""
        return 100 * self.sent // self.size if self.size else 0


class Meter:
    """Adds up the events of a run.

    `size` is the sum of the known sizes; those of the `unsized` files are added when they become known. `done` is how
    much of it is on the platform or in flight, `sent` the bytes that this run sent. `active` has only the files that
    are being uploaded, so that memory does not grow with the number of files. A file counts as `finished` if it is on
    the platform or was skipped. `kept_bytes` and `kept_parts` are what the server keeps of unfinished files.
    """

    def __init__(self, files: int, size: int, now: float, unsized: Iterable[FileKey] = ()) -> None:
        self.files = files
        self.size = size
        self.finished = self.failed = 0
        self.done = self.sent = 0
        self.kept_bytes = self.kept_parts = 0
        self.active: dict[FileKey, FileProgress] = {}
        self.speed = Speed(now)
        self._unsized = set(unsized)
        self._moved = self._wait_until = now
        self._failing_since: float | None = None
        self._failing_parts: set[tuple[FileKey, int]] = set()
        self._reason = ""

    def take(self, event: Event, now: float) -> None:
        """Count an event; `now` is the time of a monotonic clock."""
        over = isinstance(event, events.Outage) and event.over
        if over or isinstance(event, events.PartSent | events.PartsReported | events.UploadCompleted):
            self._failing_since = None
            self._failing_parts.clear()
        match event:
            case events.UploadStarted():
                before = self.active.get(event.file)  # a file may start again
                progress = self.active[event.file] = FileProgress(event, now)
                self.done += progress.sent - (before.sent if before else 0)
                if event.file in self._unsized and event.size is not None:
                    self._unsized.discard(event.file)
                    self.size += event.size
            case events.BytesSent():
                self._move(event, now)
            case events.PartSent() if event.file in self.active:
                self.active[event.file].kept += event.size
                self.active[event.file].kept_parts += 1
            case events.PartRetried() | events.Retrying():
                self._failing_since = now if self._failing_since is None else self._failing_since
                self._reason = event.reason
                if isinstance(event, events.PartRetried):
                    self._failing_parts.add((event.file, event.number))
            case events.Outage(over=True):  # it should not lower the speeds
                self.speed = Speed(now)
                for progress in self.active.values():
                    progress.speed = Speed(now)
            case events.UploadCompleted():
                self.finished += 1
                self._end(event.file, event.receipt.size)
            case events.UploadSkipped():
                self.finished += 1
                self._end(event.file, None)
            case events.UploadFailed():
                self.failed += not isinstance(event.error, Interrupted)
                self._end(event.file, None)
            case events.RateLimitWait():
                self._wait_until = now + event.seconds

    def wait_left(self, now: float) -> float:
        """Return the seconds that the run still waits for the rate limit, 0.0 if it does not."""
        return max(0.0, self._wait_until - now)

    def stalled(self, progress: FileProgress, now: float) -> float:
        """Return the seconds since a file last sent a byte, 0.0 if it is not stalled."""
        if self.wait_left(now) or (progress.size is not None and progress.sent >= progress.size):
            return 0.0
        # A file that has sent nothing may be waiting for its turn; then it is stalled only if all files are.
        since = progress.moved if progress.moved > progress.began else max(progress.began, self._moved)
        return now - since if now - since >= STALLED else 0.0

    def trouble(self, now: float) -> str | None:
        """Return how long nothing was sent although it was tried, None if there is no trouble."""
        if self._failing_since is None or now - self._failing_since < TROUBLE:
            return None
        waiting = f"; {count_text(len(self._failing_parts), 'part')} waiting" if self._failing_parts else ""
        span = time_text(now - self._failing_since)
        return f"No part sent for {span}{waiting} ({self._reason.rstrip('.')})"

    def _move(self, event: events.BytesSent, now: float) -> None:
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

    def _end(self, file: FileKey, size: int | None) -> None:
        progress = self.active.pop(file, None)
        if progress is None:
            self.done += size or 0  # a file that was complete before anything was sent
        elif size is not None:
            self.done += size - progress.sent
        else:
            self.kept_bytes += progress.kept
            self.kept_parts += progress.kept_parts


class Display:
    """The base of all displays, which shows nothing: a listener of the uploader and a context manager."""

    def __init__(self, output: Output, meter: Meter, clock: Clock = time.monotonic) -> None:
        self.output = output
        self.meter = meter
        self.clock = clock
        self.lock = threading.Lock()  # of the meter: events come from several threads

    def __call__(self, event: Event) -> None:
        with self.lock:
            self.meter.take(event, self.clock())
        self.show(event)

    def settle(self, size: int) -> None:
        """Count the bytes of a file that is not sent."""
        with self.lock:
            self.meter.done += size

    def show(self, event: Event) -> None:
        """Show an event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what is on the screen."""


def worth_a_line(event: Event, *, verbose: bool) -> bool:
    """Whether any display prints a line for an event."""
    if verbose:
        return not isinstance(event, events.BytesSent | events.UploadFailed)
    return isinstance(event, events.Notice | events.Drift | events.RateLimitWait | events.Outage)


class Lines(Display):
    """Prints a line when a file starts, after every 10 percent, and when it ends; for logs and batch jobs."""

    _wait_shown = _failures_shown = float("-inf")

    def show(self, event: Event) -> None:
        now = self.clock()
        worth = worth_a_line(event, verbose=self.output.verbose)
        match event:
            case events.BytesSent(file=file) if file in self.meter.active:
                self._show_progress(file, self.meter.active[file], now)
            case events.UploadStarted(size=size):
                worth = size is None or size >= _SMALL or event.resumed_bytes > 0
            case events.UploadCompleted() | events.UploadSkipped(receipt=None):
                worth = True
            case events.RateLimitWait(seconds=seconds):  # each waiting thread emits one
                worth = now + seconds > self._wait_shown + 1.0
                self._wait_shown = max(self._wait_shown, now + seconds)
            case events.Outage():
                self._failures_shown = now
            case events.PartRetried() | events.Retrying() if not worth:
                trouble = self.meter.trouble(now)
                if trouble and now - self._failures_shown >= _TROUBLE_LINE_SECONDS:
                    self._failures_shown = now
                    self.output.say(f"{trouble}. Trying again.")
        if worth:
            self.output.say(sentence(event))

    def _show_progress(self, file: FileKey, progress: FileProgress, now: float) -> None:
        percent = progress.percent
        due = percent >= progress.shown_percent + _PERCENT_STEP or now - progress.shown >= _LINE_SECONDS
        if due and percent <= 100 - _PERCENT_STEP // 2:
            progress.shown, progress.shown_percent = now, percent - percent % _PERCENT_STEP
            amount = f"{percent} %, {size_text(progress.sent)} of {size_text(progress.size)}" if progress.size else ""
            self.output.say(f"{file}: {amount or size_text(progress.sent)}, {size_text(progress.speed.value(now))}/s")


class JsonLines(Display):
    """Prints a JSON object for each event; for progress at most one a second for each file."""

    def show(self, event: Event) -> None:
        if isinstance(event, events.BytesSent):
            self._show_progress(event.file, self.clock())
        elif not (isinstance(event, events.UploadSkipped) and event.receipt):  # already_there is printed instead
            self.output.record(record(event))

    def _show_progress(self, file: FileKey, now: float) -> None:
        progress = self.meter.active.get(file)
        if progress is not None and now - progress.shown >= 1.0:
            progress.shown = now
            speed = round(progress.speed.value(now))
            self.output.event("progress", file=file, sent=progress.sent, size=progress.size, bytes_per_second=speed)
