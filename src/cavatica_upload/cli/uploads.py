"""`cavatica uploads`: list, show, resume and abort unfinished uploads."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from cavatica_upload.cli.messages import Exit, count_text, exit_of_run, time_text
from cavatica_upload.cli.options import (
    Command,
    Connection,
    Group,
    Span,
    connection_options,
    option,
    output_options,
    progress_options,
    stop_option,
)
from cavatica_upload.cli.output import Output, ask, command_line
from cavatica_upload.errors import UsageError
from cavatica_upload.plan import size_text

if TYPE_CHECKING:
    from cavatica_upload.api import Api
    from cavatica_upload.journal.journal import Journal
    from cavatica_upload.journal.records import Entry
    from cavatica_upload.request import UploadRequest


@click.group(cls=Group)
def uploads() -> None:
    """List, show, resume and abort unfinished uploads.

    An upload that is neither finished nor aborted keeps its parts in storage, and may be billed.
    """


@uploads.command("list", cls=Command, short_help="List unfinished uploads, on the server and here.")
@option("--mine", is_flag=True, help="Only uploads that were begun on this machine.")
@output_options
@connection_options
def list_(mine: bool, output: Output, connection: Connection) -> None:
    """List unfinished uploads: those on the server, with what the journal of this machine knows of them.

    Each line has the upload's ID, its age, the destination, the name and what was sent from here, with tabs between;
    on a terminal, they are a table.
    """
    from cavatica_upload.cli.open_uploads import open_journal, open_uploads

    with open_journal(output) as journal, connection.api(output) as api:
        found = [upload for upload in open_uploads(api, journal) if upload.entry is not None or not mine]
    if output.as_json:
        for upload in found:
            output.record(upload.record())
    else:
        headers = ("UPLOAD ID", "AGE", "DESTINATION", "NAME", "SENT FROM HERE")
        output.results(headers, [upload.fields() for upload in found], widest=0)
    if not found:
        output.say("There is no unfinished upload.")


@uploads.command(cls=Command, short_help="Show one unfinished upload.")
@click.argument("upload_id", metavar="ID")
@output_options
@connection_options
def show(upload_id: str, output: Output, connection: Connection) -> None:
    """Show one unfinished upload: the parts that the server has, and those sent from this machine."""
    from cavatica_upload.cli.open_uploads import Places, find_entry, get_open, open_journal, time_of
    from cavatica_upload.plan import Plan

    with open_journal(output) as journal, connection.api(output) as api:
        upload = get_open(api, upload_id, list_parts=True)
        entry = find_entry(journal, api, upload_id)
        here = journal.parts(entry) if entry else {}
        place = Places(api)(upload.project, upload.parent)
    parts = upload.parts or ()
    facts: Mapping[str, Any] = {
        "upload_id": upload.upload_id,
        "name": upload.name,
        "destination": place,
        "initiated": time_of(upload),
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
    whole = facts["parts_in_all"]
    of = f" of {count_text(whole, 'part')}" if whole is not None else ""
    lines = {
        "upload ID": upload.upload_id,
        "name": upload.name,
        "destination": place,
        "begun": facts["initiated"],
        "begun here": "yes" if entry else "no",
        "file": facts["path"],
        "size": size_text(entry.identity.size) if entry and entry.identity.size is not None else None,
        "part size": size_text(upload.part_size) if upload.part_size else None,
        "on the server": f"{facts['parts_on_server']}{of}" if of else count_text(facts["parts_on_server"], "part"),
        "sent from here": f"{len(here)}{of}" if entry else None,
    }
    for label, text in lines.items():
        if text is not None:
            output.result(f"{label:<16}{text}")


@uploads.command(cls=Command)
@click.argument("upload_id", required=False, metavar="[ID]")
@click.argument("file", required=False, metavar="[FILE]", type=click.Path())
@option("--yes", "-y", is_flag=True, help="Do not ask. If a file changed, abort its upload and start a new one.")
@option("--jobs", "-j", type=click.IntRange(1, 64), metavar="N", help="Parts to send at the same time.")
@stop_option()
@progress_options
@connection_options
def resume(
    upload_id: str | None,
    file: str | None,
    yes: bool,
    jobs: int | None,
    stop_within: float,
    log_file: Path | None,
    output: Output,
    connection: Connection,
) -> int:
    """Resume unfinished uploads: all that were begun here, or one.

    With ID and FILE, finish an upload that was begun on another machine. The parts that the server has are first
    compared with the file. Only “cavatica upload” sets metadata; run that command again to set it.
    """
    from cavatica_upload.cli.open_uploads import open_journal
    from cavatica_upload.cli.output import open_log, refuse_overwriting
    from cavatica_upload.cli.summary import typed
    from cavatica_upload.cli.upload_run import UploadRun

    with open_journal(output) as journal, connection.api(output) as api:
        requests = list(_requests(api, journal, upload_id, file, yes=yes))
    if not requests:
        output.say("There is no unfinished upload of a file that is still here.")
        return int(Exit.DONE)
    if log_file:
        refuse_overwriting(log_file, "--log-file", [str(request.source) for request in requests])
        open_log(log_file)
    output.say(f"Resuming {count_text(len(requests), 'upload')}.")
    run = UploadRun(
        output,
        connection,
        {"jobs": jobs, "stop_within": stop_within},
        files=len(requests),
        size=sum(_size(str(request.source)) for request in requests),
        yes=yes,
        resume=typed(),
    )
    with run.uploader() as uploader:
        for _ in run.upload(uploader, requests):
            pass
    return int(run.end())


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # the uploader says so in its own words
        return 0


def _requests(
    api: "Api", journal: "Journal", upload_id: str | None, file: str | None, *, yes: bool
) -> "Iterable[UploadRequest]":
    from cavatica_upload.cli.open_uploads import find_entry, get_open
    from cavatica_upload.destination import Destination
    from cavatica_upload.request import UploadRequest

    if upload_id is None:
        for mine in journal.entries():
            if mine.endpoint == api.endpoint and not mine.abandoned and Path(mine.identity.path).exists():
                yield _request(mine, yes)
        return
    entry = find_entry(journal, api, upload_id)
    if entry is not None:
        entry.check_resumable()
    if entry is not None and file is None:
        yield _request(entry, yes)
    elif file is None:
        raise UsageError(
            f"Upload {upload_id} was not begun here, so its file is not known.",
            f"Name the file: {command_line(['uploads', 'resume', upload_id])} FILE",
        )
    else:
        upload = get_open(api, upload_id)
        parent = upload.parent
        yield UploadRequest(
            source=file,
            destination=Destination(parent=parent) if parent else Destination(project=upload.project),
            name=upload.name,
            resume_id=upload_id,
            changed="restart" if yes else "refuse",
            key=file,
            regular=True,
        )


def _request(entry: "Entry", yes: bool) -> "UploadRequest":
    from cavatica_upload.request import UploadRequest

    return UploadRequest(
        source=entry.identity.path,
        destination=entry.destination,
        name=entry.asked,
        if_exists=entry.if_exists,  # type: ignore[arg-type]  # as the run that began it had it
        changed="restart" if yes else "refuse",
        key=entry.identity.path,
        regular=True,
    )


@uploads.command(cls=Command, short_help="Abort unfinished uploads, by ID or by age.")
@click.argument("upload_ids", nargs=-1, metavar="[ID]…")
@option(
    "--older-than", type=Span(), metavar="AGE", help="Abort all uploads that are older than this, such as 7d or 12h."
)
@option("--mine", is_flag=True, help="Only uploads that were begun on this machine.")
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
    begun on this machine. Before uploads are aborted by age the command asks, unless --yes is given.
    """
    from cavatica_upload.cli.open_uploads import abort_one, open_journal, open_uploads

    if bool(upload_ids) == (older_than is not None or mine):
        raise UsageError(
            "Name the uploads by ID or by age, not both." if upload_ids else "No upload given.",
            "Give IDs (“cavatica uploads list” shows them), --older-than 7d, or --mine.",
        )
    with open_journal(output) as journal, connection.api(output) as api:
        chosen = list(upload_ids)
        if not chosen:
            for upload in open_uploads(api, journal):
                old = upload.age is not None and (older_than is None or upload.age > older_than)
                if old and (upload.entry is not None or not mine):
                    age = time_text(upload.age or 0.0)
                    output.say(f"  {upload.upload_id}  {age} old  {upload.place}  {upload.name}")
                    if output.as_json and dry_run:
                        output.record(upload.record())
                    chosen.append(upload.upload_id)
        if not chosen:
            output.say("There is nothing to abort.")
            return int(Exit.DONE)
        if dry_run:
            output.say(f"Dry run: {count_text(len(chosen), 'upload')} would be aborted.")
            return int(Exit.DONE)
        if not upload_ids and not yes and not _agreed(len(chosen)):
            output.say("Nothing was aborted.")
            return int(Exit.DONE)
        codes = [_say_aborted(output, upload_id, abort_one(api, journal, upload_id)) for upload_id in chosen]
    return int(exit_of_run(codes.count(Exit.DONE), [code for code in codes if code is not Exit.DONE]))


def _agreed(count: int) -> bool:
    """Ask on a terminal; raises UsageError if nobody can answer."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"{count_text(count, 'upload')} would be aborted, and nobody is there to agree.", "Add --yes to go ahead."
        )
    return ask(f"Abort {count_text(count, 'upload')}? The parts are deleted.")


def _say_aborted(output: Output, upload_id: str, there: bool) -> Exit:
    from cavatica_upload.cli.open_uploads import gone_text

    if output.as_json:
        output.record({"event": "aborted", "upload_id": upload_id, "was_there": there})
    elif there:
        output.result(upload_id, "aborted")
    else:
        output.problem(gone_text(upload_id))
    return Exit.DONE if there else Exit.FAILED
