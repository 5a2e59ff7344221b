"""What is shown while files go up: plain lines, JSON lines or nothing; bars are in a module of their own."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from cavatica_upload.cli.format import size_text
from cavatica_upload.cli.messages import record, sentence, timestamp
from cavatica_upload.cli.meter import Meter
from cavatica_upload.cli.output import Output
from cavatica_upload.events import (
    BytesSent,
    Drift,
    Event,
    FileKey,
    Notice,
    Outage,
    PartRetried,
    RateLimitWait,
    Retrying,
    UploadCompleted,
    UploadFailed,
    UploadSkipped,
    UploadStarted,
)

Clock = Callable[[], float]
_PERCENT_STEP = 10  # per cent between two lines about a file
_LINE_SECONDS = 300.0  # after which there is a line about a file anyhow
_TROUBLE_LINE_SECONDS = 60.0  # between two lines about an outage
_SMALL = 16 * 1024 * 1024  # bytes below which a file's start is not worth a line


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

    def settle(self, size: int, *, ended: bool) -> None:
        """Count a file that is not to be sent."""
        self.meter.settle(size, ended=ended)

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
