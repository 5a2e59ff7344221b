"""The resume record: which uploads are open, and which of their parts storage has, in SQLite (WAL), one per user.

What is committed here survives kill -9. After a power cut the last seconds may be missing (never half there); then
parts are compared with the server's list as if the journal had been lost. No token and no signed URL is ever kept.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import platformdirs

from cavatica_upload.destination import Destination
from cavatica_upload.errors import CavaticaError, ConfigError
from cavatica_upload.records import Entry, SentPart
from cavatica_upload.sources import Identity

SCHEMA_VERSION = 1
BUSY_SECONDS = 30.0  # how long to wait for another process's write

_SCHEMA = """
CREATE TABLE uploads (
    id          INTEGER PRIMARY KEY,
    upload_id   TEXT NOT NULL,
    endpoint    TEXT NOT NULL,
    destination TEXT NOT NULL,
    asked       TEXT NOT NULL,
    name        TEXT NOT NULL,
    path        TEXT NOT NULL,
    size        INTEGER NOT NULL,
    device      TEXT NOT NULL,
    inode       TEXT NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    tag         TEXT NOT NULL,
    part_size   INTEGER NOT NULL,
    started     TEXT NOT NULL,
    completing  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (endpoint, upload_id)
) STRICT;
CREATE INDEX uploads_by_target ON uploads (endpoint, destination, asked);
CREATE TABLE parts (
    upload   INTEGER NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    md5      TEXT,
    headers  TEXT NOT NULL,
    reported INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
"""


class JournalError(CavaticaError):
    """The journal cannot be read or written; uploads work without it, but cannot be resumed as cheaply."""


def state_dir(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of journal and receipts: `given`, else CAVATICA_STATE_DIR, else the user's state directory."""
    if given is not None:
        return Path(given)
    from_environment = os.environ.get("CAVATICA_STATE_DIR")
    return Path(from_environment) if from_environment else platformdirs.user_state_path("cavatica-upload")


class Journal:
    """The journal in a folder. Safe with several threads, and with several processes at once.

    A journal that is damaged is set aside (`damaged` is then its new path) and begun anew. Raises ConfigError where a
    later version of this program wrote it, JournalError where it cannot be opened or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.sqlite"
        self.damaged: Path | None = None
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = self._open()
        except _DamagedError:
            self.damaged = self._set_aside()
            self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            raise JournalError(
                f"The journal {self.path} cannot be opened: {error}.",
                "Make room or get permission there, or set CAVATICA_STATE_DIR to another folder.",
            ) from error

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(database)
        except BaseException as error:
            database.close()
            if isinstance(error, sqlite3.DatabaseError) and _primary(error) not in _NOT_THE_FILE:
                raise _DamagedError from error
            raise
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA foreign_keys = ON")
        version = _version(database)
        if version == 0:
            database.execute("BEGIN IMMEDIATE")
            if _version(database) == 0:  # no other process was faster
                for statement in _SCHEMA.split(";\n"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("COMMIT")
        elif version > SCHEMA_VERSION:
            raise ConfigError(
                f"The journal {self.path} was written by a later version of this program.",
                "Use that version, or set CAVATICA_STATE_DIR to another folder.",
            )
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise _DamagedError

    def _set_aside(self) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        self.path.replace(aside)
        for suffix in ("-wal", "-shm"):
            left = self.path.with_name(self.path.name + suffix)
            if left.exists():
                left.replace(aside.with_name(aside.name + suffix))
        return aside

    @contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._database
            except sqlite3.Error as error:
                raise JournalError(
                    f"The journal {self.path} cannot be used: {error}.",
                    "Make room or get permission there, or set CAVATICA_STATE_DIR to another folder.",
                ) from error

    def add(self, entry: Entry) -> Entry:
        """Remember an upload that was just started; returns the entry with its key."""
        identity = entry.identity
        with self._guarded() as database:
            cursor = database.execute(
                "INSERT OR REPLACE INTO uploads (upload_id, endpoint, destination, asked, name, path, size, device, "
                "inode, mtime_ns, tag, part_size, started) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    entry.upload_id,
                    entry.endpoint,
                    _target(entry.destination),
                    entry.asked,
                    entry.name,
                    identity.path,
                    identity.size,
                    str(identity.device),
                    str(identity.inode),
                    identity.mtime_ns,
                    identity.tag,
                    entry.part_size,
                    entry.started,
                ),
            )
        return attrs.evolve(entry, key=cursor.lastrowid or 0)

    def find(self, endpoint: str, destination: Destination, asked: str) -> list[Entry]:
        """Return the unfinished uploads to this destination under this name, the latest first."""
        with self._guarded() as database:
            rows = database.execute(
                _SELECT + "WHERE endpoint = ? AND destination = ? AND asked = ? ORDER BY id DESC",
                (endpoint, _target(destination), asked),
            ).fetchall()
        return [_entry(row) for row in rows]

    def entries(self) -> list[Entry]:
        """Return all unfinished uploads, the latest first."""
        with self._guarded() as database:
            rows = database.execute(_SELECT + "ORDER BY id DESC").fetchall()
        return [_entry(row) for row in rows]

    def parts(self, entry: Entry) -> dict[int, SentPart]:
        """Return the parts of an upload that storage took, by number."""
        with self._guarded() as database:
            rows = database.execute(
                "SELECT number, size, md5, headers, reported FROM parts WHERE upload = ? ORDER BY number", (entry.key,)
            ).fetchall()
        return {row[0]: SentPart(row[0], row[1], row[2], json.loads(row[3]), bool(row[4])) for row in rows}

    def put(self, entry: Entry, part: SentPart) -> None:
        """Remember that storage took a part. A part is written here before it is reported."""
        with self._guarded() as database:
            database.execute(_PUT, _part_row(entry, part))

    def mark_reported(self, entry: Entry, numbers: list[int]) -> None:
        """Remember that the API was told of these parts."""
        with self._guarded() as database, _transaction(database):
            database.executemany(
                "UPDATE parts SET reported = 1 WHERE upload = ? AND number = ?",
                [(entry.key, number) for number in numbers],
            )

    def correct(self, entry: Entry, parts: list[SentPart], stale: list[int]) -> None:
        """Remember what a look at the server showed: it has these `parts`, and not the `stale` ones."""
        with self._guarded() as database, _transaction(database):
            database.executemany(_PUT, [_part_row(entry, part) for part in parts])
            database.executemany(
                "DELETE FROM parts WHERE upload = ? AND number = ?", [(entry.key, number) for number in stale]
            )

    def mark_completing(self, entry: Entry) -> None:
        """Remember that completion was asked for: an upload that is gone later may have become a file."""
        with self._guarded() as database:
            database.execute("UPDATE uploads SET completing = 1 WHERE id = ?", (entry.key,))

    def forget(self, entry: Entry) -> None:
        """Forget an upload: it became a file, was aborted, or is gone on the server."""
        with self._guarded() as database:
            database.execute("DELETE FROM uploads WHERE id = ?", (entry.key,))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()


class _DamagedError(Exception):
    """The file is no database, or a broken one."""


_SELECT = (
    "SELECT id, upload_id, endpoint, destination, asked, name, path, size, device, inode, mtime_ns, tag, part_size, "
    "started, completing FROM uploads "
)


_NOT_THE_FILE = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Trouble around a database (locked, full, not permitted) that says nothing against what is in it."""
_PUT = "INSERT OR REPLACE INTO parts (upload, number, size, md5, headers, reported) VALUES (?, ?, ?, ?, ?, ?)"


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _part_row(entry: Entry, part: SentPart) -> tuple[object, ...]:
    return entry.key, part.number, part.size, part.md5, json.dumps(dict(part.headers)), int(part.reported)


def _entry(row: tuple[Any, ...]) -> Entry:
    key, upload_id, endpoint, target, asked, name, path, size, device, inode, mtime_ns, tag, part_size = row[:13]
    return Entry(
        key=key,
        upload_id=upload_id,
        endpoint=endpoint,
        destination=_destination(target),
        asked=asked,
        name=name,
        identity=Identity(path, size, int(device), int(inode), mtime_ns, tag),
        part_size=part_size,
        started=row[13],
        completing=bool(row[14]),
    )


def _target(destination: Destination) -> str:
    return f"project:{destination.project}" if destination.project is not None else f"parent:{destination.parent}"


def _destination(target: str) -> Destination:
    kind, _, value = target.partition(":")
    return Destination(project=value) if kind == "project" else Destination(parent=value)


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
