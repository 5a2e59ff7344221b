"""Progress on a terminal: a bar for each file under way, and one for the run."""

import threading
import time
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cavatica_upload.cli.console import Output, count_text, size_text, time_text, visible
from cavatica_upload.cli.meter import Meter
from cavatica_upload.cli.progress import Clock, Display, worth_a_line
from cavatica_upload.cli.wording import sentence
from cavatica_upload.events import Event, RateLimitWait

MOST_BARS = 8
REFRESHES = 8  # a second


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that is wider than `width` cells: the end of a file name tells what it is."""
    if cell_len(text) <= width:
        return text
    tail = text
    while cell_len(tail) > width // 2:
        tail = tail[1:]
    head = text
    while cell_len(head) + cell_len(tail) + 1 > width:
        head = head[:-1]
    return f"{head}…{tail}"


class Bars(Display):
    """Bars that are drawn anew several times a second and vanish at the end; finished files leave a line."""

    def __init__(self, output: Output, meter: Meter, clock: Clock = time.monotonic) -> None:
        super().__init__(output, meter, clock)
        self._lock = threading.Lock()  # between events and drawing
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
        if worth_a_line(event, verbose=self.output.verbose) and not isinstance(event, RateLimitWait):
            self.output.say(sentence(event))

    def settle(self, size: int, *, ended: bool) -> None:
        """Count a file that is not to be sent."""
        with self._lock:
            super().settle(size, ended=ended)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw all bars."""
        now = self.clock()
        width = options.max_width
        with self._lock:
            yield self._table(now, width, min(MOST_BARS, max(1, console.height - 4)))
            waiting = self.meter.wait_left(now)
        if waiting:
            yield Text(f"Rate limit reached, going on in {time_text(waiting)}", "yellow")

    def _table(self, now: float, width: int, most: int) -> Table:
        """Return the rows of all bars."""
        meter = self.meter
        layout = Layout(width)
        active = list(meter.active.items())
        for key, progress in active[:most]:
            speed = progress.speed.value(now)
            left = max(0, progress.size - progress.sent) / speed if progress.size is not None and speed else None
            layout.add(visible(key), progress.sent, progress.size, speed, left, now=now)
        if meter.files != 1:
            more = f", {len(active) - most:,} not shown" if len(active) > most else ""
            name = f"{meter.ended:,} of {count_text(meter.files, 'file')}{more}"
            layout.add(
                name, meter.done, meter.size, meter.speed.value(now), meter.time_left(now), now=now, style="bold"
            )
        elif not active and not meter.ended:
            layout.table.add_row(Text("Starting …"))
        return layout.table


class Layout:
    """Columns of fixed widths, so that nothing jumps; what is needed least goes first where the terminal is narrow."""

    PERCENT, AMOUNT, PACE, LEFT = 5, 19, 10, 14
    GAP = 2

    def __init__(self, width: int) -> None:
        self.table = Table.grid(padding=(0, self.GAP, 0, 0), pad_edge=False)
        room = width - self.PERCENT - 2 * self.GAP
        self._name = max(10, min(40, room - self.AMOUNT - self.PACE - self.LEFT - 4 * self.GAP - 10))
        room -= self._name
        self._shown = []
        for column, size in (("amount", self.AMOUNT), ("left", self.LEFT), ("pace", self.PACE)):
            if room >= size + self.GAP:
                room -= size + self.GAP
                self._shown.append(column)
        self._bar = min(40, room - self.GAP) if room >= 10 + self.GAP else 0
        self.table.add_column(no_wrap=True, width=self._name)
        if self._bar:
            self.table.add_column(width=self._bar)
        self.table.add_column(no_wrap=True, justify="right", width=self.PERCENT)
        for column, size in (("amount", self.AMOUNT), ("pace", self.PACE), ("left", self.LEFT)):
            if column in self._shown:
                self.table.add_column(no_wrap=True, justify="right", width=size)

    def add(
        self, name: str, done: int, size: int | None, speed: float, left: float | None, *, now: float, style: str = ""
    ) -> None:
        """Add a row: a file, or the run."""
        cells: list[Text | ProgressBar] = [Text(shorten(name, self._name), style)]
        if self._bar:
            share = min(done, size) if size else 0
            cells.append(ProgressBar(total=size or None, completed=share, pulse=size is None, animation_time=now))
        cells.append(Text(f"{100 * done // size} %" if size else ""))
        texts = {
            "amount": Text(size_text(done) + (f" / {size_text(size)}" if size is not None else ""), "green"),
            "pace": Text(f"{size_text(speed)}/s" if speed else "", "red"),
            "left": Text(_left_text(left), "cyan"),
        }
        cells += [text for column, text in texts.items() if column in self._shown]
        self.table.add_row(*cells)


def _left_text(seconds: float | None) -> str:
    if not seconds or seconds > 30 * 86400:
        return ""
    return f"{time_text(seconds) if seconds >= 60 else f'{max(1, round(seconds))} s'} left"
