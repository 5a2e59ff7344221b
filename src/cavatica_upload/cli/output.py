"""Standard output and standard error, which get no control characters, and the log file."""

import codecs
import contextlib
import errno
import json
import logging
import os
import shlex
import shutil
import sys
import threading
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from cavatica_upload.cli.messages import error_record, hint_of, message_of, sentence
from cavatica_upload.errors import CavaticaError, UsageError, reason_of
from cavatica_upload.events import BytesSent, Event
from cavatica_upload.timing import now_utc

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
                stream.reconfigure(errors=_encode_plainly.__name__)  # type: ignore[union-attr]

    @cached_property
    def console(self) -> "Console":
        """Standard error. If it cannot be written, messages are dropped and the work continues."""
        from rich.console import Console  # not needed for --version and --help

        class Stderr(Console):
            def __exit__(self, *problem: Any) -> None:  # noqa: PYI036 - as in rich; the end of each write
                try:
                    super().__exit__(*problem)
                except OSError as error:  # a full disk may have room later; a closed terminal does not come back
                    if error.errno == errno.EIO:
                        self.on_broken_pipe()

            def on_broken_pipe(self) -> None:
                self.quiet = True
                discard(2)

        made = Stderr(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True, legacy_windows=False)
        if not made.width:  # COLUMNS=0, as some containers have it; nothing would be printed
            made.width = 80
        return made

    @property
    def on_terminal(self) -> bool:
        """Whether standard error is a terminal that can draw, whatever FORCE_COLOR says."""
        return os.isatty(2) and not self.console.is_dumb_terminal

    def result(self, *fields: str) -> None:
        """Write a line of results to standard output, with tabs between its fields."""
        text = "\t".join(map(visible, fields))
        if self.on_terminal and os.isatty(1):
            from rich.text import Text

            self.console.print(Text(text))  # above the bars, if there are any
        else:
            write_line(text)

    def results(self, headers: Sequence[str], rows: Sequence[Sequence[str]], *, widest: int = -1) -> None:
        """Write rows to standard output: with tabs between the fields, or on a terminal as a table with headers.

        In the table the column `widest` is the last one, where it can be copied although the line is too long.
        """
        if rows and os.isatty(1):
            order = list(range(len(headers)))
            order.append(order.pop(widest))
            moved = [[row[column] for column in order] for row in (headers, *rows)]
            for line in table(moved[0], moved[1:], shutil.get_terminal_size().columns):
                write_line(line)
        else:
            for row in rows:
                write_line("\t".join(map(visible, row)))

    def record(self, value: Mapping[str, Any]) -> None:
        """Write one JSON object as a line to standard output."""
        write_line(json.dumps(value, ensure_ascii=True, default=str))

    def event(self, name: str, **fields: object) -> None:
        """Write an event of the run, with the time, as `record` does."""
        self.record({"event": name, "time": now_utc("milliseconds"), **fields})

    def say(self, text: str) -> None:
        """Write a line to standard error, unless --quiet is given."""
        if not self.quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        """Write a note to standard error, unless --quiet is given."""
        if not self.quiet:
            self._print(text, before="Note: ", before_style="yellow")

    def problem(self, text: str, hint: str | None = None) -> None:
        """Write an error and a hint to standard error, even with --quiet."""
        self._print(text, before="Error: ", before_style="bold red")
        if hint:
            self.hint(hint)

    def hint(self, text: str) -> None:
        """Write a line that belongs to an error to standard error, even with --quiet."""
        self._print(text)

    def error(self, error: CavaticaError) -> None:
        """Write an error to standard error, with the first of its problems; with --json, all to standard output."""
        problems = error.problems if isinstance(error, UsageError) else ()
        shown = [f"  {problem}" for problem in problems[:MOST_PROBLEMS]]
        more = [f"  … and {len(problems) - MOST_PROBLEMS:,} more"] if len(problems) > MOST_PROBLEMS else []
        self.problem(message_of(error))
        for line in (*shown, *more, *filter(None, [hint_of(error)])):
            self.hint(line)
        if self.as_json:
            self.record({"event": "error", **error_record(error)})
            for problem in problems:
                self.record({"event": "problem", "message": problem})

    def _print(self, text: str, *, before: str = "", before_style: str = "") -> None:
        if sys.stderr is None:  # closed by the caller (`2>&-`)
            return
        from rich.text import Text

        self.console.print(Text(before, before_style) + Text(visible(text)))


_PLAIN: Mapping[str, str] = {"“": '"', "”": '"', "…": "..."}


def _encode_plainly(error: Any) -> tuple[str | bytes, int]:
    """Replace what an encoding lacks: our own quotes and dots by those of ASCII, other characters by escapes."""
    error.end = error.start + 1
    plain = _PLAIN.get(error.object[error.start])
    return (plain, error.end) if plain else codecs.backslashreplace_errors(error)


codecs.register_error(_encode_plainly.__name__, _encode_plainly)


def write_line(text: str) -> None:
    """Write a line to standard output, and flush it. If its reader has ended (`| head`), the rest is discarded."""
    if sys.stdout is None:  # closed by the caller (`>&-`)
        return
    try:
        with _ONE_LINE:
            print(text, flush=True)  # noqa: T201 - click.echo writes UTF-8 to a terminal of ASCII
    except BrokenPipeError:
        discard(1)
    except OSError as error:  # a full disk
        output_lost(error)


def flush_output() -> None:
    """Flush standard output and error, so that the interpreter's exit does not fail."""
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            discard(descriptor)
            if descriptor == 1 and not isinstance(error, BrokenPipeError):
                output_lost(error)


def output_lost(error: Exception) -> None:
    """Report once that standard output cannot be written, and discard it from now on."""
    discard(1)
    if not _UNWRITABLE:
        _UNWRITABLE.append(f"Standard output cannot be written: {reason_of(error)}.")
        with contextlib.suppress(OSError):
            click.echo(f"Error: {_UNWRITABLE[0]}", err=True)


def output_failed() -> bool:
    """Whether a line could not be written to standard output (a closed pipe does not count)."""
    return bool(_UNWRITABLE)


_UNWRITABLE: list[str] = []
_ONE_LINE = threading.Lock()  # events come from the uploader's threads


def discard(descriptor: int) -> None:
    """Discard standard output (1) or error (2) from now on, so that neither later writes nor the last flush fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """Return text that can be printed on one line: control and bidirectional characters are escaped.

    File names may hold any bytes but a slash and a zero byte, and some of them control a terminal.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char == " " or unicodedata.category(char) not in _UNPRINTABLE else _escaped(char) for char in text
    )


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def command_line(words: Sequence[str]) -> str:
    """Return a command line that can be pasted into a shell. It never holds a token, since no option takes one."""
    return " ".join(["cavatica", *map(_shell_word, words)])


def _shell_word(word: str) -> str:
    """Quote a word; bytes that a terminal does not show become `$'\\303'`, which bash, zsh and ksh understand."""
    if visible(word) == word:
        return shlex.quote(word)
    plain = set(range(32, 127)) - set(b"'\\")
    return "$'" + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in os.fsencode(word)) + "'"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table whose columns are aligned.

    Columns that do not fit into `width` are on further lines of the row, indented. The last one may be of any width.
    """
    from rich.cells import cell_len

    shown = [list(headers), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(row[column]) for row in shown) for column in range(len(headers))]
    groups: list[list[int]] = [[]]
    for column in range(len(headers)):
        indent = 2 if len(groups) > 1 else 0
        taken = sum(widths[before] + 2 for before in groups[-1])
        if groups[-1] and indent + taken + widths[column] > width:
            groups.append([])
        groups[-1].append(column)
    return [
        ("  " if at else "")
        + "  ".join(row[column] + " " * (widths[column] - cell_len(row[column])) for column in group).rstrip()
        for row in shown
        for at, group in enumerate(groups)
    ]


_LOGGER = logging.getLogger("cavatica_upload")


class _LogFile(logging.StreamHandler[TextIO]):
    """The handler of --log-file."""

    failed: BaseException | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name
        """Keep the error, such as a full disk, to report it once at the end."""
        self.failed = sys.exc_info()[1]


def open_log(path: Path | None, sources: Iterable[str]) -> None:
    """Append what this package logs to a file from now on. Other packages' logs stay out: they may name signed URLs.

    Raises UsageError for one of the `sources`, a folder, a pipe without a reader, or a file that cannot be written.
    """
    if path is None:
        return
    refuse_overwriting(path, "--log-file", sources)
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its reader.
        number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
        os.set_blocking(number, True)
        stream = os.fdopen(number, "a", encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The log file {path} cannot be written: {reason_of(error)}.", "Choose another path."
        ) from error
    handler = _LogFile(stream)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.DEBUG)
    _LOGGER.propagate = False


def refuse_overwriting(path: Path, option: str, sources: Iterable[str]) -> None:
    """Raise UsageError if a file to write is one of the files to upload."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # reported when the file is written
        return
    for source in sources:
        same = False
        with contextlib.suppress(OSError, ValueError):
            same = os.path.samestat(found, Path(source).stat())
        if same:
            raise UsageError(f"{option} {path} is one of the files to upload.", "Choose another path.")


def close_log(output: Output) -> None:
    """Close the log file, if there is one, and warn if something could not be written."""
    for handler in [handler for handler in _LOGGER.handlers if isinstance(handler, _LogFile)]:
        _LOGGER.removeHandler(handler)
        try:
            handler.stream.close()
        except OSError as error:
            handler.failed = error
        handler.close()
        if handler.failed is not None:
            output.warn(f"The log file is incomplete: {reason_of(handler.failed)}.")


def log_event(event: Event) -> None:
    """Write an event to the log, if there is one."""
    if not isinstance(event, BytesSent) and _LOGGER.handlers:
        log_text(sentence(event))


def log_text(text: str) -> None:
    """Write a line to the log, if there is one."""
    if _LOGGER.handlers:
        _LOGGER.info("%s", visible(text))
