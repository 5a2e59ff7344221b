"""The resume record: which uploads are open, and which of their parts storage has, in SQLite, one per user.

What is committed here survives kill -9. After a power cut the last seconds may be missing (never half there); then
parts are compared with the server's list as if the journal had been lost. No token and no signed URL is ever kept.
"""

import contextlib
import functools
import json
import os
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import platformdirs

from cavatica_upload.destination import Destination
from cavatica_upload.disk import private_folder
from cavatica_upload.identity import Identity
from cavatica_upload.journal.database import SELECT_UPLOADS, DamagedError, open_database
from cavatica_upload.journal.records import Entry, SentPart
from cavatica_upload.journal.rows import entry_row, part_row, read_entry, read_part, target_text

Result = TypeVar("Result")


def state_dir(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of journal and receipts: `given`, else CAVATICA_STATE_DIR, else the user's state directory.

    A user who has no home folder, or one that cannot be written, has it in the folder for temporary files.
    """
    chosen = given or os.environ.get("CAVATICA_STATE_DIR")
    return Path(chosen) if chosen else _default_folder()[0]


def state_notice() -> str | None:
    """Return a sentence if journal and receipts are not where they usually are, None if they are."""
    return None if os.environ.get("CAVATICA_STATE_DIR") else _default_folder()[1]


def _default_folder() -> tuple[Path, str | None]:
    try:
        usual = platformdirs.user_state_path("cavatica-upload")
    except RuntimeError:  # neither HOME nor an entry in the list of users
        folder = _temporary_folder()
        return folder, f"The home folder is not known: journal and receipts are in {folder}."
    existing = next(path for path in (usual, *usual.parents) if path.exists())
    if os.access(existing, os.W_OK | os.X_OK):
        return usual, None
    folder = _temporary_folder()
    return folder, (
        f"{existing} cannot be written: journal and receipts are in {folder}. To keep them, set CAVATICA_STATE_DIR."
    )


@functools.cache
def _temporary_folder() -> Path:
    """Return this user's own folder, or a new one if somebody else made that."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(tempfile.gettempdir()) / f"cavatica-upload-{user}"
    with contextlib.suppress(OSError):
        private_folder(path)
    found = path.lstat() if path.exists() else None
    ours = found is not None and stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022
    return path if ours else Path(tempfile.mkdtemp(prefix="cavatica-upload-"))


class Journal:
    """The journal in a folder. Safe with several threads, and with several processes at once.

    Uploads work without it. When it cannot be opened, read or written, it switches itself off and tells `tell`, once:
    from then on it remembers nothing and knows nothing, and `trouble` says why. If it is damaged, it is set aside and
    begun anew; a row that cannot be read is passed over. Both are told, too.
    Raises ConfigError only, if a later version of this program wrote it.
    """

    def __init__(self, folder: Path, tell: Callable[[str], object] = lambda _text: None) -> None:
        self.path = folder / "journal.sqlite"
        self.trouble: str | None = None
        self._tell = tell
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._spoilt_told = False
        try:
            private_folder(folder)
            try:
                self._database = open_database(self.path)
            except DamagedError:
                aside = self._set_aside()
                self._database = open_database(self.path)
                tell(
                    f"The journal was damaged and is set aside as {aside}; a new one is begun. Uploads that were under "
                    "way can be resumed by their id: cavatica uploads list."
                )
        except (OSError, sqlite3.Error, DamagedError) as error:
            self._switch_off(f"The journal {self.path} cannot be opened: {error}.")

    def _set_aside(self) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        self.path.replace(aside)
        for suffix in ("-journal", "-wal", "-shm"):
            left = self.path.with_name(self.path.name + suffix)
            if left.exists():
                left.replace(aside.with_name(aside.name + suffix))
        return aside

    def _switch_off(self, trouble: str) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
        self._database = None
        self.trouble = trouble
        self._tell(
            f"{trouble} Uploads go on without it; one that is interrupted now can be resumed only by its id. "
            "Make room or get permission there, or set CAVATICA_STATE_DIR to another folder."
        )

    def _use(self, action: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        """Do something with the database; return `otherwise` if there is none, or it fails."""
        with self._lock:
            if self._database is None:
                return otherwise
            try:
                return action(self._database)
            except (sqlite3.Error, ValueError, OverflowError) as error:  # ValueError: text that is no Unicode
                self._switch_off(f"The journal {self.path} cannot be used: {error}.")
                return otherwise

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._use(lambda database: database.execute(query, values).fetchall(), [])

    def _change(self, *statements: tuple[str, Sequence[Sequence[object]]]) -> int:
        """Do each statement with each of its rows of values, all or none; return the id of the last row inserted."""

        def change(database: sqlite3.Connection) -> int:
            last = 0
            with _transaction(database):
                for statement, rows in statements:
                    for values in rows:
                        last = database.execute(statement, values).lastrowid or 0
            return last

        return self._use(change, 0)

    def _readable(self, read: Callable[[tuple[Any, ...]], Result], rows: list[tuple[Any, ...]]) -> Iterator[Result]:
        for row in rows:
            try:
                found = read(row)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                if not self._spoilt_told:
                    self._spoilt_told = True
                    self._tell(f"The journal {self.path} has entries that cannot be read; they are passed over.")
            else:
                yield found

    # Starts that were not answered

    def starting(self, endpoint: str, destination: Destination, asked: str, name: str, began: float) -> None:
        """Remember that an upload is about to be started at an epoch second; `add` or another start replaces this."""
        self._change(
            (
                "INSERT OR REPLACE INTO starts (endpoint, destination, asked, name, began) VALUES (?, ?, ?, ?, ?)",
                [(endpoint, target_text(destination), asked, name, began)],
            )
        )

    def unanswered(self, endpoint: str, destination: Destination, asked: str) -> tuple[str, float] | None:
        """Return the name and the moment of a start after which this machine did not live to see the answer."""
        rows = self._rows(
            "SELECT name, began FROM starts WHERE endpoint = ? AND destination = ? AND asked = ?",
            (endpoint, target_text(destination), asked),
        )
        return (rows[0][0], rows[0][1]) if rows and 0 <= rows[0][1] < _LATEST else None

    def refused(self, endpoint: str, destination: Destination, asked: str) -> None:
        """Forget a start that the server answered with no."""
        self._change((_ANSWERED, [(endpoint, target_text(destination), asked)]))

    # Uploads

    def add(self, entry: Entry) -> Entry:
        """Remember an upload that was just started; returns the entry with its key."""
        key = self._change(
            (_ANSWERED, [(entry.endpoint, target_text(entry.destination), entry.asked)]),
            (_ADD, [entry_row(entry)]),
        )
        return attrs.evolve(entry, key=key)

    def find(self, endpoint: str, destination: Destination, asked: str) -> list[Entry]:
        """Return the unfinished uploads to this destination under this name, the latest first."""
        rows = self._rows(
            SELECT_UPLOADS + "WHERE endpoint = ? AND destination = ? AND asked = ? ORDER BY id DESC",
            (endpoint, target_text(destination), asked),
        )
        return list(self._readable(read_entry, rows))

    def entries(self) -> list[Entry]:
        """Return all unfinished uploads, the latest first."""
        return list(self._readable(read_entry, self._rows(SELECT_UPLOADS + "ORDER BY id DESC")))

    def identify(self, entry: Entry, identity: Identity) -> Entry:
        """Remember the file as it is now, when its parts were proved to be its bytes; returns the entry."""
        changed = json.dumps(attrs.asdict(identity))
        self._change(("UPDATE uploads SET identity = ? WHERE id = ?", [(changed, entry.key)]))
        return attrs.evolve(entry, identity=identity)

    def mark_completing(self, entry: Entry, moment: str) -> None:
        """Remember the server's time of a completion: an upload that is gone later may have become a file."""
        self._change(("UPDATE uploads SET completing = ? WHERE id = ?", [(moment, entry.key)]))

    def abandon(self, entry: Entry) -> None:
        """Remember that an upload is of no use any more, and could not be aborted."""
        self._change(("UPDATE uploads SET abandoned = 1 WHERE id = ?", [(entry.key,)]))

    def forget(self, entry: Entry) -> None:
        """Forget an upload: it became a file, was aborted, or is gone on the server."""
        self._change(("DELETE FROM uploads WHERE id = ?", [(entry.key,)]))

    # Parts

    def parts(self, entry: Entry) -> dict[int, SentPart]:
        """Return the parts of an upload that storage took, by number."""
        rows = self._rows(
            "SELECT number, size, md5, headers, reported FROM parts WHERE upload = ? ORDER BY number", (entry.key,)
        )
        return {part.number: part for part in self._readable(read_part, rows)}

    def put(self, entry: Entry, part: SentPart) -> None:
        """Remember that storage took a part. A part is written here before it is reported."""
        if entry.key:
            self._change((_PUT, [part_row(entry, part)]))

    def mark_reported(self, entry: Entry, numbers: Sequence[int]) -> None:
        """Remember that the API was told of these parts."""
        rows = [(entry.key, number) for number in numbers]
        self._change(("UPDATE parts SET reported = 1 WHERE upload = ? AND number = ?", rows))

    def correct(self, entry: Entry, parts: Sequence[SentPart], stale: Sequence[int]) -> None:
        """Remember what a look at the server showed: it has these `parts`, and not the `stale` ones."""
        if entry.key and (parts or stale):
            self._change(
                (_PUT, [part_row(entry, part) for part in parts]),
                ("DELETE FROM parts WHERE upload = ? AND number = ?", [(entry.key, number) for number in stale]),
            )

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None


_ADD = (
    "INSERT OR REPLACE INTO uploads (upload_id, endpoint, destination, asked, name, identity, if_exists, part_size, "
    "started) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_LATEST = 2.0**35  # epoch seconds, beyond which no time can be meant
_ANSWERED = "DELETE FROM starts WHERE endpoint = ? AND destination = ? AND asked = ?"
_PUT = "INSERT OR REPLACE INTO parts (upload, number, size, md5, headers, reported) VALUES (?, ?, ?, ?, ?, ?)"


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # the error that led here is the one to tell
            database.execute("ROLLBACK")
        raise
