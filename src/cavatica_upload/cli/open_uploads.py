"""Unfinished uploads, from the server and from the journal of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import attrs

from cavatica_upload.api import Api
from cavatica_upload.api.records import Upload, UploadSummary
from cavatica_upload.cli.messages import count_text, time_text
from cavatica_upload.cli.output import Output
from cavatica_upload.clock import utc_text
from cavatica_upload.disk import state_dir, state_notice
from cavatica_upload.errors import CavaticaError, UploadGone
from cavatica_upload.journal.journal import Journal
from cavatica_upload.journal.records import Entry
from cavatica_upload.plan import Plan


@contextmanager
def open_journal(output: Output) -> Iterator[Journal]:
    """Open the user's journal; if that fails, warn and yield an empty one."""
    notice = state_notice()
    if notice:
        output.warn(notice)
    journal = Journal(state_dir(), output.warn)
    try:
        yield journal
    finally:
        journal.close()


@attrs.frozen
class OpenUpload:
    """An unfinished upload: `summary` is None if the server has none, `entry` is None if the journal has none.

    `place` is the project, or the folder with its project, that the file goes to.
    """

    upload_id: str
    summary: UploadSummary | None
    entry: Entry | None
    place: str
    parts_here: int

    @property
    def age(self) -> float | None:
        """Seconds since it was begun, None if the server no longer knows it."""
        if self.summary is None or self.summary.initiated is None:
            return None
        return max(0.0, (datetime.now(UTC) - self.summary.initiated).total_seconds())

    @property
    def name(self) -> str:
        """The name that the file will have."""
        return (self.summary and self.summary.name) or (self.entry.name if self.entry else "")

    @property
    def here(self) -> str:
        """What the journal has of it, as text."""
        if self.entry is None:
            return "not begun here"
        if self.entry.abandoned:
            return f"of no more use, and could not be aborted; from {self.entry.identity.path}"
        count = Plan(self.entry.identity.size, self.entry.part_size).count
        return f"{self.parts_here} of {count_text(count, 'part')} sent from {self.entry.identity.path}"

    def fields(self) -> tuple[str, ...]:
        """Return its cells for `cavatica uploads list`."""
        age = f"{time_text(self.age)} old" if self.age is not None else "gone on the server"
        return self.upload_id, age, self.place, self.name, self.here

    def record(self) -> dict[str, Any]:
        """Return it as --json shows it."""
        return {
            "event": "upload",
            "upload_id": self.upload_id,
            "name": self.name,
            "destination": self.place,
            "initiated": time_of(self.summary),
            "on_server": self.summary is not None,
            "begun_here": self.entry is not None,
            "path": self.entry.identity.path if self.entry else None,
            "size": self.entry.identity.size if self.entry else None,
            "part_size": self.entry.part_size if self.entry else None,
            "parts_sent": self.parts_here if self.entry else None,
        }


class Places:
    """Finds the names and projects of folders, with one request for each folder."""

    MOST = 20  # the most folders that are requested; of the others the ID is shown

    def __init__(self, api: Api) -> None:
        self._api = api
        self._folders: dict[str, str] = {}

    def __call__(self, project: str | None, parent: str | None) -> str:
        """Return the place of a project or a folder's ID."""
        if not parent:
            return project or ""
        if parent not in self._folders:
            self._folders[parent] = f"folder {parent}"  # until more is known; also if folders go in circles
            if len(self._folders) <= self.MOST:
                self._folders[parent] = self._ask(parent)
        return self._folders[parent]

    def _ask(self, folder_id: str) -> str:
        try:
            folder = self._api.get_file(folder_id)
        except CavaticaError:
            return f"folder {folder_id}"
        if not folder.project or not folder.name:
            return f"folder {folder_id}"
        # The root of a project is a folder, too: the only one without a folder above it.
        return (
            f"{self(folder.project, folder.parent)}/{folder.name}"
            if folder.parent not in (None, folder_id)
            else folder.project
        )


def open_uploads(api: Api, journal: Journal) -> Iterator[OpenUpload]:
    """Yield the uploads on the server, then those that only the journal knows."""
    known = {entry.upload_id: entry for entry in journal.entries() if entry.endpoint == api.endpoint}
    place = Places(api)
    for summary in api.list_uploads():
        entry = known.pop(summary.upload_id, None)
        at = place(summary.project, summary.parent)
        yield OpenUpload(summary.upload_id, summary, entry, at, _parts(journal, entry))
    for entry in known.values():
        at = place(entry.destination.project, entry.destination.parent)
        yield OpenUpload(entry.upload_id, None, entry, at, _parts(journal, entry))


def time_of(upload: Upload | UploadSummary | None) -> str | None:
    """Return when an upload was begun: UTC, ISO 8601, None if that is not known."""
    began = upload.initiated if upload else None
    return utc_text(began) if began else None


def _parts(journal: Journal, entry: Entry | None) -> int:
    return len(journal.parts(entry)) if entry else 0


def gone_text(upload_id: str) -> str:
    """Return the sentence about an upload that is not open on the server."""
    return f"There is no unfinished upload {upload_id}: it was completed or aborted, or never begun."


def get_open(api: Api, upload_id: str, *, list_parts: bool = False) -> Upload:
    """Return an open upload; raises UploadGone, saying where to look."""
    try:
        return api.get_upload(upload_id, list_parts=list_parts)
    except UploadGone as error:
        raise UploadGone(
            gone_text(upload_id),
            "“cavatica uploads list” shows unfinished uploads.",
            status=error.status,
            code=error.code,
        ) from error


def find_entry(journal: Journal, api: Api, upload_id: str) -> Entry | None:
    """Return the journal's entry of an upload, None if there is none."""
    entries = (entry for entry in journal.entries() if entry.endpoint == api.endpoint)
    return next((entry for entry in entries if entry.upload_id == upload_id), None)


def abort_one(api: Api, journal: Journal, upload_id: str) -> bool:
    """Abort an upload and delete it from the journal; return False if it was gone on the server."""
    try:
        api.abort_upload(upload_id)
        there = True
    except UploadGone:
        there = False
    entry = find_entry(journal, api, upload_id)
    if entry:
        journal.forget(entry)
    return there
