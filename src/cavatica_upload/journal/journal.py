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
from cavatica_upload.errors import CavaticaError
from cavatica_upload.journal.database import DamagedError, open_database
from cavatica_upload.journal.records import Entry, SentPart
from cavatica_upload.sources.base import Identity


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
            self._database = open_database(self.path)
        except DamagedError:
            self.damaged = self._set_aside()
            self._database = open_database(self.path)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(
                f"The journal {self.path} cannot be opened: {error}.",
                "Make room or get permission there, or set CAVATICA_STATE_DIR to another folder.",
            ) from error

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

    def starting(self, endpoint: str, destination: Destination, asked: str, name: str, began: float) -> None:
        """Remember that an upload is about to be started at an epoch second; `add` or another start replaces this."""
        with self._guarded() as database:
            database.execute(
                "INSERT OR REPLACE INTO starts (endpoint, destination, asked, name, began) VALUES (?, ?, ?, ?, ?)",
                (endpoint, _target(destination), asked, name, began),
            )

    def unanswered(self, endpoint: str, destination: Destination, asked: str) -> tuple[str, float] | None:
        """Return the name and the moment of a start after which this machine did not live to see the answer."""
        with self._guarded() as database:
            row = database.execute(
                "SELECT name, began FROM starts WHERE endpoint = ? AND destination = ? AND asked = ?",
                (endpoint, _target(destination), asked),
            ).fetchone()
        return None if row is None else (row[0], row[1])

    def refused(self, endpoint: str, destination: Destination, asked: str) -> None:
        """Forget a start that the server answered with no."""
        with self._guarded() as database:
            database.execute(
                "DELETE FROM starts WHERE endpoint = ? AND destination = ? AND asked = ?",
                (endpoint, _target(destination), asked),
            )

    def add(self, entry: Entry) -> Entry:
        """Remember an upload that was just started; returns the entry with its key."""
        identity = entry.identity
        with self._guarded() as database, _transaction(database):
            database.execute(
                "DELETE FROM starts WHERE endpoint = ? AND destination = ? AND asked = ?",
                (entry.endpoint, _target(entry.destination), entry.asked),
            )
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


_SELECT = (
    "SELECT id, upload_id, endpoint, destination, asked, name, path, size, device, inode, mtime_ns, tag, part_size, "
    "started, completing FROM uploads "
)


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
