"""The journal's tables, and how its file is opened: made where there is none, refused where it is damaged."""

import sqlite3
from pathlib import Path

from cavatica_upload.errors import ConfigError

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
CREATE TABLE starts (
    endpoint    TEXT NOT NULL,
    destination TEXT NOT NULL,
    asked       TEXT NOT NULL,
    name        TEXT NOT NULL,
    began       REAL NOT NULL,
    PRIMARY KEY (endpoint, destination, asked)
) STRICT, WITHOUT ROWID;
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


class DamagedError(Exception):
    """The file is no database, or a broken one."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database, with its tables. Raises DamagedError, ConfigError for a later version's, or sqlite3.Error."""
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(database, path)
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.DatabaseError) and _primary(error) not in _NOT_THE_FILE:
            raise DamagedError from error
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    version = _version(database)
    if version == 0:
        database.execute("PRAGMA synchronous = OFF")  # there is nothing yet that could be lost
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA foreign_keys = ON")
    if version == 0:
        database.execute("BEGIN IMMEDIATE")
        if _version(database) == 0:  # no other process was faster
            for statement in _SCHEMA.split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    elif version > SCHEMA_VERSION:
        raise ConfigError(
            f"The journal {path} was written by a later version of this program.",
            "Use that version, or set CAVATICA_STATE_DIR to another folder.",
        )
    database.execute("PRAGMA synchronous = NORMAL")
    if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise DamagedError


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
