"""What the mock keeps in SQLite, in memory or in a file: uploads, parts, files and folders, and their ids."""

import hashlib
import json
import random
import sqlite3
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

R = TypeVar("R", bound=attrs.AttrsInstance)

ALPHANUMERIC: Final = string.ascii_letters + string.digits
HEXADECIMAL: Final = "0123456789abcdef"


def _decoded(value: Any) -> Any:
    """A value that SQLite has as JSON."""
    return json.loads(value) if isinstance(value, str) else value


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(_decoded(value))


@attrs.frozen
class Upload:
    """An open upload. Times are seconds since 1970, sizes are bytes."""

    id: str
    user: str
    project: str
    parent: str
    name: str
    size: int | None
    part_size: int
    md5: str | None
    overwrite: bool = attrs.field(converter=bool)
    initiated: float
    key: str  # the object's name in storage


@attrs.frozen
class Part:
    """What is known of one part number: what storage holds, what was reported, or both."""

    number: int
    blob: str | None = None
    size: int | None = None
    etag: str | None = None
    report: Mapping[str, Any] | None = attrs.field(default=None, converter=_decoded)


@attrs.frozen
class File:
    """A file, or a folder (`size` is None)."""

    id: str
    user: str
    project: str
    parent: str
    name: str
    folder: bool = attrs.field(converter=bool)
    size: int | None
    created: float
    modified: float
    metadata: Mapping[str, object] = attrs.field(converter=_decoded)
    tags: tuple[str, ...] = attrs.field(converter=_strings)


@attrs.frozen
class Piece:
    """One of the blobs that a file consists of, in order."""

    blob: str
    size: int


class Ids:
    """Makes ids in the platform's forms: with a seed, the same ones in the same order."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self.restart()

    def restart(self) -> None:
        """Begin the sequence of the seed again."""
        self._random: random.Random = random.SystemRandom() if self._seed is None else random.Random(self._seed)  # noqa: S311
        self.secret = self._make(HEXADECIMAL, 64)

    def upload(self, find: Callable[[str], object] | None = None) -> str:
        """64 letters and digits, as in the vendor's examples; never an id that `find` finds."""
        return self._make(ALPHANUMERIC, 64, find)

    def file(self, find: Callable[[str], object] | None = None) -> str:
        """24 hexadecimal digits, for files and folders; never an id that `find` finds."""
        return self._make(HEXADECIMAL, 24, find)

    def _make(self, alphabet: str, length: int, find: Callable[[str], object] | None = None) -> str:
        while True:  # with a seed, ids repeat if a kept folder is served again
            made = "".join(self._random.choices(alphabet, k=length))
            if find is None or find(made) is None:
                return made


def root_folder(project: str) -> str:
    """The id of a project's root folder: always the same for the same project."""
    return hashlib.sha256(f"root of {project}".encode()).hexdigest()[:24]


def project_uuid(project: str) -> str:
    """The name of a project's root folder, which a file's `path` begins with."""
    digits = hashlib.sha256(f"uuid of {project}".encode()).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def _columns(record: type[attrs.AttrsInstance]) -> str:
    """The columns of a record's table: they have the names of its attributes."""
    return ", ".join(attrs.fields_dict(record))


LAYOUT: Final = 1
TABLES: Final = {
    "setting": "name PRIMARY KEY, value",
    "root": "folder PRIMARY KEY, project",
    "upload": f"position INTEGER PRIMARY KEY, {_columns(Upload)}, UNIQUE (id)",
    "part": f"upload, {_columns(Part)}, PRIMARY KEY (upload, number)",
    "file": f"position INTEGER PRIMARY KEY, {_columns(File)}, UNIQUE (id), UNIQUE (parent, name)",
    "piece": f"file, position, {_columns(Piece)}, PRIMARY KEY (file, position)",
    "deleted": "id PRIMARY KEY",
}


class Store:
    """Rows in and out; it knows no rules. Raises sqlite3.Error (OperationalError: in use, or not writable)."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False, timeout=0.2)
        # One mock for each folder: the lock belongs to the process and ends with it, kill -9 included.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        # WAL with NORMAL: the kernel has a commit when it returns, so a killed process loses nothing. Only a power cut
        # could take the last commits back (never tear them); a mock need not pay an fsync for that.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        with self.transaction():
            layout = self._db.execute("PRAGMA user_version").fetchone()[0]
            if layout == 0:
                for table, columns in TABLES.items():
                    self._db.execute(f"CREATE TABLE {table} ({columns})")
                self._db.execute(f"PRAGMA user_version = {LAYOUT}")
            elif layout != LAYOUT:
                raise sqlite3.DatabaseError("written by another version of cavatica-mock")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def clear(self) -> None:
        """Delete everything but the settings."""
        with self.transaction():
            for table in TABLES.keys() - {"setting"}:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608

    def setting(self, name: str, default: str) -> str:
        """The value kept under a name. The first default stays."""
        self._db.execute("INSERT OR IGNORE INTO setting VALUES (?, ?)", (name, default))
        return str(self._db.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()[0])

    # Root folders of projects.

    def add_root(self, folder: str, project: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO root VALUES (?, ?)", (folder, project))

    def project_of_root(self, folder: str) -> str | None:
        row = self._db.execute("SELECT project FROM root WHERE folder = ?", (folder,)).fetchone()
        return None if row is None else str(row[0])

    # Uploads and their parts.

    def add_upload(self, upload: Upload) -> None:
        self._insert(upload)

    def upload(self, upload_id: str) -> Upload | None:
        return self._one(Upload, "id = ?", upload_id)

    def uploads(self, user: str | None, offset: int = 0, limit: int = -1) -> tuple[list[Upload], int]:
        """A page of a user's (None: everybody's) open uploads in the order they were started, and their number."""
        return self._page(Upload, {} if user is None else {"user = ?": (user,)}, offset, limit)

    def remove_upload(self, upload_id: str) -> None:
        self._db.execute("DELETE FROM part WHERE upload = ?", (upload_id,))
        self._db.execute("DELETE FROM upload WHERE id = ?", (upload_id,))

    def part(self, upload_id: str, number: int) -> Part | None:
        return self._one(Part, "upload = ? AND number = ?", upload_id, number)

    def parts(self, upload_id: str) -> list[Part]:
        """In the order of their numbers."""
        query = f"SELECT {_columns(Part)} FROM part WHERE upload = ? ORDER BY number"  # noqa: S608
        return [Part(*row) for row in self._db.execute(query, (upload_id,))]

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

    # Files, folders and what they consist of.

    def add_file(self, file: File, pieces: Sequence[Piece] = ()) -> None:
        self._insert(file)
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
        return self._db.execute("SELECT 1 FROM deleted WHERE id = ?", (file_id,)).fetchone() is not None

    def file(self, file_id: str) -> File | None:
        return self._one(File, "id = ?", file_id)

    def find_file(self, parent: str, name: str) -> File | None:
        return self._one(File, "parent = ? AND name = ?", parent, name)

    def files(
        self, parent: str | None, names: Sequence[str] = (), offset: int = 0, limit: int = -1
    ) -> tuple[list[File], int]:
        """A page of a folder (None: of everything) in the order of creation, and the number of matches."""
        conditions: dict[str, Sequence[str]] = {} if parent is None else {"parent = ?": (parent,)}
        if names:
            conditions[f"name IN ({', '.join('?' * len(names))})"] = names
        return self._page(File, conditions, offset, limit)

    def pieces(self, file_id: str) -> list[Piece]:
        rows = self._db.execute("SELECT blob, size FROM piece WHERE file = ? ORDER BY position", (file_id,))
        return [Piece(*row) for row in rows]

    def blobs(self) -> set[str]:
        """Every blob that a part or a file still uses."""
        rows = self._db.execute("SELECT blob FROM part WHERE blob IS NOT NULL UNION SELECT blob FROM piece")
        return {row[0] for row in rows}

    def _insert(self, record: Upload | File) -> None:
        values = [
            json.dumps(each) if isinstance(each, dict | tuple) else each
            for each in attrs.astuple(record, recurse=False)
        ]
        marks = ", ".join("?" * len(values))
        kind = type(record)
        self._db.execute(f"INSERT INTO {kind.__name__} ({_columns(kind)}) VALUES ({marks})", values)  # noqa: S608

    def _one(self, kind: type[R], condition: str, *values: object) -> R | None:
        query = f"SELECT {_columns(kind)} FROM {kind.__name__} WHERE {condition}"  # noqa: S608
        row = self._db.execute(query, values).fetchone()
        return None if row is None else kind(*row)

    def _page(
        self, kind: type[R], conditions: Mapping[str, Sequence[str]], offset: int, limit: int
    ) -> tuple[list[R], int]:
        matching = f"FROM {kind.__name__} WHERE {' AND '.join(('1', *conditions))}"
        values = [value for each in conditions.values() for value in each]
        query = f"SELECT {_columns(kind)} {matching} ORDER BY position LIMIT ? OFFSET ?"
        rows = self._db.execute(query, (*values, limit, offset)).fetchall()
        total = self._db.execute(f"SELECT count(*) {matching}", values).fetchone()[0]
        return [kind(*row) for row in rows], total
