"""`cavatica receipts`."""

from collections import deque
from pathlib import Path
from typing import Any

import click

from cavatica_upload.cli.console import size_text, visible
from cavatica_upload.cli.options import Command, option, output_options, take_output
from cavatica_upload.journal.journal import state_dir
from cavatica_upload.receipt import Receipt
from cavatica_upload.receipt import receipts as kept


@click.command(cls=Command, short_help="List the receipts of files uploaded from here.")
@click.argument("name", required=False, metavar="[TEXT]")
@option("--last", type=click.IntRange(1), metavar="N", help="Only the last N.")
@option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Look here instead of in the state directory.",
)
@output_options()
def receipts(name: str | None, last: int | None, folder: Path | None, **values: Any) -> None:
    """List the receipts of files that were uploaded from here, the oldest first.

    With TEXT, only those with it in the name, the path, the destination or the file id. Each line has the time, the
    file id, the size, what was proved, the path on disk and the path of the receipt, with tabs between them.
    """
    output = take_output(values)
    place = folder or state_dir() / "receipts"
    found = (receipt for receipt in kept(place) if name is None or _mentions(receipt, name))
    listed = list(deque(found, last)) if last else found
    count = 0
    for receipt in listed:
        count += 1
        if output.as_json:
            output.record({"event": "receipt", **_record(receipt)})
        else:
            proof = "verified" if receipt.verified else "not verified"
            fields = (receipt.finished, receipt.file_id, size_text(receipt.size), proof, receipt.source, receipt.path)
            output.result("\t".join(visible(str(field)) for field in fields))
    if not count:
        output.say(f"There is no receipt{' like that' if name else ''} in {place}.")


def _mentions(receipt: Receipt, text: str) -> bool:
    fields = (receipt.name, receipt.source, receipt.project, receipt.parent, receipt.file_id)
    return any(text in field for field in fields if field)


def _record(receipt: Receipt) -> dict[str, Any]:
    return {
        "file_id": receipt.file_id,
        "name": receipt.name,
        "project": receipt.project,
        "parent": receipt.parent,
        "source": receipt.source,
        "size": receipt.size,
        "parts": len(receipt.parts),
        "composite": receipt.composite,
        "verified": receipt.verified,
        "not_verified": list(receipt.not_verified),
        "finished": receipt.finished,
        "receipt": str(receipt.path),
    }
