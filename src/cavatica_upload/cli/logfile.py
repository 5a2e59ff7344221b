"""The log file: all that happens, with times; and a trace of what should not have happened."""

import logging
import os
import time
import traceback
from pathlib import Path

from cavatica_upload.cli.wording import sentence
from cavatica_upload.errors import UsageError
from cavatica_upload.events import BytesSent, Event
from cavatica_upload.journal.journal import state_dir

_LOGGER = logging.getLogger("cavatica_upload")


def open_log(path: Path) -> None:
    """Append what this package logs to a file from now on. Other packages' logs stay out: they may name signed URLs.

    Raises UsageError where the file cannot be written.
    """
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"The log file {path} cannot be written: {error.strerror}.", "Choose another.") from error
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.DEBUG)
    _LOGGER.propagate = False


def close_log() -> None:
    """Close the log file, where there is one."""
    for handler in list(_LOGGER.handlers):
        _LOGGER.removeHandler(handler)
        handler.close()


def log_event(event: Event) -> None:
    """Write an event to the log, where there is one."""
    if not isinstance(event, BytesSent) and _LOGGER.handlers:
        _LOGGER.info("%s", sentence(event))


def log_text(text: str) -> None:
    """Write a line to the log, where there is one."""
    if _LOGGER.handlers:
        _LOGGER.info("%s", text)


def write_trace(error: BaseException) -> Path | None:
    """Write the trace of an unexpected exception to a file of its own and return its path, None where that fails."""
    folder = state_dir() / "traces"
    path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
    return path
