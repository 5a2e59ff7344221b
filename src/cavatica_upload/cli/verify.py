"""`cavatica verify`."""

from pathlib import Path

import click

from cavatica_upload.cli.messages import Exit, count_text
from cavatica_upload.cli.options import FILE, Command, option, output_options
from cavatica_upload.cli.output import Output
from cavatica_upload.errors import SourceError, UsageError
from cavatica_upload.plan import size_text


@click.command(cls=Command, short_help="Check a file on disk against its receipt, offline.")
@click.argument("receipt", metavar="RECEIPT", type=FILE)
@click.argument("file", metavar="FILE", type=click.Path())
@option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Parts to read at the same time. Default: one per core.",
)
@output_options
def verify(receipt: Path, file: str, jobs: int | None, output: Output) -> int:
    """Check a file on disk against the receipt of its upload, without the network.

    Exit code 0: the file has exactly the bytes that were uploaded. 5: it has not, or the receipt cannot prove it. 2:
    the receipt or the file cannot be read.
    """
    from cavatica_upload.receipt import read
    from cavatica_upload.verification import verify as check

    try:
        found = check(read(receipt), file, jobs=jobs)
    except SourceError as error:
        raise UsageError(error.message, "Check the path.") from error
    file_id, parts = found.receipt.file_id, len(found.receipt.parts)
    if output.as_json:
        output.record(
            {
                "event": "verified",
                "file": file,
                "file_id": file_id,
                "ok": found.ok,
                "reason": found.reason,
                "wrong_parts": list(found.wrong_parts),
                "unchecked_parts": found.unchecked_parts,
            }
        )
    if found.ok:
        if not output.as_json and not output.quiet:
            output.result(
                f"{file} is what was uploaded as {file_id}: "
                f"{size_text(found.receipt.size)}, {count_text(parts, 'part')}, every MD5 agrees."
            )
        return int(Exit.DONE)
    if found.unchecked_parts == parts:
        output.problem("The receipt has no MD5s (uploaded with --no-verify), so nothing can be compared.")
    else:
        output.problem(
            f"{file} is not proved to be what was uploaded as {file_id}. {found.reason}",
            "Keep both, this file and the one on the platform, until you know which is right.",
        )
    return int(Exit.INTEGRITY)
