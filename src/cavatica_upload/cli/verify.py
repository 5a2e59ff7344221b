"""`cavatica verify`."""

from pathlib import Path
from typing import Any

import click

from cavatica_upload.cli.console import count_text, size_text, visible
from cavatica_upload.cli.exits import Exit
from cavatica_upload.cli.options import Command, option, output_options, take_output
from cavatica_upload.errors import SourceError, UsageError
from cavatica_upload.receipt import read
from cavatica_upload.verify import verify as check


@click.command(cls=Command, short_help="Check a file on disk against its receipt, offline.")
@click.argument("receipt", metavar="RECEIPT", type=click.Path(path_type=Path))
@click.argument("file", metavar="FILE")
@option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Parts to read at the same time. Default: one a core.",
)
@output_options()
def verify(receipt: Path, file: str, jobs: int | None, **values: Any) -> int:
    """Check a file on disk against the receipt of its upload, without the network.

    Exit code 0: it is, byte for byte, what was uploaded. 5: it is not, or the receipt does not prove it. 2: one of the
    two cannot be read.
    """
    output = take_output(values)
    try:
        found = check(read(receipt), file, jobs=jobs)
    except SourceError as error:
        raise UsageError(error.message, error.hint) from error
    if output.as_json:
        output.record(
            {
                "event": "verified",
                "file": file,
                "file_id": found.receipt.file_id,
                "ok": found.ok,
                "reason": found.reason,
                "wrong_parts": list(found.wrong_parts),
                "unchecked_parts": found.unchecked_parts,
            }
        )
    if found.ok:
        if not output.as_json and not output.quiet:
            parts = count_text(len(found.receipt.parts), "part")
            output.result(
                f"{visible(file)} is what was uploaded as {found.receipt.file_id}: "
                f"{size_text(found.receipt.size)}, {parts}, every MD5 agrees."
            )
        return int(Exit.DONE)
    output.problem(
        f"{visible(file)} is not proved to be what was uploaded as {found.receipt.file_id}. {found.reason}",
        "Keep the file apart from the one on the platform until you know which is right.",
    )
    return int(Exit.INTEGRITY)
