"""The journal's tables: made if there are none, taken over from earlier versions, refused if they are spoilt."""

import contextlib
import sqlite3

SCHEMA_VERSION = 3

_UPLOADS = """
CREATE TABLE {} (
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
) STRICT"""
_INDEX = "CREATE INDEX uploads_by_target ON uploads (endpoint, destination, asked)"
_SCHEMA = (
    _UPLOADS.format("uploads"),
    _INDEX,
    """
CREATE TABLE starts (
    endpoint    TEXT NOT NULL,
    destination TEXT NOT NULL,
    asked       TEXT NOT NULL,
    name        TEXT NOT NULL,
    began       REAL NOT NULL,
    PRIMARY KEY (endpoint, destination, asked)
) STRICT, WITHOUT ROWID""",
    """
CREATE TABLE parts (
    upload   INTEGER NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    md5      TEXT,
    headers  TEXT NOT NULL,
    reported INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID""",
)
_FROM_VERSION_1 = (
    _UPLOADS.format("uploads_2"),
    """
INSERT INTO uploads_2 SELECT id, upload_id, endpoint, destination, asked, name, json_object('path', path, 'size', size,
    'device', device, 'inode', inode, 'mtime_ns', mtime_ns, 'ctime_ns', 0, 'tag', tag), 'fail', part_size, started,
    CASE completing WHEN 0 THEN NULL ELSE started END, 0 FROM uploads""",
    "DROP TABLE uploads",
    "ALTER TABLE uploads_2 RENAME TO uploads",
    _INDEX,
)
_FROM_VERSION_2 = ("ALTER TABLE uploads ADD COLUMN abandoned INTEGER NOT NULL DEFAULT 0",)

SELECT_UPLOADS = (
    "SELECT id, upload_id, endpoint, destination, asked, name, identity, if_exists, part_size, started, completing, "
    "abandoned FROM uploads "
)
_EVERY_COLUMN = (
    SELECT_UPLOADS + "LIMIT 0",
    "SELECT endpoint, destination, asked, name, began FROM starts LIMIT 0",
    "SELECT upload, number, size, md5, headers, reported FROM parts LIMIT 0",
)

# What speaks against the content of a database. Other codes are of trouble around it: locked, full, not permitted.
_SPOILT = (
    *(sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT),
    *(sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_TOOBIG),
)


class SpoiltError(Exception):
    """The journal cannot be used; the message goes on from “The journal”."""


def prepare(database: sqlite3.Connection) -> None:
    """Make the tables, or take them over. Raises SpoiltError, or sqlite3.Error if it says nothing of the content."""
    database.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    try:
        _prepare(database)
    except sqlite3.DatabaseError as error:
        if _code(error) not in _SPOILT:
            raise
        raise SpoiltError("was damaged") from error


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process has the database."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _prepare(database: sqlite3.Connection) -> None:
    if database.execute("PRAGMA journal_mode").fetchone() == ("wal",):  # an earlier version's
        with contextlib.suppress(sqlite3.OperationalError):  # another process has it open: a later one will do it
            database.execute("PRAGMA journal_mode = DELETE")
    if _version(database) < SCHEMA_VERSION:
        database.execute("BEGIN IMMEDIATE")
        version = _version(database)  # another process may have been faster
        if version < SCHEMA_VERSION:
            for statement in {0: _SCHEMA, 1: _FROM_VERSION_1}.get(version, _FROM_VERSION_2):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    if _version(database) > SCHEMA_VERSION:
        raise SpoiltError("was written by a later version of this program")
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA synchronous = NORMAL")
    if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise SpoiltError("was damaged")
    for query in _EVERY_COLUMN:
        database.execute(query)


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
