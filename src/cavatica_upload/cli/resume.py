"""`cavatica uploads resume`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from cavatica_upload.api import Api
from cavatica_upload.cli.console import count_text
from cavatica_upload.cli.exits import Exit
from cavatica_upload.cli.logfile import open_log
from cavatica_upload.cli.options import (
    Command,
    connection_options,
    option,
    output_options,
    take_connection,
    take_output,
)
from cavatica_upload.cli.platform import open_api
from cavatica_upload.cli.session import Session, SessionOptions
from cavatica_upload.cli.summary import command_line, typed
from cavatica_upload.cli.uploads import find_entry, get_open, open_journal
from cavatica_upload.destination import Destination
from cavatica_upload.errors import UsageError
from cavatica_upload.journal.journal import Journal
from cavatica_upload.journal.records import Entry
from cavatica_upload.uploader import UploadRequest


@click.command(cls=Command)
@click.argument("upload_id", required=False, metavar="[ID]")
@click.argument("file", required=False, metavar="[FILE]")
@option("--yes", "-y", is_flag=True, help="Ask nothing: a file that changed is uploaded anew, the old upload aborted.")
@option("--jobs", "-j", type=click.IntRange(1, 64), metavar="N", help="Parts to send at the same time.")
@output_options(progress=True)
@connection_options
def resume(upload_id: str | None, file: str | None, yes: bool, jobs: int | None, **values: Any) -> int:
    """Go on with unfinished uploads: all that were begun here, or one.

    With ID and FILE, an upload that was begun on another machine is finished from this file; the parts that are there
    are compared with the file first. Metadata is set by “cavatica upload” only: to have it set, run that command again.
    """
    output, connection = take_output(values), take_connection(values)
    log_file = values.pop("log_file")
    if log_file:
        open_log(log_file)
    with open_journal() as journal, open_api(connection, output) as api:
        requests = list(_requests(api, journal, upload_id, file, yes=yes))
    if not requests:
        output.say("There is no unfinished upload of a file that is still here.")
        return int(Exit.DONE)
    output.say(f"Going on with {count_text(len(requests), 'upload')}.")
    session = Session(
        output,
        SessionOptions(connection=connection, jobs=jobs, yes=yes, again=command_line(typed())),
        files=len(requests),
        size=sum(_size(str(request.source)) for request in requests),
    )
    return int(session.run(lambda _uploader: requests, lambda _request, _receipt: None))


def _requests(
    api: Api, journal: Journal, upload_id: str | None, file: str | None, *, yes: bool
) -> Iterable[UploadRequest]:
    if upload_id is None:
        for mine in journal.entries():
            if mine.endpoint == api.endpoint and Path(mine.identity.path).exists():
                yield _request(mine, yes)
        return
    entry = find_entry(journal, api, upload_id)
    if entry is not None and file is None:
        yield _request(entry, yes)
    elif file is None:
        raise UsageError(
            f"Upload {upload_id} was not begun here, so its file is not known.",
            f"Name the file: cavatica uploads resume {upload_id} FILE",
        )
    else:
        upload = get_open(api, upload_id)
        parent = upload.parent if isinstance(upload.parent, str) else None
        yield UploadRequest(
            source=file,
            destination=Destination(parent=parent) if parent else Destination(project=upload.project),
            name=upload.name,
            resume_id=upload_id,
            changed="restart" if yes else "refuse",
            key=file,
        )


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # the uploader says so in its own words
        return 0


def _request(entry: Entry, yes: bool) -> UploadRequest:
    return UploadRequest(
        source=entry.identity.path,
        destination=entry.destination,
        name=entry.asked,
        changed="restart" if yes else "refuse",
        key=entry.identity.path,
    )
