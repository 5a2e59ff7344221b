"""`cavatica uploads`: what is open on the server, beside what the journal here knows of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import attrs
import click

from cavatica_upload.api import Api
from cavatica_upload.api.records import Upload, UploadSummary
from cavatica_upload.cli.console import Output, count_text, size_text, time_text, visible
from cavatica_upload.cli.exits import Exit
from cavatica_upload.cli.options import (
    Command,
    Group,
    connection_options,
    option,
    output_options,
    take_connection,
    take_output,
)
from cavatica_upload.cli.platform import open_api
from cavatica_upload.errors import UploadGone
from cavatica_upload.journal.journal import Journal, state_dir
from cavatica_upload.journal.records import Entry
from cavatica_upload.plan import Plan


@click.group(cls=Group)
def uploads() -> None:
    """Look after unfinished uploads: list, show, resume, abort.

    An upload that is neither finished nor aborted keeps its parts in storage, and may be billed.
    """


@contextmanager
def open_journal() -> Iterator[Journal]:
    """Open this user's journal."""
    journal = Journal(state_dir())
    try:
        yield journal
    finally:
        journal.close()


@attrs.frozen
class OpenUpload:
    """An upload on the server (`summary` None: gone there), and what the journal knows (`entry` None: nothing)."""

    upload_id: str
    summary: UploadSummary | None
    entry: Entry | None
    parts_here: int = 0

    @property
    def age(self) -> float | None:
        """Seconds since it was begun, None where the server no longer knows it."""
        if self.summary is None or self.summary.initiated is None:
            return None
        return max(0.0, (datetime.now(UTC) - self.summary.initiated).total_seconds())

    @property
    def name(self) -> str:
        """The name that the file will have."""
        return (self.summary and self.summary.name) or (self.entry.name if self.entry else "")

    @property
    def place(self) -> str:
        """The project or folder that the file goes to."""
        if self.summary is None:
            return str(self.entry.destination) if self.entry else ""
        return self.summary.project or (f"folder {self.summary.parent}" if self.summary.parent else "")

    @property
    def here(self) -> str:
        """What the journal says of it, for people."""
        if self.entry is None:
            return "not begun here"
        count = Plan(self.entry.identity.size, self.entry.part_size).count
        return f"{self.parts_here} of {count_text(count, 'part')} sent from {visible(self.entry.identity.path)}"

    def record(self) -> dict[str, Any]:
        """Return it as --json shows it."""
        return {
            "event": "upload",
            "upload_id": self.upload_id,
            "name": self.name,
            "destination": self.place,
            "initiated": _time(self.summary),
            "on_server": self.summary is not None,
            "begun_here": self.entry is not None,
            "path": self.entry.identity.path if self.entry else None,
            "size": self.entry.identity.size if self.entry else None,
            "part_size": self.entry.part_size if self.entry else None,
            "parts_sent": self.parts_here if self.entry else None,
        }


def open_uploads(api: Api, journal: Journal) -> Iterator[OpenUpload]:
    """Yield the uploads on the server, then those that only the journal knows."""
    known = {entry.upload_id: entry for entry in journal.entries() if entry.endpoint == api.endpoint}
    for summary in api.list_uploads():
        entry = known.pop(summary.upload_id, None)
        yield OpenUpload(summary.upload_id, summary, entry, _parts(journal, entry))
    for entry in known.values():
        yield OpenUpload(entry.upload_id, None, entry, _parts(journal, entry))


def _time(upload: Upload | UploadSummary | None) -> str | None:
    began = upload.initiated if upload else None
    return began.isoformat().replace("+00:00", "Z") if began else None


def _parts(journal: Journal, entry: Entry | None) -> int:
    return len(journal.parts(entry)) if entry else 0


@uploads.command("list", cls=Command, short_help="List unfinished uploads, on the server and here.")
@option("--mine", is_flag=True, help="Only uploads that were begun on this machine.")
@output_options()
@connection_options
def list_(mine: bool, **values: Any) -> None:
    """List unfinished uploads: those on the server, and what the journal here knows of them.

    Each line has the upload's id, its age, the destination, the name and what was sent from here, with tabs between.
    """
    output, connection = take_output(values), take_connection(values)
    count = 0
    with open_journal() as journal, open_api(connection, output) as api:
        for upload in open_uploads(api, journal):
            if mine and upload.entry is None:
                continue
            count += 1
            if output.as_json:
                output.record(upload.record())
            else:
                output.result("\t".join(_fields(upload)))
    if not count:
        output.say("There is no unfinished upload.")


def _fields(upload: OpenUpload) -> tuple[str, ...]:
    age = f"{time_text(upload.age)} old" if upload.age is not None else "gone on the server"
    return visible(upload.upload_id), age, visible(upload.place), visible(upload.name), upload.here


@uploads.command(cls=Command, short_help="Show what there is of one unfinished upload.")
@click.argument("upload_id", metavar="ID")
@output_options()
@connection_options
def show(upload_id: str, **values: Any) -> None:
    """Show one unfinished upload: what the server has of it, and what was sent from here."""
    output, connection = take_output(values), take_connection(values)
    with open_journal() as journal, open_api(connection, output) as api:
        upload = get_open(api, upload_id, list_parts=True)
        entry = find_entry(journal, api, upload_id)
        here = journal.parts(entry) if entry else {}
    parts = upload.parts or ()
    facts: Mapping[str, Any] = {
        "upload_id": upload.upload_id,
        "name": upload.name,
        "destination": upload.project or upload.parent,
        "initiated": _time(upload),
        "part_size": upload.part_size,
        "parts_on_server": max(upload.uploaded_parts_count or 0, len(parts)),
        "begun_here": entry is not None,
        "path": entry.identity.path if entry else None,
        "size": entry.identity.size if entry else None,
        "parts_in_all": Plan(entry.identity.size, entry.part_size).count if entry else None,
        "parts_sent_from_here": len(here) if entry else None,
    }
    if output.as_json:
        output.record({"event": "upload", **facts, "parts": [attrs.asdict(part) for part in parts]})
        return
    texts = {key: size_text(value) if key in ("size", "part_size") and value else value for key, value in facts.items()}
    for key, value in texts.items():
        if value is not None:
            text = {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
            output.result(f"{key.replace('_', ' '):<22}{visible(text)}")


def get_open(api: Api, upload_id: str, *, list_parts: bool = False) -> Upload:
    """Return an open upload; raises UploadGone, saying where to look."""
    try:
        return api.get_upload(upload_id, list_parts=list_parts)
    except UploadGone as error:
        raise UploadGone(
            f"There is no unfinished upload {upload_id}: completed, aborted, or never begun.",
            "“cavatica uploads list” shows what is open.",
            status=error.status,
            code=error.code,
        ) from error


def find_entry(journal: Journal, api: Api, upload_id: str) -> Entry | None:
    """Return what the journal knows of an upload."""
    entries = (entry for entry in journal.entries() if entry.endpoint == api.endpoint)
    return next((entry for entry in entries if entry.upload_id == upload_id), None)


def abort_one(api: Api, journal: Journal, upload_id: str) -> bool:
    """Abort an upload and forget it here; False where it was gone already."""
    try:
        api.abort_upload(upload_id)
        there = True
    except UploadGone:
        there = False
    entry = find_entry(journal, api, upload_id)
    if entry:
        journal.forget(entry)
    return there


def tell_aborted(output: Output, upload_id: str, there: bool) -> Exit:
    """Say how an abort ended."""
    if output.as_json:
        output.record({"event": "aborted", "upload_id": upload_id, "was_there": there})
    elif there:
        output.result(f"{visible(upload_id)}\taborted")
    else:
        output.problem(
            f"There is no unfinished upload {visible(upload_id)}; it was completed, aborted, or never begun."
        )
    return Exit.DONE if there else Exit.FAILED
