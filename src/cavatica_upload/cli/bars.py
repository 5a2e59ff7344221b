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
        """Return the bars; what is least needed goes first where the terminal is narrow."""
        meter = self.meter
        table = Table.grid(padding=(0, 2), pad_edge=False)
        names = max(12, min(40, width // 3))
        bar = max(0, width - names - 54)
        table.add_column(no_wrap=True, width=names)
        if bar >= 8:
            table.add_column(width=min(bar, 40))
        for _ in range(4):
            table.add_column(no_wrap=True, justify="right")

        def row(name: str, done: int, size: int | None, speed: float, left: float | None, style: str = "") -> None:
            share = f"{100 * done // size} %" if size else ""
            amount = f"{size_text(done)} / {size_text(size)}" if size is not None else size_text(done)
            cells: list[Text | ProgressBar] = [Text(shorten(name, names), style)]
            if bar >= 8:
                cells.append(
                    ProgressBar(
                        total=size or None,
                        completed=min(done, size) if size else 0,
                        pulse=size is None,
                        animation_time=now,
                    )
                )
            pace = f"{size_text(speed)}/s" if speed else ""
            rest = f"{time_text(left)} left" if left is not None and left < 30 * 86400 else ""
            cells += [Text(share), Text(amount, "green"), Text(pace, "red"), Text(rest, "cyan")]
            table.add_row(*cells)

        active = list(meter.active.items())
        for key, progress in active[:most]:
            speed = progress.speed.value(now)
            left = max(0, progress.size - progress.sent) / speed if progress.size is not None and speed else None
            row(visible(key), progress.sent, progress.size, speed, left)
        if meter.files != 1:
            more = f", {count_text(len(active) - most, 'more bar')}" if len(active) > most else ""
            name = f"{meter.ended:,} of {count_text(meter.files, 'file')}{more}"
            row(name, meter.done, meter.size, meter.speed.value(now), meter.time_left(now), "bold")
        elif not active and not meter.ended:
            table.add_row(Text("Starting …"))
        return table
