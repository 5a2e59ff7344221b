"""`cavatica uploads abort`."""

import sys
from typing import Any

import click

from cavatica_upload.cli.console import count_text, time_text, visible
from cavatica_upload.cli.exits import Exit, exit_of_run
from cavatica_upload.cli.options import (
    Age,
    Command,
    connection_options,
    option,
    output_options,
    take_connection,
    take_output,
)
from cavatica_upload.cli.platform import open_api
from cavatica_upload.cli.uploads import abort_one, open_journal, open_uploads, tell_aborted
from cavatica_upload.errors import UsageError


@click.command(cls=Command, short_help="Abort unfinished uploads, by id or by age.")
@click.argument("upload_ids", nargs=-1, metavar="[ID]…")
@option("--older-than", type=Age(), metavar="AGE", help="All uploads begun longer ago than this, such as 7d or 12h.")
@option("--mine", is_flag=True, help="Only uploads that were begun on this machine.")
@option("--dry-run", is_flag=True, help="Say what would be aborted, and do nothing.")
@option("--yes", "-y", is_flag=True, help="Do not ask.")
@output_options()
@connection_options
def abort(
    upload_ids: tuple[str, ...], older_than: float | None, mine: bool, dry_run: bool, yes: bool, **values: Any
) -> int:
    """Abort unfinished uploads, by id or by age: their parts are deleted and cannot be resumed.

    The list that --older-than looks at may hold uploads of other members of your projects; with --mine it holds
    those of this machine only. Nothing is aborted by age without a question, or --yes.
    """
    output, connection = take_output(values), take_connection(values)
    if bool(upload_ids) == (older_than is not None or mine):
        raise UsageError(
            "Say which uploads to abort: " + ("by id or by age, not both." if upload_ids else "nothing was given."),
            "Give ids (“cavatica uploads list” shows them), --older-than 7d, or --mine.",
        )
    with open_journal() as journal, open_api(connection, output) as api:
        chosen = list(upload_ids)
        if not chosen:
            found = [
                upload
                for upload in open_uploads(api, journal)
                if upload.age is not None
                and (older_than is None or upload.age > older_than)
                and (upload.entry is not None or not mine)
            ]
            for upload in found:
                age = time_text(upload.age or 0.0)
                output.say(f"  {visible(upload.upload_id)}  {age} old  {visible(upload.place)}  {visible(upload.name)}")
            chosen = [upload.upload_id for upload in found]
        if not chosen:
            output.say("There is nothing to abort.")
            return int(Exit.DONE)
        if dry_run:
            output.say(f"Dry run: {count_text(len(chosen), 'upload')} would be aborted.")
            return int(Exit.DONE)
        if not upload_ids and not yes:
            _confirm(len(chosen))
        codes = [tell_aborted(output, upload_id, abort_one(api, journal, upload_id)) for upload_id in chosen]
    return int(exit_of_run(codes.count(Exit.DONE), [code for code in codes if code is not Exit.DONE]))


def _confirm(count: int) -> None:
    """Ask on a terminal; raises UsageError where nobody can answer."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"{count_text(count, 'upload')} would be aborted, and nobody is there to agree.", "Add --yes to go ahead."
        )
    click.confirm(f"Abort {count_text(count, 'upload')}? The parts are deleted.", abort=True, err=True)
