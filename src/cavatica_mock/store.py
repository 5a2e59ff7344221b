"""The state in SQLite, in memory or in a file."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from cavatica_mock.records import File, Part, Piece, Upload

LAYOUT: Final = 1
TABLES: Final = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE root (folder TEXT PRIMARY KEY, project TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE upload (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL, project TEXT NOT NULL,
    parent TEXT NOT NULL, name TEXT NOT NULL, size INTEGER, part_size INTEGER NOT NULL, md5 TEXT,
    overwrite INTEGER NOT NULL, initiated REAL NOT NULL, key TEXT NOT NULL);
CREATE TABLE part (
    upload TEXT NOT NULL, number INTEGER NOT NULL, blob TEXT, size INTEGER, etag TEXT, report TEXT,
    PRIMARY KEY (upload, number)) WITHOUT ROWID;
CREATE TABLE file (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL, project TEXT NOT NULL,
    parent TEXT NOT NULL, name TEXT NOT NULL, folder INTEGER NOT NULL, size INTEGER, created REAL NOT NULL,
    modified REAL NOT NULL, metadata TEXT NOT NULL, tags TEXT NOT NULL, UNIQUE (parent, name));
CREATE TABLE piece (
    file TEXT NOT NULL, position INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (file, position)) WITHOUT ROWID;
CREATE TABLE deleted (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
EMPTY: Final = """
DELETE FROM setting; DELETE FROM root; DELETE FROM upload; DELETE FROM part; DELETE FROM file; DELETE FROM piece;
DELETE FROM deleted;
"""
SELECT_UPLOAD: Final = (
    "SELECT id, user, project, parent, name, size, part_size, md5, overwrite, initiated, key FROM upload"
)
INSERT_UPLOAD: Final = (
    "INSERT INTO upload (id, user, project, parent, name, size, part_size, md5, overwrite, initiated, key)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
SELECT_PART: Final = "SELECT number, blob, size, etag, report FROM part"
SELECT_FILE: Final = "SELECT id, user, project, parent, name, folder, size, created, modified, metadata, tags FROM file"
INSERT_FILE: Final = (
    "INSERT INTO file (id, user, project, parent, name, folder, size, created, modified, metadata, tags)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
COUNT_UPLOADS: Final = "SELECT count(*) FROM upload"
COUNT_FILES: Final = "SELECT count(*) FROM file"


class Store:
    """Rows in and out; it knows no rules. Raises sqlite3.Error (OperationalError: in use, or not writable)."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False, timeout=0.2)
        # One mock to a folder: the lock is the process's own and goes with it, kill -9 included.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        # WAL with NORMAL: a commit is in the kernel's hands when it returns, so a killed process loses nothing. Only a
        # power cut could take the last commits back (never tear them), and a mock need not pay an fsync for that.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        with self.transaction():
            if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {LAYOUT}")
            elif self._db.execute("PRAGMA user_version").fetchone()[0] != LAYOUT:
                raise sqlite3.DatabaseError("written by another version of cavatica-mock")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: all of it or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def clear(self) -> None:
        with self.transaction():
            for statement in EMPTY.split(";"):
                self._db.execute(statement)

    def setting(self, name: str, default: str) -> str:
        """The value kept under a name; the first default that is ever given stays."""
        self._db.execute("INSERT OR IGNORE INTO setting VALUES (?, ?)", (name, default))
        return str(self._db.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()[0])

    # Roots: the folder that stands for a project's top level.

    def add_root(self, folder: str, project: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO root VALUES (?, ?)", (folder, project))

    def project_of_root(self, folder: str) -> str | None:
        row = self._db.execute("SELECT project FROM root WHERE folder = ?", (folder,)).fetchone()
        return None if row is None else str(row[0])

    # Uploads and their parts.

    def add_upload(self, upload: Upload) -> None:
        self._db.execute(INSERT_UPLOAD, attrs.astuple(upload))

    def upload(self, upload_id: str) -> Upload | None:
        row = self._db.execute(SELECT_UPLOAD + " WHERE id = ?", (upload_id,)).fetchone()
        return None if row is None else _upload(row)

    def uploads(self, user: str | None, offset: int = 0, limit: int = -1) -> tuple[list[Upload], int]:
        """A page of a user's (None: everybody's) open uploads in the order they were started, and their number."""
        where, values = ("", ()) if user is None else (" WHERE user = ?", (user,))
        page = " ORDER BY position LIMIT ? OFFSET ?"
        rows = self._db.execute(SELECT_UPLOAD + where + page, (*values, limit, offset)).fetchall()
        total = self._db.execute(COUNT_UPLOADS + where, values).fetchone()[0]
        return [_upload(row) for row in rows], total

    def remove_upload(self, upload_id: str) -> None:
        self._db.execute("DELETE FROM part WHERE upload = ?", (upload_id,))
        self._db.execute("DELETE FROM upload WHERE id = ?", (upload_id,))

    def part(self, upload_id: str, number: int) -> Part | None:
        row = self._db.execute(SELECT_PART + " WHERE upload = ? AND number = ?", (upload_id, number)).fetchone()
        return None if row is None else _part(row)

    def parts(self, upload_id: str) -> list[Part]:
        """In the order of their numbers."""
        rows = self._db.execute(SELECT_PART + " WHERE upload = ? ORDER BY number", (upload_id,))
        return [_part(row) for row in rows]

    def keep_part(self, upload_id: str, number: int, blob: str, size: int, etag: str) -> None:
        self._db.execute(
            "INSERT INTO part (upload, number, blob, size, etag) VALUES (?, ?, ?, ?, ?) ON CONFLICT (upload, number)"
            " DO UPDATE SET blob = excluded.blob, size = excluded.size, etag = excluded.etag",
            (upload_id, number, blob, size, etag),
        )

    def keep_reports(self, upload_id: str, reports: Iterable[tuple[int, Mapping[str, object]]]) -> None:
        self._db.executemany(
            "INSERT INTO part (upload, number, report) VALUES (?, ?, ?) ON CONFLICT (upload, number)"
            " DO UPDATE SET report = excluded.report",
            [(upload_id, number, json.dumps(report)) for number, report in reports],
        )

    def reported(self, upload_id: str) -> int:
        row = self._db.execute("SELECT count(report) FROM part WHERE upload = ?", (upload_id,)).fetchone()
        return int(row[0])

    # Files, folders and what they consist of.

    def add_file(self, file: File, pieces: Sequence[Piece] = ()) -> None:
        values = attrs.astuple(file, recurse=False)[:9]
        self._db.execute(INSERT_FILE, (*values, json.dumps(file.metadata), json.dumps(file.tags)))
        rows = [(file.id, position, piece.blob, piece.size) for position, piece in enumerate(pieces)]
        self._db.executemany("INSERT INTO piece VALUES (?, ?, ?, ?)", rows)

    def change_file(self, file: File) -> None:
        self._db.execute(
            "UPDATE file SET name = ?, modified = ?, metadata = ?, tags = ? WHERE id = ?",
            (file.name, file.modified, json.dumps(file.metadata), json.dumps(file.tags), file.id),
        )

    def remove_file(self, file_id: str) -> None:
        self._db.execute("DELETE FROM piece WHERE file = ?", (file_id,))
        self._db.execute("DELETE FROM file WHERE id = ?", (file_id,))
        self._db.execute("INSERT OR IGNORE INTO deleted VALUES (?)", (file_id,))

    def was_deleted(self, file_id: str) -> bool:
        """True for a file or folder that was there once."""
        return self._db.execute("SELECT 1 FROM deleted WHERE id = ?", (file_id,)).fetchone() is not None

    def file(self, file_id: str) -> File | None:
        row = self._db.execute(SELECT_FILE + " WHERE id = ?", (file_id,)).fetchone()
        return None if row is None else _file(row)

    def find_file(self, parent: str, name: str) -> File | None:
        row = self._db.execute(SELECT_FILE + " WHERE parent = ? AND name = ?", (parent, name)).fetchone()
        return None if row is None else _file(row)

    def files(
        self, parent: str | None, names: Sequence[str] = (), offset: int = 0, limit: int = -1
    ) -> tuple[list[File], int]:
        """A page of a folder (None: of everything) in the order of creation, and the number of matches."""
        conditions, values = ["1"], []
        if parent is not None:
            conditions.append("parent = ?")
            values.append(parent)
        if names:
            conditions.append(f"name IN ({', '.join('?' * len(names))})")
            values.extend(names)
        where = " WHERE " + " AND ".join(conditions)
        page = " ORDER BY position LIMIT ? OFFSET ?"
        rows = self._db.execute(SELECT_FILE + where + page, (*values, limit, offset)).fetchall()
        total = self._db.execute(COUNT_FILES + where, values).fetchone()[0]
        return [_file(row) for row in rows], total

    def pieces(self, file_id: str) -> list[Piece]:
        rows = self._db.execute("SELECT blob, size FROM piece WHERE file = ? ORDER BY position", (file_id,))
        return [Piece(*row) for row in rows]

    def blobs(self) -> set[str]:
        """Every blob that a part or a file still uses."""
        rows = self._db.execute("SELECT blob FROM part WHERE blob IS NOT NULL UNION SELECT blob FROM piece")
        return {row[0] for row in rows}


def _upload(row: tuple[Any, ...]) -> Upload:
    upload_id, user, project, parent, name, size, part_size, md5, overwrite, initiated, key = row
    return Upload(upload_id, user, project, parent, name, size, part_size, md5, bool(overwrite), initiated, key)


def _part(row: tuple[Any, ...]) -> Part:
    number, blob, size, etag, report = row
    return Part(number, blob, size, etag, None if report is None else json.loads(report))


def _file(row: tuple[Any, ...]) -> File:
    file_id, user, project, parent, name, folder, size, created, modified, metadata, tags = row
    values = json.loads(metadata), tuple(json.loads(tags))
    return File(file_id, user, project, parent, name, bool(folder), size, created, modified, *values)
