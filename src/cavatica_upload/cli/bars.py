"""Progress on a terminal: a bar for each file that is being uploaded, and one for the run."""

import threading
import time
from collections.abc import Sequence
from typing import Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cavatica_upload.cli.messages import count_text, sentence, time_text
from cavatica_upload.cli.output import Output, visible
from cavatica_upload.cli.progress import Clock, Display, Meter, worth_a_line
from cavatica_upload.events import Event, Outage, RateLimitWait
from cavatica_upload.plan import size_text

MOST_BARS = 8
REFRESHES = 8  # a second


def shorten(text: str, width: int, tail: int | None = None) -> str:
    """Cut the middle out of a text that is wider than `width` cells, and keep `tail` cells (half) of its end."""
    if cell_len(text) <= width:
        return text
    end = text
    while cell_len(end) > min(width // 2 if tail is None else tail, width - 1):
        end = end[1:]
    head = text
    while cell_len(head) + cell_len(end) + 1 > width:
        head = head[:-1]
    return f"{head}…{end}"


def shorten_all(texts: Sequence[str], width: int) -> list[str]:
    """Shorten texts so that different ones stay different, if the width allows it."""
    half = width // 2
    wanted = len(set(texts))
    for tail in (half, *range(half + 1, width), *range(half - 1, -1, -1)):
        short = [shorten(text, width, tail) for text in texts]
        if len(set(short)) == wanted:
            return short
    start = _common(texts)
    if start:  # all differ in the middle only: show that
        return shorten_all([f"…{text[start - 1 :]}" for text in texts], width) if start > 1 else list(texts)
    return [shorten(text, width) for text in texts]


def _common(texts: Sequence[str]) -> int:
    """Return how many characters all texts begin with."""
    first, last = min(texts), max(texts)
    return next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))


class Bars(Display):
    """Bars that are drawn anew several times a second and vanish at the end; finished files leave a line."""

    def __init__(self, output: Output, meter: Meter, clock: Clock = time.monotonic) -> None:
        super().__init__(output, meter, clock)
        self._lock = threading.Lock()  # between events and drawing
        self._widest = 12
        self._live = Live(
            self,
            console=output.console,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __call__(self, event: Event) -> None:
        """Take an event in; the next drawing shows it."""
        with self._lock:
            self.meter.take(event, self.clock())
        if worth_a_line(event, verbose=self.output.verbose) and not (
            isinstance(event, RateLimitWait) or (isinstance(event, Outage) and not event.over)
        ):
            self.output.say(sentence(event))

    def settle(self, size: int) -> None:
        """Count a file that is not to be sent."""
        with self._lock:
            super().settle(size)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw all bars."""
        now = self.clock()
        width = options.max_width
        with self._lock:
            yield self._table(now, width, min(MOST_BARS, max(1, console.height - 4)))
            waiting = self.meter.wait_left(now)
            trouble = self.meter.trouble(now)
        if waiting:
            yield Text(f"API rate limit reached; resuming in {time_text(waiting)}", "yellow")
        if trouble:
            yield Text(visible(f"{trouble}. Trying again."), "yellow")

    def _table(self, now: float, width: int, most: int) -> Table:
        """Return the rows of all bars."""
        meter = self.meter
        active = list(meter.active.items())
        labels = [visible(key) for key, _ in active[:most]]
        self._widest = max(self._widest, *(cell_len(label) for label in labels), 0)
        layout = Layout(width, self._widest if meter.files == 1 else max(self._widest, 24))
        for label, (_, progress) in zip(shorten_all(labels, layout.name), active[:most], strict=True):
            speed = progress.speed.value(now)
            left = max(0, progress.size - progress.sent) / speed if progress.size is not None and speed else None
            stalled = meter.stalled(progress, now)
            layout.add(label, progress.sent, progress.size, speed, left, now=now, stalled=stalled)
        if meter.files != 1:
            name = f"{meter.finished:,} of {count_text(meter.files, 'file')}"
            name += f", {meter.failed:,} failed" if meter.failed else ""
            name += f", +{len(active) - most:,} more" if len(active) > most else ""
            stalled = min((meter.stalled(progress, now) for _, progress in active), default=0.0)
            speed, left = meter.speed.value(now), meter.time_left(now)
            layout.add(name, meter.done, meter.size, speed, left, now=now, stalled=stalled, style="bold")
        elif not active and not meter.finished and not meter.sent:
            layout.table.add_row(Text("Starting …"))
        return layout.table


class Layout:
    """Columns of fixed widths, so that nothing jumps.

    The name gets the `widest` cells that it needs as far as possible: on a narrow terminal the amount, the speed and
    the bar are dropped for it, in this order.
    """

    PERCENT, AMOUNT, SPEED, LEFT, BAR = 5, 19, 10, 16, 10
    GAP = 2

    def __init__(self, width: int, widest: int = 40) -> None:
        self.table = Table.grid(padding=(0, self.GAP, 0, 0), pad_edge=False)
        room = width - self.PERCENT - self.GAP
        name = max(1, min(widest, 60, room - self.GAP))
        room -= min(name, 16) + self.GAP
        self._shown: set[str] = set()
        spare = max(0, name - 16)
        for column, size in (("left", self.LEFT), ("bar", self.BAR), ("speed", self.SPEED), ("amount", self.AMOUNT)):
            keep = spare if column != "left" else min(spare, 20)
            if room - size - self.GAP >= keep:
                room -= size + self.GAP
                self._shown.add(column)
        self.name = max(1, min(name, 16) + min(spare, max(0, room)))
        room -= self.name - min(name, 16)
        self._bar = min(40, self.BAR + max(0, room)) if "bar" in self._shown else 0
        self.table.add_column(no_wrap=True, width=self.name)
        if self._bar:
            self.table.add_column(width=self._bar)
        self.table.add_column(no_wrap=True, justify="right", width=self.PERCENT)
        for column, size in (("amount", self.AMOUNT), ("speed", self.SPEED), ("left", self.LEFT)):
            if column in self._shown:
                self.table.add_column(no_wrap=True, justify="right", width=size)

    def add(
        self,
        name: str,
        done: int,
        size: int | None,
        speed: float,
        left: float | None,
        *,
        now: float,
        stalled: float = 0.0,
        style: str = "",
    ) -> None:
        """Add a row: a file, or the run."""
        cells: list[Text | ProgressBar] = [Text(shorten(name, self.name), style)]
        if self._bar:
            share = min(done, size) if size else 0
            cells.append(ProgressBar(total=size or None, completed=share, pulse=size is None, animation_time=now))
        cells.append(Text(f"{100 * done // size} %" if size else ""))
        texts = {
            "amount": Text(size_text(done) + (f" / {size_text(size)}" if size is not None else ""), "green"),
            "speed": Text(f"{size_text(speed)}/s" if speed and not stalled else "", "red"),
            "left": Text(_stalled_text(stalled) if stalled else _left_text(left), "cyan"),
        }
        cells += [text for column, text in texts.items() if column in self._shown]
        self.table.add_row(*cells)


def _left_text(seconds: float | None) -> str:
    if not seconds or seconds > 30 * 86400:
        return ""
    return f"{time_text(seconds) if seconds >= 60 else f'{max(1, round(seconds))} s'} left"


def _stalled_text(seconds: float) -> str:
    return f"stalled for {seconds:.0f} s" if seconds < 100 else f"stalled for {seconds / 60:.0f} min"
