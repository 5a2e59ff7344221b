"""How far a run is, and what is shown of it: plain lines, JSON lines or nothing; bars are in a module of their own."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import attrs

from cavatica_upload.cli.format import count_text, size_text, time_text
from cavatica_upload.cli.messages import in_plain_words, record, sentence, timestamp
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

WINDOW = 20.0  # seconds over which a speed is taken
STALLED = 5.0  # seconds without a byte after which a file is said to be stalled
TROUBLE = 15.0  # seconds without a part sent, while parts fail, after which it is said
_GRAIN = 0.25  # seconds of a step within the window
Clock = Callable[[], float]
_PERCENT_STEP = 10  # per cent between two lines about a file
_LINE_SECONDS = 300.0  # after which there is a line about a file anyhow
_TROUBLE_LINE_SECONDS = 60.0  # between two lines about an outage
_SMALL = 16 * 1024 * 1024  # bytes below which a file's start is not worth a line


class Speed:
    """Bytes per second over the last `WINDOW` seconds; bytes of an earlier run are never counted."""

    def __init__(self, now: float) -> None:
        self._steps: deque[tuple[float, int]] = deque()
        self.restart(now)

    def restart(self, now: float) -> None:
        """Forget what was, so that an outage does not count as slowness."""
        self._since = now
        self._steps.clear()

    def add(self, count: int, now: float) -> None:
        """Count bytes sent by now (negative if some are taken back)."""
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
    """How far one file is.

    `sent` are bytes that storage has or is getting, those of earlier runs among them; `kept` and `kept_parts` are what
    it has for sure. `moved` is when the last byte went out.
    """

    size: int | None
    parts: int | None
    speed: Speed
    began: float
    moved: float
    sent: int = 0
    kept: int = 0
    kept_parts: int = 0


class Meter:
    """Adds up the events of a run.

    `size` is that of all files together, as far as it is known; those of the `unsized` files are added as they appear.
    Files that are being uploaded are in `active`; a file that ended is forgotten, so that the memory does not grow
    with the number of files. A file counts as `finished` when it is on the platform, or was skipped.
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
        """Take an event into account; `now` is of a clock that only goes forward."""
        match event:
            case UploadStarted():
                known = self.active.get(event.file)
                self.done += event.resumed_bytes - (known.sent if known else 0)  # an upload may begin anew
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
        """Count the bytes of a file that is not to be sent."""
        self.done += size

    def wait_left(self, now: float) -> float:
        """Return the seconds for which the rate limit keeps the run waiting, 0.0 if it does not."""
        return max(0.0, self.waiting_until - now) if self.waiting_until is not None else 0.0

    def time_left(self, now: float) -> float | None:
        """Return the seconds that the rest will take at this speed, None if that is not known."""
        speed = self.speed.value(now)
        return max(0, self.size - self.done) / speed if speed > 0 else None

    def stalled(self, progress: FileProgress, now: float) -> float:
        """Return the seconds for which no byte of a file went out, 0.0 if that is usual."""
        if self.wait_left(now) or (progress.size is not None and progress.sent >= progress.size):
            return 0.0
        # A file that has sent nothing yet may be waiting for its turn: then it stalls only if all do.
        since = progress.moved if progress.moved > progress.began else max(progress.began, self._moved)
        return now - since if now - since >= STALLED else 0.0

    def trouble(self, now: float) -> str | None:
        """Return a sentence about an outage, or about parts that fail, None if all goes well."""
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
        if event.file in self._unsized:  # a stream: all that is known of it is what was sent
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
            self.done += size or 0  # a file that was found whole, without a byte sent
        elif size is not None:
            self.done += size - progress.sent
        else:
            self.unfinished_kept += progress.kept
            self.unfinished_parts += progress.kept_parts


class Display:
    """Shows nothing; the others build on it. A listener of the uploader, and a context manager."""

    def __init__(self, output: Output, meter: Meter, clock: Clock = time.monotonic) -> None:
        self.output = output
        self.meter = meter
        self.clock = clock

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        self.meter.take(event, self.clock())
        self.show(event)

    def show(self, event: Event) -> None:
        """Show what there is to show of an event."""

    def settle(self, size: int) -> None:
        """Count a file that is not to be sent."""
        self.meter.settle(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take down what was put up."""


def worth_a_line(event: Event, *, verbose: bool) -> bool:
    """Whether an event gets a line of its own, beside the progress of the files."""
    return isinstance(event, Notice | Drift | RateLimitWait | Outage) or (
        verbose and not isinstance(event, BytesSent | UploadFailed)
    )


class Lines(Display):
    """A line when a file starts, at every tenth or so, and at its end: for logs and batch jobs."""

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
            case RateLimitWait(seconds=seconds):  # each thread that waits says so
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
    """One JSON object a line on standard output for each event; progress at most once a second and file."""

    def __init__(self, output: Output, meter: Meter, clock: Clock = time.monotonic) -> None:
        super().__init__(output, meter, clock)
        self._shown: dict[FileKey, float] = {}

    def show(self, event: Event) -> None:
        """Write the object of an event."""
        if isinstance(event, UploadCompleted | UploadFailed | UploadSkipped):
            self._shown.pop(event.file, None)
        if isinstance(event, UploadSkipped) and event.receipt is not None:
            return  # the record of how it ended says more
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
