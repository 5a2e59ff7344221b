"""Where the state of the call budget lives: in this process, or in a file that all processes on the machine share."""

import contextlib
import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs

from cavatica_upload.budget.window import Window

T = TypeVar("T")
logger = logging.getLogger(__name__)

_FIELDS = tuple(field.name for field in attrs.fields(Window))
_COLUMNS = ", ".join(f'"{name}"' for name in _FIELDS)
_TABLE = f"windows_{zlib.crc32(_COLUMNS.encode()):08x}"  # versions with other fields do not meet in one table
_CREATE = f'CREATE TABLE IF NOT EXISTS {_TABLE} ("key" TEXT PRIMARY KEY, {_COLUMNS}) WITHOUT ROWID'
_SELECT = f'SELECT {_COLUMNS} FROM {_TABLE} WHERE "key" = ?'  # noqa: S608  (names of this module)
_WRITE = f'INSERT OR REPLACE INTO {_TABLE} ("key", {_COLUMNS}) VALUES (?{", ?" * len(_FIELDS)})'  # noqa: S608


class SharedWindow:
    """A Window that is changed by one thread, and one process, at a time.

    The file holds nothing that is worth an error: where it cannot be used (a full disk, a file system without locks)
    the state is kept in this process alone, and that is logged once.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self._path = path
        self._key = key
        self._lock = threading.Lock()
        self._window = Window()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def update(self, change: Callable[[Window], tuple[Window, T]]) -> tuple[Window, T]:
        """Replace the window by what `change` makes of it, and return both values of `change`."""
        with self._lock:
            if self._path is not None:
                try:
                    return self._update_file(self._path, change)
                except (sqlite3.Error, OSError) as error:
                    self._forget_file(error)
            self._window, value = change(self._window)
            return self._window, value

    def close(self) -> None:
        """Close the file; the next update opens it again."""
        with self._lock:
            self._close()

    def _update_file(self, path: Path, change: Callable[[Window], tuple[Window, T]]) -> tuple[Window, T]:
        connection = self._connect(path)
        connection.execute("BEGIN IMMEDIATE")
        try:
            row = connection.execute(_SELECT, (self._key,)).fetchone()
            before = Window(*row) if row else self._window
            after, value = change(before)
            if after is not before:
                connection.execute(_WRITE, (self._key, *(getattr(after, name) for name in _FIELDS)))
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        self._window = after
        return after, value

    def _connect(self, path: Path) -> sqlite3.Connection:
        if self._connection is not None and self._process == os.getpid():
            return self._connection
        self._connection = None  # that of the parent of a fork is the parent's to close
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            # A budget lost in a crash costs nothing, so nothing waits for the disk.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_CREATE)
        except BaseException:
            connection.close()
            raise
        self._connection, self._process = connection, os.getpid()
        return connection

    def _forget_file(self, error: Exception) -> None:
        if type(error) is sqlite3.DatabaseError and self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()  # no database: the next process makes it anew
        logger.warning("The call budget is not shared with other processes: %s: %s", self._path, error)
        self._path = None
        with contextlib.suppress(sqlite3.Error):
            self._close()

    def _close(self) -> None:
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
        self._connection = None
