"""`cavatica doctor`."""

from typing import TYPE_CHECKING

import click

from cavatica_upload.cli.exit_codes import Exit, exit_of
from cavatica_upload.cli.format import count_text
from cavatica_upload.cli.messages import hint_of
from cavatica_upload.cli.options import Command, Connection, connection_options, option, output_options
from cavatica_upload.cli.output import Output
from cavatica_upload.destination import Target

if TYPE_CHECKING:
    from cavatica_upload.cli.checks import Finding


@click.command(cls=Command, short_help="Check what an upload needs, and say what is wrong.")
@option(
    "--project",
    metavar="OWNER/NAME",
    help="Also look at this project, and send one byte to its storage in an upload that is then aborted.",
)
@option("--parent", metavar="ID", help="The same for a folder, by its ID.")
@output_options()
@connection_options
def doctor(project: str | None, parent: str | None, output: Output, connection: Connection) -> int:
    """Check what an upload needs, and say what is wrong: token, endpoint, clock, proxy, certificates, disk, MD5.

    With --project or --parent also: whether files can be put there, and whether storage can be reached. For this, an
    upload of one byte is started, its byte is sent, and the upload is aborted; no file is made.
    """
    from cavatica_upload.cli.checks import findings

    target = Target.parse(project, parent) if project or parent else None
    wrong = []
    for finding in findings(connection, target, output):
        if finding.grade == "wrong":
            wrong.append(exit_of(finding.error) if finding.error else Exit.FAILED)
        _show(output, finding)
    if not output.as_json:
        output.say("All is well." if not wrong else f"{count_text(len(wrong), 'check')} failed.")
    return int(wrong[0] if wrong else Exit.DONE)


def _show(output: Output, finding: "Finding") -> None:
    hint = hint_of(finding.error) if finding.error else None
    if output.as_json:
        output.record(
            {"event": "check", "check": finding.check, "grade": finding.grade, "text": finding.text, "hint": hint}
        )
        return
    mark = {"ok": "ok", "note": "note", "wrong": "WRONG"}[finding.grade]
    output.result(f"{mark:<6} {finding.check:<9} {finding.text}")
    if hint:
        output.result(f"{'':<16} {hint}")
