"""Writes results to standard output and everything else to standard error, without control characters."""

import contextlib
import json
import os
import shutil
import sys
import textwrap
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from cavatica_upload.cli.format import table, visible
from cavatica_upload.cli.messages import error_record, hint_of, message_of
from cavatica_upload.errors import CavaticaError, reason_of

if TYPE_CHECKING:
    from rich.console import Console

MOST_PROBLEMS = 100


class Output:
    """The output of a command. Each text is written as one printable line."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        _UNWRITABLE.clear()
        for stream in (sys.stdout, sys.stderr):  # a name that the locale cannot write must not end the command
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

    @cached_property
    def console(self) -> "Console":
        """Standard error. If it cannot be written, messages are dropped and the work continues."""
        from rich.console import Console  # not needed for --version and --help

        class Stderr(Console):
            def on_broken_pipe(self) -> None:
                self.quiet = True
                _discard(2)

        return Stderr(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True, legacy_windows=False)

    @property
    def on_terminal(self) -> bool:
        """Whether standard error is a terminal that can draw, whatever FORCE_COLOR says."""
        return is_terminal(2) and not self.console.is_dumb_terminal

    def result(self, *fields: str) -> None:
        """Write a line of results to standard output, with tabs between its fields."""
        text = "\t".join(map(visible, fields))
        if self.on_terminal and is_terminal(1):
            from rich.text import Text

            self.console.print(Text(text))  # above the bars, if there are any
        else:
            write_line(text)

    def results(self, headers: Sequence[str], rows: Sequence[Sequence[str]], *, widest: int) -> None:
        """Write rows to standard output: with tabs between the fields, or on a terminal as a table with headers.

        In the table the column `widest` is the last one, where it can be copied although the line is too long. If the
        terminal is too narrow for the columns, each row takes several lines.
        """
        if rows and is_terminal(1):
            moved = [[*row[:widest], *row[widest + 1 :], row[widest]] for row in (headers, *rows)]
            for line in table(moved[0], moved[1:], shutil.get_terminal_size().columns):
                write_line(line)
        else:
            for row in rows:
                write_line("\t".join(map(visible, row)))

    def record(self, value: Mapping[str, Any]) -> None:
        """Write one JSON object as a line to standard output."""
        write_line(json.dumps(value, ensure_ascii=True, default=str))

    def say(self, text: str) -> None:
        """Write a line about the run to standard error, unless --quiet is given."""
        if not self.quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        """Write a line that may matter to standard error."""
        if not self.quiet:
            self._print(text, before="Note: ", before_style="yellow")

    def problem(self, text: str, hint: str | None = None) -> None:
        """Write a message and a hint to standard error, even with --quiet."""
        self._print(text, before="Error: ", before_style="bold red")
        if hint:
            self._print(hint)

    def hint(self, text: str) -> None:
        """Write a line that belongs to an error."""
        self._print(text)

    def problems(self, problems: Sequence[str]) -> None:
        """Write a line for each of the first problems, and under --json an object for each of all."""
        for problem in problems[:MOST_PROBLEMS]:
            self.hint(f"  {problem}")
        if len(problems) > MOST_PROBLEMS:
            self.hint(f"  … and {len(problems) - MOST_PROBLEMS:,} more")
        for problem in problems if self.as_json else ():
            self.record({"event": "problem", "message": problem})

    def error(self, error: CavaticaError) -> None:
        """Write an error to standard error, and with --json also to standard output."""
        self.problem(message_of(error), hint_of(error))
        if self.as_json:
            self.record({"event": "error", **error_record(error)})

    def _print(self, text: str, *, before: str = "", before_style: str = "") -> None:
        if sys.stderr is None:  # closed by the caller (`2>&-`)
            return
        from rich.text import Text

        with contextlib.suppress(OSError):  # a full disk: the work goes on without words
            self.console.print(Text(before, before_style) + Text(visible(text)))


def write_line(text: str) -> None:
    """Write a line to standard output, and flush it.

    If nobody reads it any more (`| head`), the rest is discarded and the work goes on.
    """
    if sys.stdout is None:  # closed by the caller (`>&-`)
        return
    try:
        with _ONE_LINE:
            click.echo(text)
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except OSError as error:  # a full disk
        output_lost(error)


def flush_output() -> None:
    """Flush standard output, so that the interpreter's exit does not fail; what cannot be written is discarded."""
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            _discard(descriptor)
            if descriptor == 1 and not isinstance(error, BrokenPipeError):
                output_lost(error)


def output_lost(error: Exception) -> None:
    """Say once that standard output cannot be written, and discard it from now on."""
    discard_output()
    if not _UNWRITABLE:
        _UNWRITABLE.append(f"Standard output cannot be written: {reason_of(error)}.")
        with contextlib.suppress(OSError):
            click.echo(f"Error: {_UNWRITABLE[0]}", err=True)


def output_failed() -> bool:
    """Whether a line could not be written to standard output (a closed pipe does not count)."""
    return bool(_UNWRITABLE)


_UNWRITABLE: list[str] = []
_ONE_LINE = threading.Lock()  # events come from the uploader's threads


def discard_output() -> None:
    """Discard standard output from now on, so that neither later writes nor the flush at the end fail."""
    _discard(1)


def _discard(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def is_terminal(descriptor: int) -> bool:
    """Whether a descriptor (1: standard output, 2: standard error) is a terminal."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def wrapped(text: str, before: str) -> list[str]:
    """Return a text behind `before`, on a terminal in lines of its width, which begin below each other."""
    if not is_terminal(1):
        return [before + text]
    room = max(20, shutil.get_terminal_size().columns - len(before))
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [before + lines[0], *(" " * len(before) + line for line in lines[1:])]


def ask(question: str) -> bool:
    """Ask on standard error; only y and yes agree. Ctrl-C raises KeyboardInterrupt."""
    sys.stderr.write(f"{visible(question)} [y/N]: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
