"""Progress on a terminal: a bar for each file that is being uploaded, and one for the run."""

import time
from collections.abc import Sequence
from typing import Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cavatica_upload.cli.messages import sentence, time_text
from cavatica_upload.cli.output import Output, visible
from cavatica_upload.cli.progress import Clock, Display, Meter, worth_a_line
from cavatica_upload.events import Event, Outage, RateLimitWait
from cavatica_upload.plan import count_text, size_text

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
    """Shorten texts so that different texts stay different, if the width allows it."""
    half = width // 2
    wanted = len(set(texts))
    for tail in (half, *range(half + 1, width), *range(half - 1, -1, -1)):
        short = [shorten(text, width, tail) for text in texts]
        if len(set(short)) == wanted:
            return short
    first, last = min(texts), max(texts)
    start = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    if start > 2:  # all differ in the middle only: show that
        return shorten_all([f"…{text[start - 1 :]}" for text in texts], width)
    return [shorten(text, width) for text in texts]


class Bars(Display):
    """Bars that are redrawn several times a second and vanish at the end; finished files leave a line."""

    def __init__(self, output: Output, meter: Meter, clock: Clock = time.monotonic) -> None:
        super().__init__(output, meter, clock)
        self._widest = 12
        self._live = Live(
            self,
            console=output.console,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def show(self, event: Event) -> None:
        """Print a line above the bars if an event is worth it and the bars do not show it."""
        shown = isinstance(event, RateLimitWait) or (isinstance(event, Outage) and not event.over)
        if not shown and worth_a_line(event, verbose=self.output.verbose):
            self.output.say(sentence(event))

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = self.clock()
        with self.lock:
            table = self._table(now, options.max_width, min(MOST_BARS, max(1, console.height - 4)))
            waiting = self.meter.wait_left(now)
            trouble = self.meter.trouble(now)
        yield table
        if waiting:
            yield Text(sentence(RateLimitWait(waiting)), "yellow")
        if trouble:
            yield Text(visible(f"{trouble}. Trying again."), "yellow")

    def _table(self, now: float, width: int, most: int) -> Table:
        meter = self.meter
        active = list(meter.active.items())
        labels = [visible(key) for key, _ in active[:most]]
        self._widest = max(self._widest, *(cell_len(label) for label in labels), 0)
        layout = Layout(width, self._widest if meter.files == 1 else max(self._widest, 24))
        for label, (_, progress) in zip(shorten_all(labels, layout.name), active[:most], strict=True):
            speed, stalled = progress.speed.value(now), meter.stalled(progress, now)
            layout.add(label, progress.sent, progress.size, speed, now=now, stalled=stalled)
        if meter.files != 1:
            name = f"{meter.finished:,} of {count_text(meter.files, 'file')}"
            name += f", {meter.failed:,} failed" if meter.failed else ""
            name += f", +{len(active) - most:,} more" if len(active) > most else ""
            stalled = min((meter.stalled(progress, now) for _, progress in active), default=0.0)
            layout.add(name, meter.done, meter.size, meter.speed.value(now), now=now, stalled=stalled, style="bold")
        elif not active and not meter.finished and not meter.sent:
            layout.table.add_row(Text("Starting …"))
        return layout.table


class Layout:
    """Columns of fixed widths, so that nothing jumps.

    On a narrow terminal the amount, the speed and the bar are dropped, in this order, so that the name has the `widest`
    cells that it needs. For the time left it is shortened to 36 cells.
    """

    GAP = 2

    def __init__(self, width: int, widest: int = 40) -> None:
        percent = 5
        self.name = max(1, min(widest, 60, width - percent - 2 * self.GAP))
        room = width - percent - self.name - 2 * self.GAP
        widths: dict[str, int] = {}
        for column, size in (("left", 16), ("bar", 10), ("speed", 10), ("amount", 19)):
            short = max(0, size + self.GAP - room)
            if not short or (column == "left" and self.name - short >= 36):
                widths[column] = size
                self.name -= short
                room += short - size - self.GAP
        if "bar" in widths:
            widths["bar"] = min(40, widths["bar"] + room)
        widths |= {"name": self.name, "percent": percent}
        self.table = Table.grid(padding=(0, self.GAP, 0, 0), pad_edge=False)
        self._columns = [name for name in ("name", "bar", "percent", "amount", "speed", "left") if name in widths]
        for column in self._columns:
            justify: JustifyMethod = "left" if column in ("name", "bar") else "right"
            self.table.add_column(no_wrap=True, justify=justify, width=widths[column])

    def add(
        self, name: str, done: int, size: int | None, speed: float, *, now: float, stalled: float = 0.0, style: str = ""
    ) -> None:
        """Add a row: a file, or the run. `speed` is in bytes per second, `stalled` the seconds without a byte."""
        share = min(done, size) if size else 0
        cells: dict[str, Text | ProgressBar] = {
            "name": Text(shorten(name, self.name), style),
            "bar": ProgressBar(total=size or None, completed=share, pulse=size is None, animation_time=now),
            "percent": Text(f"{100 * done // size} %" if size else ""),
            "amount": Text(size_text(done) + (f" / {size_text(size)}" if size is not None else ""), "green"),
            "speed": Text(f"{size_text(speed)}/s" if speed and not stalled else "", "red"),
            "left": Text(_left_text(size, done, speed, stalled), "cyan"),
        }
        self.table.add_row(*(cells[column] for column in self._columns))


def _left_text(size: int | None, done: int, speed: float, stalled: float) -> str:
    if stalled:
        return f"stalled for {stalled:.0f} s" if stalled < 100 else f"stalled {stalled / 60:.0f} min"
    seconds = (size - done) / speed if size and speed else 0.0
    if not 0 < seconds <= 30 * 86400:
        return ""
    return f"{time_text(seconds) if seconds >= 60 else f'{max(1, round(seconds))} s'} left"
