"""The journal's tables: made if there are none, refused if they are spoilt or of another version."""

import sqlite3

SCHEMA_VERSION = 4

_SCHEMA = (
    """
CREATE TABLE uploads (
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
) STRICT""",
    "CREATE INDEX uploads_by_target ON uploads (endpoint, destination, asked)",
    """
CREATE TABLE starts (
    endpoint    TEXT NOT NULL,
    destination TEXT NOT NULL,
    asked       TEXT NOT NULL,
    name        TEXT NOT NULL,
    began       REAL NOT NULL,
    if_exists   TEXT NOT NULL,
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

SELECT_UPLOADS = (
    "SELECT id, upload_id, endpoint, destination, asked, name, identity, if_exists, part_size, started, completing, "
    "abandoned FROM uploads "
)
_EVERY_COLUMN = (
    SELECT_UPLOADS + "LIMIT 0",
    "SELECT endpoint, destination, asked, name, began, if_exists FROM starts LIMIT 0",
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
    """Make the tables, or check them. Raises SpoiltError, or sqlite3.Error if it says nothing of the content."""
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
    if _version(database) == 0:
        database.execute("BEGIN IMMEDIATE")
        if _version(database) == 0:  # another process may have been faster
            for statement in _SCHEMA:
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    version = _version(database)
    if version != SCHEMA_VERSION:
        age = "a later" if version > SCHEMA_VERSION else "an earlier"
        raise SpoiltError(f"was written by {age} version of this program")
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
