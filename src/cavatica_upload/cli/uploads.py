"""`cavatica uploads`: list, show, resume and abort unfinished uploads."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from cavatica_upload.cli.messages import Exit
from cavatica_upload.cli.options import (
    PATH,
    Command,
    Connection,
    Group,
    Span,
    Whole,
    connection_options,
    option,
    output_options,
    progress_options,
    stop_option,
)
from cavatica_upload.cli.output import Output, command_line, open_log
from cavatica_upload.cli.signals import ask
from cavatica_upload.cli.unfinished import UnfinishedUpload, UnfinishedUploads, gone, unfinished
from cavatica_upload.destination import Destination
from cavatica_upload.errors import UploadGone, UsageError
from cavatica_upload.plan import count_text, size_text

if TYPE_CHECKING:
    from cavatica_upload.journal.records import Entry
    from cavatica_upload.request import IfChanged, UploadRequest
    from cavatica_upload.uploader import UploaderOptions


@click.group(cls=Group)
def uploads() -> None:
    """List, show, resume and abort unfinished uploads.

    An upload that is neither completed nor aborted keeps its parts in storage, and may be billed.
    """


@uploads.command("list", cls=Command, short_help="List unfinished uploads, on the server and here.")
@option("--mine", is_flag=True, help="Only uploads that were started on this machine.")
@output_options
@connection_options
def list_(mine: bool, output: Output, connection: Connection) -> None:
    """List unfinished uploads: those on the server, and those in the journal of this machine.

    Each line has the upload's ID, its age, the destination, the name and what was sent from here, with tabs between;
    on a terminal, they are a table.
    """
    with unfinished(connection, output) as known:
        found = list(known.list(mine=mine))
    if output.as_json:
        for upload in found:
            output.record(upload.summary())
    else:
        headers = ("UPLOAD ID", "AGE", "DESTINATION", "NAME", "SENT FROM HERE")
        output.results(headers, [upload.row() for upload in found], widest=0)
    if not found:
        output.say("There are no unfinished uploads.")


@uploads.command(cls=Command, short_help="Show one unfinished upload.")
@click.argument("upload_id", metavar="ID")
@output_options
@connection_options
def show(upload_id: str, output: Output, connection: Connection) -> None:
    """Show one unfinished upload: the parts that the server has, and those sent from this machine."""
    with unfinished(connection, output) as known:
        server = known.get(upload_id, list_parts=True)
        upload = known.combine(upload_id, server, known.entries.get(upload_id))
    parts = server.parts or ()
    there = max(server.uploaded_parts_count or 0, len(parts))
    facts = upload.record(
        part_size=server.part_size,
        parts_on_server=there,
        parts_in_all=upload.part_count,
        parts_sent_from_here=upload.sent,
        parts=[attrs.asdict(part) for part in parts],
    )
    if output.as_json:
        output.record(facts)
        return
    of = f" of {count_text(upload.part_count, 'part')}" if upload.part_count else ""
    lines = {
        "upload ID": upload_id,
        "name": upload.name,
        "destination": upload.place,
        "started": facts["initiated"],
        "started here": "yes" if upload.entry else "no",
        "file": facts["path"],
        "size": size_text(facts["size"]) if upload.entry else None,
        "part size": size_text(server.part_size) if server.part_size else None,
        "on the server": f"{there}{of}" if of else count_text(there, "part"),
        "sent from here": f"{upload.sent}{of}" if of else None,
    }
    for label, text in lines.items():
        if text is not None:
            output.result(f"{label:<16}{text}")


@uploads.command(cls=Command)
@click.argument("upload_id", required=False, metavar="[ID]")
@click.argument("file", required=False, metavar="[FILE]", type=PATH)
@option("--yes", "-y", is_flag=True, help="Do not ask. If a file changed, abort its upload and start a new one.")
@option("--jobs", "-j", group="options", type=Whole(1, 64), metavar="N", help="Parts to send at the same time.")
@stop_option(group="options")
@progress_options
@connection_options
def resume(
    upload_id: str | None,
    file: str | None,
    yes: bool,
    options: "UploaderOptions",
    log_file: Path | None,
    output: Output,
    connection: Connection,
) -> int:
    """Resume unfinished uploads: all from this machine, or one.

    With ID and FILE, finish an upload that was started on another machine. The parts that the server has are first
    compared with the file. Only “cavatica upload” sets metadata; run that command again to set it.
    """
    from cavatica_upload.cli.summary import typed
    from cavatica_upload.cli.upload_run import UploadRun
    from cavatica_upload.sources import file_size

    with unfinished(connection, output) as known:
        requests = _requests(known, upload_id, file, "restart" if yes else "refuse")
    if not requests:
        output.say("No file on this machine has an unfinished upload.")
        return int(Exit.DONE)
    sources = [str(request.source) for request in requests]
    open_log(log_file, sources)
    output.say(f"Resuming {count_text(len(requests), 'upload')}.")
    run = UploadRun(
        output,
        connection,
        options,
        files=len(requests),
        size=sum(file_size(source) or 0 for source in sources),
        resume=typed(),
    )
    with run.uploader() as uploader:
        for _ in run.upload(uploader, requests):
            pass
    return int(run.end())


def _requests(
    known: UnfinishedUploads, upload_id: str | None, file: str | None, changed: "IfChanged"
) -> list["UploadRequest"]:
    from cavatica_upload.request import UploadRequest

    def request(entry: "Entry") -> UploadRequest:
        return UploadRequest(
            source=entry.identity.path,
            destination=entry.destination,
            name=entry.requested_name,
            if_exists=entry.if_exists,  # type: ignore[arg-type]  # as in the run that started it
            changed=changed,
            regular=True,
        )

    if upload_id is None:
        mine = [entry for entry in known.entries.values() if not entry.abandoned]
        return [request(entry) for entry in mine if os.path.exists(entry.identity.path)]  # noqa: PTH110 - never raises
    entry = known.entries.get(upload_id)
    if entry is not None:
        entry.check_resumable()
    if file is not None:
        upload = known.get(upload_id)
        parent = upload.parent
        return [
            UploadRequest(
                source=file,
                destination=Destination(parent=parent) if parent else Destination(project=upload.project),
                name=upload.name,
                resume_id=upload_id,
                changed=changed,
                regular=True,
            )
        ]
    if entry is None:
        raise UsageError(
            f"Upload {upload_id} was not started on this machine, so its file is not known.",
            f"Name the file: {command_line(['uploads', 'resume', upload_id])} FILE",
        )
    return [request(entry)]


@uploads.command(cls=Command, short_help="Abort unfinished uploads, by ID or by age.")
@click.argument("upload_ids", nargs=-1, metavar="[ID]…")
@option(
    "--older-than", type=Span(), metavar="AGE", help="Abort all uploads that are older than this, such as 7d or 12h."
)
@option("--mine", is_flag=True, help="Only uploads that were started on this machine.")
@option("--dry-run", is_flag=True, help="List what would be aborted, and abort nothing.")
@option("--yes", "-y", is_flag=True, help="Do not ask.")
@output_options
@connection_options
def abort(
    upload_ids: tuple[str, ...],
    older_than: float | None,
    mine: bool,
    dry_run: bool,
    yes: bool,
    output: Output,
    connection: Connection,
) -> int:
    """Abort unfinished uploads, by ID or by age: their parts are deleted and cannot be resumed.

    --older-than may also select uploads of other members of your projects. Add --mine to select only those that were
    started on this machine. Before uploads are aborted by age the command asks, unless --yes is given.
    """
    if bool(upload_ids) == (older_than is not None or mine):
        raise UsageError(
            "Name the uploads by ID or by age, not both." if upload_ids else "No upload given.",
            "Give IDs (“cavatica uploads list” shows them), --older-than 7d, or --mine.",
        )
    ids = list(dict.fromkeys(upload_ids))
    with unfinished(connection, output) as known:
        if ids and not dry_run:
            chosen = ids
        else:
            chosen = []
            for upload in _named(known, ids, output) if ids else known.list(mine=mine):
                if upload.server is None or (older_than is not None and (upload.age or 0.0) <= older_than):
                    continue
                output.say(f"  {upload.upload_id}  {upload.age_text}  {upload.place}  {upload.name}")
                if output.as_json and dry_run:
                    output.record(upload.summary())
                chosen.append(upload.upload_id)
        count = count_text(len(chosen), "upload")
        done = not ids or len(chosen) == len(ids)
        if not chosen:
            output.say("There is nothing to abort.")
        elif dry_run:
            output.say(f"Dry run: {count} would be aborted.")
        elif not ids and not yes and not _agreed(count):
            output.say("Nothing was aborted.")
        else:
            done = sum(_abort(known, upload_id, output) for upload_id in chosen) == len(chosen)
    return int(Exit.DONE if done else Exit.FAILED)


def _named(known: UnfinishedUploads, ids: list[str], output: Output) -> Iterator[UnfinishedUpload]:
    """Yield uploads by their IDs, and report those that are not on the server."""
    for upload_id in ids:
        try:
            upload = known.get(upload_id)
        except UploadGone as error:
            output.error(error)
        else:
            yield known.combine(upload_id, upload, known.entries.get(upload_id))


def _agreed(count: str) -> bool:
    """Ask on a terminal; raises UsageError if nobody can answer."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"{count} would be aborted, and there is no terminal to ask on.", "Add --yes.")
    return ask(f"Abort {count}? The parts are deleted.")


def _abort(known: UnfinishedUploads, upload_id: str, output: Output) -> bool:
    """Abort an upload, delete it from the journal, and print that; return False if it was not on the server."""
    try:
        known.api.abort_upload(upload_id)
        there = True
    except UploadGone:
        there = False
    if upload_id in known.entries:
        known.journal.forget(known.entries[upload_id])
    if output.as_json:
        output.record({"event": "aborted", "upload_id": upload_id, "was_there": there})
    elif there:
        output.result(upload_id, "aborted")
    else:
        output.problem(gone(upload_id).message)
    return there
