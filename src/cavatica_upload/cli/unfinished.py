"""Finds the unfinished uploads: what the server and the journal of this machine know of each."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from cavatica_upload.cli.messages import time_text
from cavatica_upload.cli.options import Connection
from cavatica_upload.cli.output import Output
from cavatica_upload.errors import CavaticaError, UploadGone
from cavatica_upload.plan import Plan, count_text
from cavatica_upload.timing import utc_text

if TYPE_CHECKING:
    from cavatica_upload.api import Api
    from cavatica_upload.api.records import Upload, UploadSummary
    from cavatica_upload.journal.journal import Journal
    from cavatica_upload.journal.records import Entry

MOST_FOLDERS = 20  # the most folders whose names are requested; for the others the ID is shown


@contextmanager
def open_journal(output: Output) -> Iterator["Journal"]:
    """Open the user's journal; if that fails, warn and yield an empty one."""
    from cavatica_upload.disk import state_dir, state_notice
    from cavatica_upload.journal.journal import Journal

    notice = state_notice()
    if notice:
        output.warn(notice)
    with closing(Journal(state_dir(), output.warn)) as journal:
        yield journal


@attrs.frozen
class UnfinishedUpload:
    """An unfinished upload, as the server and the journal know it: `server` or `entry` is None if only one does.

    `place` is the project or folder that the file goes to. `sent` is the number of parts sent from this machine.
    """

    upload_id: str
    server: "UploadSummary | None"
    entry: "Entry | None"
    place: str
    sent: int | None

    @property
    def started(self) -> datetime | None:
        """The time of the start, None if the server does not know it."""
        return self.server.initiated if self.server else None

    @property
    def age(self) -> float | None:
        """Seconds since the start."""
        return max(0.0, (datetime.now(UTC) - self.started).total_seconds()) if self.started else None

    @property
    def age_text(self) -> str:
        if self.age is not None:
            return f"{time_text(self.age)} old"
        return "age not known" if self.server else "not on the server"

    @property
    def name(self) -> str | None:
        return (self.server and self.server.name) or (self.entry.name if self.entry else None)

    @property
    def part_count(self) -> int | None:
        """The number of all parts, None if the journal does not know the upload."""
        return Plan(self.entry.identity.size, self.entry.part_size).count if self.entry else None

    def record(self, **more: object) -> dict[str, Any]:
        """Return it as --json shows it, with what only one of the commands shows."""
        return {
            "event": "upload",
            "upload_id": self.upload_id,
            "name": self.name,
            "destination": self.place,
            "initiated": utc_text(self.started) if self.started else None,
            "begun_here": self.entry is not None,
            "path": self.entry.identity.path if self.entry else None,
            "size": self.entry.identity.size if self.entry else None,
            **more,
        }

    def summary(self) -> dict[str, Any]:
        """Return it as the lists show it under --json."""
        part_size = self.entry.part_size if self.entry else None
        return self.record(on_server=self.server is not None, part_size=part_size, parts_sent=self.sent)

    def row(self) -> tuple[str, ...]:
        """Return its row in the list."""
        if self.entry is None:
            here = "not started here"
        elif self.entry.abandoned:
            here = f"given up, but could not be aborted; from {self.entry.identity.path}"
        else:
            here = f"{self.sent} of {count_text(self.part_count or 1, 'part')} sent from {self.entry.identity.path}"
        return self.upload_id, self.age_text, self.place, self.name or "", here


class UnfinishedUploads:
    """The unfinished uploads: those on the server, and the `entries` of this machine's journal, by upload ID."""

    def __init__(self, api: "Api", journal: "Journal") -> None:
        self.api = api
        self.journal = journal
        self.entries = {entry.upload_id: entry for entry in journal.entries() if entry.endpoint == api.endpoint}
        self._places: dict[str, str] = {}

    def list(self, *, mine: bool) -> Iterator[UnfinishedUpload]:
        """Yield the uploads on the server, then those that only the journal has; `mine`: only those in the journal."""
        missing = dict(self.entries)
        for summary in self.api.list_uploads():
            entry = missing.pop(summary.upload_id, None)
            if entry or not mine:
                yield self.combine(summary.upload_id, summary, entry)
        for entry in missing.values():
            yield self.combine(entry.upload_id, None, entry)

    def get(self, upload_id: str, *, list_parts: bool = False) -> "Upload":
        """Return an upload from the server; raises UploadGone, with where to look."""
        try:
            return self.api.get_upload(upload_id, list_parts=list_parts)
        except UploadGone as error:
            raise gone(upload_id) from error

    def combine(self, upload_id: str, server: "UploadSummary | None", entry: "Entry | None") -> UnfinishedUpload:
        """Return what both sides know of an upload."""
        at = server or (entry and entry.destination)
        place = self._place(at.project, at.parent) if at else ""
        return UnfinishedUpload(upload_id, server, entry, place, len(self.journal.parts(entry)) if entry else None)

    def _place(self, project: str | None, folder_id: str | None) -> str:
        """Return a project, or the path of a folder with its project; each folder is requested once."""
        if not folder_id:
            return project or ""
        if folder_id not in self._places:
            self._places[folder_id] = f"folder {folder_id}"  # until more is known; also if folders go in circles
            with suppress(CavaticaError):
                folder = self.api.get_file(folder_id) if len(self._places) <= MOST_FOLDERS else None
                if folder is not None and folder.project and folder.name:
                    top = folder.parent in (None, folder_id)  # the top level of a project is a folder, too
                    above = self._place(folder.project, folder.parent)
                    self._places[folder_id] = folder.project if top else f"{above}/{folder.name}"
        return self._places[folder_id]


@contextmanager
def unfinished(connection: Connection, output: Output) -> Iterator[UnfinishedUploads]:
    """Open the journal and connect to the API."""
    with open_journal(output) as journal, connection.api(output) as api:
        yield UnfinishedUploads(api, journal)


def gone(upload_id: str) -> UploadGone:
    """Return the error of an upload that is not open on the server."""
    text = f"There is no unfinished upload {upload_id}: it was completed or aborted, or never started."
    return UploadGone(text, "“cavatica uploads list” shows unfinished uploads.", status=404, code=8003)
