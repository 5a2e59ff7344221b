"""The journal: an SQLite database for each user, with the unfinished uploads and their parts in storage.

Committed data survives kill -9. After a power cut the last commits may be missing, but none is there in part. Missing
parts are then found by comparing the file with the server's list. No token and no signed URL is stored.

WAL is not used, because its shared memory does not work on network file systems, and the nodes of a cluster may share
a home folder. The rollback journal is as safe and fast enough: there are only a few commits a second.
"""

import contextlib
import functools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import attrs
import filelock

from cavatica_upload.destination import Destination
from cavatica_upload.disk import private_folder
from cavatica_upload.errors import reason_of
from cavatica_upload.journal.records import Entry, part_from_row, part_row, target_text
from cavatica_upload.storage import SentPart

Result = TypeVar("Result")
Row: TypeAlias = Sequence[object] | Mapping[str, object]

BUSY_SECONDS = 3.0  # how long to wait for another process that uses the journal before the user is informed
BUSY_TRIES = 10  # of BUSY_SECONDS each
SCHEMA_VERSION = 4
_LATEST = 2.0**35  # epoch seconds; a later time is an error

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS uploads (
    id          INTEGER PRIMARY KEY,
    upload_id   TEXT NOT NULL,
    endpoint    TEXT NOT NULL,
    destination TEXT NOT NULL,
    asked       TEXT NOT NULL,
    name        TEXT NOT NULL,
    identity    TEXT NOT NULL,
    if_exists   TEXT NOT NULL,
    part_size   INTEGER NOT NULL,
    started     TEXT NOT NULL,
    completing  TEXT,
    abandoned   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (endpoint, upload_id)
) STRICT;
CREATE INDEX IF NOT EXISTS uploads_by_target ON uploads (endpoint, destination, asked);
CREATE TABLE IF NOT EXISTS starts (
    endpoint    TEXT NOT NULL,
    destination TEXT NOT NULL,
    asked       TEXT NOT NULL,
    name        TEXT NOT NULL,
    began       REAL NOT NULL,
    if_exists   TEXT NOT NULL,
    PRIMARY KEY (endpoint, destination, asked)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    upload   INTEGER NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    md5      TEXT,
    headers  TEXT NOT NULL,
    reported INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
_UPLOADS = "SELECT * FROM uploads "
_ADD_UPLOAD = (
    "INSERT OR REPLACE INTO uploads (upload_id, endpoint, destination, asked, name, identity, if_exists, part_size, "
    "started) VALUES (:upload_id, :endpoint, :destination, :requested_name, :name, :identity, :if_exists, :part_size, "
    ":started)"
)
_UPDATE_UPLOAD = (
    "UPDATE uploads SET identity = :identity, completing = :completing, abandoned = :abandoned WHERE id = :key"
)
_ADD_PART = "INSERT OR REPLACE INTO parts (upload, number, size, md5, headers, reported) VALUES (?, ?, ?, ?, ?, ?)"
_END_START = "DELETE FROM starts WHERE endpoint = ? AND destination = ? AND asked = ?"

# Errors of the content. Other errors come from around it: it is locked, the disk is full, access is denied.
_DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class _UnusableError(Exception):
    """The content of the journal cannot be used; the message continues “The journal”."""


class Journal:
    """The journal in a folder. Several threads and processes may use it at the same time.

    Uploads work without it. If it cannot be opened, read or written, it switches itself off: it then stores nothing and
    returns nothing, and `trouble` says why. If it is damaged, or another version of this program wrote it, it is
    renamed and a new one is made. A row that cannot be read is skipped. If another process uses it, this waits up to
    half a minute. `notice` receives each of these messages once.
    """

    def __init__(self, folder: Path, notice: Callable[[str], object] = lambda _text: None) -> None:
        self.path = folder / "journal.sqlite"
        self.trouble: str | None = None
        self._notice_once = functools.cache(notice)
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        try:
            private_folder(folder)
            try:
                self._database = self._when_free(self._open)
            except _UnusableError:
                with filelock.FileLock(folder / "journal.lock", timeout=BUSY_SECONDS):
                    self._database = self._when_free(self._open_or_replace)
        except (OSError, sqlite3.Error, _UnusableError) as error:
            self._switch_off("opened", error)

    def _open(self) -> sqlite3.Connection:
        """Open the database, and make it if there is none. Raises _UnusableError and sqlite3.Error."""
        with contextlib.suppress(FileExistsError):
            self.path.touch(exist_ok=False)
            self.path.chmod(0o600)  # whatever the umask is
        database = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level="IMMEDIATE", check_same_thread=False
        )
        database.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        try:
            _prepare(database)
        except BaseException as error:
            database.close()
            if isinstance(error, sqlite3.DatabaseError) and _code(error) in _DAMAGED:
                raise _UnusableError("was damaged") from error
            raise
        return database

    def _open_or_replace(self) -> sqlite3.Connection:
        try:
            return self._open()  # another process may have replaced it meanwhile
        except _UnusableError as error:
            stamp, number = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), 1
            while (aside := self.path.with_name(f"{self.path.name}.damaged-{stamp}-{number}")).exists():
                number += 1
            self.path.replace(aside)
            for suffix in ("-journal", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").replace(f"{aside}{suffix}")
            self._notice_once(
                f"The journal {error}. It was renamed to {aside}, and a new one was made. Unfinished uploads can be "
                "resumed by their IDs, which “cavatica uploads list” shows."
            )
            return self._open()

    def _switch_off(self, verb: str, error: Exception) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
        self._database = None
        self.trouble = f"The journal {self.path} cannot be {verb}: {reason_of(error)}."
        self._notice_once(
            f"{self.trouble} Uploads continue without it; if one is interrupted now, it can be resumed only by its ID. "
            "Make room or get permission there, or set CAVATICA_STATE_DIR to another folder."
        )

    def _when_free(self, action: Callable[[], Result]) -> Result:
        """Do `action`; retry while another process uses the database, and inform the user about the wait."""
        for left in reversed(range(BUSY_TRIES)):
            try:
                return action()
            except sqlite3.OperationalError as error:
                if _code(error) not in _BUSY or not left:
                    raise
            self._notice_once(
                f"Another process uses the journal {self.path}; waiting up to {BUSY_TRIES * BUSY_SECONDS:.0f} s for it."
            )
        raise AssertionError  # the last try returns or raises

    def _use(self, action: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        """Return the result of `action` on the database; `otherwise` if there is none or if it fails."""
        with self._lock:
            if self._database is None:
                return otherwise
            try:
                return self._when_free(functools.partial(action, self._database))
            except (sqlite3.Error, ValueError, OverflowError) as error:  # ValueError: text that is not Unicode
                self._switch_off("used", error)
                return otherwise

    def _read(
        self, read: Callable[[tuple[Any, ...]], Result], query: str, values: Sequence[object] = ()
    ) -> list[Result]:
        """Return the rows of a query as `read` converts them; rows that cannot be read are skipped."""
        found = []
        rows: list[tuple[Any, ...]] = self._use(lambda database: database.execute(query, values).fetchall(), [])
        for row in rows:
            try:
                found.append(read(row))
            except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
                self._notice_once(f"The journal {self.path} has entries that cannot be read; they are skipped.")
        return found

    def _change(self, *statements: tuple[str, Sequence[Row]]) -> int:
        """Run each statement with each of its rows, in one transaction; return the ID of the last inserted row."""

        def change(database: sqlite3.Connection) -> int:
            last = 0
            with database:
                for statement, rows in statements:
                    for values in rows:
                        last = database.execute(statement, values).lastrowid or 0
            return last

        return self._use(change, 0)

    # Starts without an answer

    def starting(
        self,
        endpoint: str,
        destination: Destination,
        requested_name: str,
        name: str,
        began: float,
        if_exists: str = "fail",
    ) -> None:
        """Note a start before it is sent, at `began` (epoch seconds); `add` or the next start replaces the note."""
        self._change(
            (
                "INSERT OR REPLACE INTO starts VALUES (?, ?, ?, ?, ?, ?)",
                [(endpoint, target_text(destination), requested_name, name, began, if_exists)],
            )
        )

    def unanswered(self, endpoint: str, destination: Destination, requested_name: str) -> tuple[str, float, str] | None:
        """Return the name, time and `if_exists` of a start whose answer did not arrive; None if there is none."""
        found = self._read(
            lambda row: (str(row[0]), float(row[1]), str(row[2])),
            "SELECT name, began, if_exists FROM starts WHERE endpoint = ? AND destination = ? AND asked = ?",
            (endpoint, target_text(destination), requested_name),
        )
        return found[0] if found and 0 <= found[0][1] < _LATEST else None

    def refused(self, endpoint: str, destination: Destination, requested_name: str) -> None:
        """Remove the note of a start that the server refused."""
        self._change((_END_START, [(endpoint, target_text(destination), requested_name)]))

    # Uploads

    def add(self, entry: Entry) -> Entry:
        """Add an upload that has started; return the entry with its key."""
        key = self._change(
            (_END_START, [(entry.endpoint, target_text(entry.destination), entry.requested_name)]),
            (_ADD_UPLOAD, [entry.row()]),
        )
        return attrs.evolve(entry, key=key)

    def find(self, endpoint: str, destination: Destination, requested_name: str) -> list[Entry]:
        """Return the unfinished uploads to this destination under this name, the latest first."""
        return self._read(
            Entry.from_row,
            _UPLOADS + "WHERE endpoint = ? AND destination = ? AND asked = ? ORDER BY id DESC",
            (endpoint, target_text(destination), requested_name),
        )

    def entries(self) -> list[Entry]:
        """Return all unfinished uploads, the latest first."""
        return self._read(Entry.from_row, _UPLOADS + "ORDER BY id DESC")

    def update(self, entry: Entry, **changes: Any) -> Entry:
        """Change `identity`, `completing` or `abandoned` of an upload; return the new entry."""
        entry = attrs.evolve(entry, **changes)
        self._change((_UPDATE_UPLOAD, [entry.row()]))
        return entry

    def forget(self, entry: Entry) -> None:
        """Delete an upload that was completed, was aborted, or is gone on the server."""
        self._change(("DELETE FROM uploads WHERE id = ?", [(entry.key,)]))

    # Parts

    def parts(self, entry: Entry) -> dict[int, SentPart]:
        """Return the parts of an upload that are in storage, by number."""
        query = "SELECT number, size, md5, headers, reported FROM parts WHERE upload = ? ORDER BY number"
        return {part.number: part for part in self._read(part_from_row, query, (entry.key,))}

    def put(self, entry: Entry, *parts: SentPart, stale: Iterable[int] = ()) -> None:
        """Add or replace parts, and delete the `stale` ones by number. A part must be here before it is reported."""
        if entry.key:
            self._change(
                (_ADD_PART, [(entry.key, *part_row(part)) for part in parts]),
                ("DELETE FROM parts WHERE upload = ? AND number = ?", [(entry.key, number) for number in stale]),
            )

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None


def _prepare(database: sqlite3.Connection) -> None:
    """Make the tables if there are none, and check them."""
    if _version(database) == 0:
        database.executescript(_SCHEMA)
    version = _version(database)
    if version != SCHEMA_VERSION:
        age = "a later" if version > SCHEMA_VERSION else "an earlier"
        raise _UnusableError(f"was written by {age} version of this program")
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA synchronous = NORMAL")
    with contextlib.closing(sqlite3.connect(":memory:")) as new:
        new.executescript(_SCHEMA)
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",) or _columns(database) != _columns(new):
            raise _UnusableError("was damaged")


def _columns(database: sqlite3.Connection) -> list[list[str]]:
    tables = ("uploads", "starts", "parts")
    return [[row[1] for row in database.execute(f"PRAGMA table_info({table})")] for table in tables]


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
