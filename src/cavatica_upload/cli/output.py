"""Standard output and standard error, without control characters; the log file; questions and signals."""

import contextlib
import json
import logging
import os
import shlex
import shutil
import signal
import sys
import textwrap
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import click

from cavatica_upload.cli.messages import error_record, hint_of, message_of, sentence
from cavatica_upload.errors import CavaticaError, UsageError, reason_of
from cavatica_upload.events import BytesSent, Event

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
    """Return `cavatica` and its arguments as a command that a shell takes when it is pasted.

    It never holds a token, since no option takes one.
    """
    return " ".join(["cavatica", *map(_shell_word, words)])


def _shell_word(word: str) -> str:
    """Quote a word; bytes that a terminal does not show are written as `$'\\303'`, which bash, zsh and ksh read."""
    if visible(word) == word:
        return shlex.quote(word)
    signs = {ord("'"): "\\'", ord("\\"): "\\\\"}
    return (
        "$'"
        + "".join(signs.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in os.fsencode(word))
        + "'"
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table whose columns are aligned.

    Columns that do not fit into `width` go on, indented, on further lines of the row; the last one may be of any width.
    """
    shown = [list(headers), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(_cells(row[column]) for row in shown) for column in range(len(headers))]
    groups: list[list[int]] = [[]]
    for column in range(len(headers)):
        indent = 2 if len(groups) > 1 else 0
        taken = sum(widths[before] + 2 for before in groups[-1])
        if groups[-1] and indent + taken + widths[column] > width:
            groups.append([])
        groups[-1].append(column)
    return [
        ("  " if at else "")
        + "  ".join(row[column] + " " * (widths[column] - _cells(row[column])) for column in group).rstrip()
        for row in shown
        for at, group in enumerate(groups)
    ]


def _cells(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese and Japanese characters take two each."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


_LOGGER = logging.getLogger("cavatica_upload")


class _LogFile(logging.StreamHandler[TextIO]):
    """The handler of --log-file."""

    failed: BaseException | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name
        """Keep the error, such as a full disk, to report it once at the end."""
        self.failed = sys.exc_info()[1]


def open_log(path: Path) -> None:
    """Append what this package logs to a file from now on. Other packages' logs stay out: they may name signed URLs.

    Raises UsageError for a folder, a pipe without a reader, or a file that cannot be written.
    """
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


def refuse_overwriting(path: Path | None, option: str, sources: Iterable[str]) -> None:
    """Raise UsageError if a file to write is one of the files to upload."""
    if path is None:
        return
    try:
        found = path.stat()
    except (OSError, ValueError):  # who writes it says why it cannot be
        return
    for source in sources:
        try:
            same = os.path.samestat(found, Path(source).stat())
        except (OSError, ValueError):
            continue
        if same:
            raise UsageError(f"{option} {path} is one of the files to upload.", "Choose another path.")


def close_log() -> BaseException | None:
    """Close the log file, if there is one; return the error if something could not be written."""
    failed: BaseException | None = None
    for handler in list(_LOGGER.handlers):
        if isinstance(handler, _LogFile):
            _LOGGER.removeHandler(handler)
            try:
                handler.stream.close()
            except OSError as error:
                failed = error
            handler.close()
            failed = handler.failed or failed
    return failed


def log_event(event: Event) -> None:
    """Write an event to the log, if there is one."""
    if not isinstance(event, BytesSent) and _LOGGER.handlers:
        log_text(sentence(event))


def log_text(text: str) -> None:
    """Write a line to the log, if there is one."""
    if _LOGGER.handlers:
        _LOGGER.info("%s", visible(text))


_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
"""SIGUSR1 and SIGXCPU are the warnings of Slurm and of other schedulers before they kill."""

_STOPPING = (
    "Stopping: waiting up to {:.0f} s for the parts in flight. Ctrl-C again stops now; those parts will be sent again."
)


class Signals:
    """Handles the signals of a command: during `stopping` they stop the upload, else they raise KeyboardInterrupt."""

    def __init__(self) -> None:
        self.count = 0
        self._stop: Callable[[], None] | None = None

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals while this context lasts; what is ignored (nohup) stays ignored."""
        self.count = 0
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def stopping(self, cancel: Callable[[bool], None], within: float, say: Callable[[str], None]) -> Iterator[None]:
        """Call `cancel(False)` at the first signal and `cancel(True)`, which is immediate, at the second."""
        saying: list[threading.Thread] = []

        def stop() -> None:
            immediately = self.count > 1
            cancel(immediately)
            text = "Stopping now." if immediately else _STOPPING.format(within)
            # A handler runs between two instructions of the main thread, which may be writing.
            saying.append(threading.Thread(target=say, args=(text,), daemon=True))
            saying[-1].start()

        self._stop = stop
        try:
            yield
        finally:
            self._stop = None
            for thread in saying:
                thread.join()  # before the last lines of the run are written

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let a signal raise KeyboardInterrupt although an upload is under way: a question is being asked."""
        stop, self._stop = self._stop, None
        try:
            yield
        finally:
            self._stop = stop

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._stop is None or self.count > 2:
            raise KeyboardInterrupt
        self._stop()


SIGNALS = Signals()
