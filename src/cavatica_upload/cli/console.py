"""What the user sees: results on standard output, all else on standard error, and nothing that upsets a terminal."""

import contextlib
import json
import os
import sys
import threading
import unicodedata
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from cavatica_upload.cli.exits import exit_of
from cavatica_upload.cli.hints import hint_of, message_of
from cavatica_upload.errors import CavaticaError

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def visible(text: str) -> str:
    """Return text that can be printed on one line: what would move the cursor, hide or reverse is written as escapes.

    File names may hold anything but a slash and a zero byte; a terminal obeys some of it.
    """
    return "".join(
        char if char == " " or unicodedata.category(char) not in _UNPRINTABLE else _escaped(char) for char in text
    )


_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def size_text(count: float) -> str:
    """Write bytes in binary units with three figures or so: `812 B`, `1.50 MiB`, `37.2 GiB`."""
    value, unit = float(count), 0
    while abs(value) >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    if unit == 0:
        return f"{count:.0f} B"
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


def time_text(seconds: float) -> str:
    """Write a span of time: `4.2 s`, `58 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def count_text(count: int, noun: str) -> str:
    """Write a count with its noun: `1 file`, `250,000 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


class _Console(Console):
    """Standard error; when nobody reads it any more, what would be said is dropped and the work goes on."""

    def on_broken_pipe(self) -> None:
        """Say nothing from now on."""
        self.quiet = True
        _lead_nowhere(2)


class Output:
    """The two streams of a command, and how much it is to say."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        for stream in (sys.stdout, sys.stderr):  # a name that the locale cannot write must not end the command
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        self.console = _Console(
            stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True, legacy_windows=False
        )

    @property
    def on_terminal(self) -> bool:
        """Whether standard error is a terminal that can draw."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def result(self, text: str) -> None:
        """Write a line of what was asked for to standard output."""
        if self.on_terminal and _is_terminal(1):
            self.console.print(Text(text))  # above the bars, where there are some
        else:
            write_line(text)

    def record(self, value: Mapping[str, Any]) -> None:
        """Write one JSON object as a line to standard output."""
        write_line(json.dumps(value, ensure_ascii=True, default=str))

    def say(self, text: str, style: str = "") -> None:
        """Write a line about the run to standard error, unless that was not wanted."""
        if not self.quiet:
            self.console.print(Text(text, style))

    def warn(self, text: str) -> None:
        """Write a line that may matter to standard error."""
        if not self.quiet:
            self.console.print(Text("Note: ", "yellow") + Text(text))

    def problem(self, text: str, hint: str | None = None) -> None:
        """Write what happened, and what to do, to standard error, however quiet the command is to be."""
        self.console.print(Text("Error: ", "bold red") + Text(text))
        if hint:
            self.console.print(Text(hint))

    def hint(self, text: str) -> None:
        """Write a line that belongs to an error."""
        self.console.print(Text(text))

    def error(self, error: CavaticaError) -> None:
        """Write an error of ours to standard error, and under --json to standard output too."""
        hint = hint_of(error)
        self.problem(visible(message_of(error)), visible(hint) if hint else None)
        if self.as_json:
            self.record({"event": "error", **error_record(error)})


def error_record(error: BaseException) -> dict[str, Any]:
    """Return an error as the keys that --json gives it."""
    return {
        "kind": type(error).__name__,
        "message": message_of(error),
        "hint": hint_of(error),
        "exit_code": int(exit_of(error)),
    }


def write_line(text: str) -> None:
    """Write a line to standard output at once.

    When nobody reads it any more (`| head`), the rest goes nowhere and the work goes on.
    """
    if sys.stdout is None:  # closed by the caller (`>&-`)
        return
    try:
        with _ONE_LINE:
            click.echo(text)
            sys.stdout.flush()
    except BrokenPipeError:
        drop_output()


_ONE_LINE = threading.Lock()  # events come from the uploader's threads


def drop_output() -> None:
    """Lead standard output nowhere, so that neither later writes nor the flush at the end fail."""
    _lead_nowhere(1)


def _lead_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
