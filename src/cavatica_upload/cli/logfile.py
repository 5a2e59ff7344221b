"""The log file (--log-file), and the trace of an unexpected exception."""

import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from cavatica_upload.cli.format import visible
from cavatica_upload.cli.messages import sentence
from cavatica_upload.errors import UsageError, reason_of
from cavatica_upload.events import BytesSent, Event

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


def write_trace(error: BaseException) -> Path | None:
    """Write the trace of an unexpected exception to a file of its own and return its path, None if that fails."""
    from cavatica_upload.disk import private_folder, state_dir

    folder = state_dir() / "traces"
    path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
    try:
        private_folder(folder)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
    return path
