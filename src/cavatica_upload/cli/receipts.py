"""Receipts: `cavatica receipts`, `cavatica verify`, and the copies that --receipt writes."""

import os
from collections import deque
from collections.abc import Sequence
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavatica_upload.cli.messages import Exit
from cavatica_upload.cli.options import FILE, PATH, Command, Whole, option, output_options
from cavatica_upload.cli.output import Output, refuse_overwriting
from cavatica_upload.errors import CavaticaError, SourceError, UsageError, reason_of
from cavatica_upload.plan import count_text, plural, size_text

if TYPE_CHECKING:
    from cavatica_upload.receipt import Receipt

SUFFIX = ".receipt.json"
MOST_BYTES = 255  # of the name of a file


@click.command(cls=Command, short_help="List the receipts of files uploaded from here.")
@click.argument("text", required=False, metavar="[TEXT]")
@option("--last", type=Whole(1, 10**9), metavar="N", help="List only the last N.")
@option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="List the receipts in this folder instead of the state directory.",
)
@option("--map", "as_map", is_flag=True, help="Print only the path on disk, the file ID and the path on the platform.")
@output_options
def receipts(text: str | None, last: int | None, folder: Path | None, as_map: bool, output: Output) -> None:
    """List the receipts of files that were uploaded from here, the oldest first.

    With TEXT, list only those whose name, path on disk, project, folder or file ID contains it. Each line has
    the time, the file ID, the size, what was verified, the path on disk and the path of the receipt, with tabs between
    them; on a terminal, they are a table.
    """
    from cavatica_upload.disk import state_dir
    from cavatica_upload.receipt import receipts as read_receipts

    place = folder or state_dir() / "receipts"
    others: list[SourceError] = []
    found = (receipt for receipt in read_receipts(place, others.append) if text is None or _mentions(receipt, text))
    listed = list(deque(found, last))
    if output.as_json:
        for receipt in listed:
            output.record({"event": "receipt", **_record(receipt)})
    elif as_map:
        output.results(("PATH", "FILE ID", "PLATFORM PATH"), [_mapping(receipt) for receipt in listed])
    else:
        headers = ("FINISHED", "FILE ID", "SIZE", "PROOF", "PATH", "RECEIPT")
        output.results(headers, [_fields(receipt) for receipt in listed])
    if others:
        left_out = plural(len(others), "file was left out", "files were left out, the first")
        output.warn(f"{len(others):,} {left_out}: {others[0]}")
    if not listed:
        output.say(f"No receipt matches {text!r} in {place}." if text else f"There is no receipt in {place}.")


def _fields(receipt: "Receipt") -> tuple[str, ...]:
    proof = "verified" if receipt.verified else "not verified"
    return receipt.finished, receipt.file_id, size_text(receipt.size), proof, receipt.source, str(receipt.path)


def _mapping(receipt: "Receipt") -> tuple[str, ...]:
    return receipt.source, receipt.file_id, f"{receipt.place or receipt.project or receipt.parent}/{receipt.name}"


def _mentions(receipt: "Receipt", text: str) -> bool:
    fields = (receipt.name, receipt.source, receipt.place, receipt.project, receipt.parent, receipt.file_id)
    return any(text in field for field in fields if field)


def _record(receipt: "Receipt") -> dict[str, Any]:
    keys = ("file_id", "name", "project", "parent", "place", "source", "size", "composite", "verified", "finished")
    found = {key: getattr(receipt, key) for key in keys}
    return found | {"parts": len(receipt.parts), "not_verified": receipt.not_verified, "receipt": receipt.path}


@click.command(cls=Command, short_help="Check a file on disk against its receipt, offline.")
@click.argument("receipt", metavar="RECEIPT", type=FILE)
@click.argument("file", metavar="FILE", type=PATH)
@option(
    "--jobs",
    "-j",
    type=Whole(1, 64),
    metavar="N",
    help="Parts to read at the same time. Default: one per core.",
)
@output_options
def verify(receipt: Path, file: str, jobs: int | None, output: Output) -> int:
    """Check a file on disk against the receipt of its upload, without the network.

    Exit code 0: the file has exactly the bytes that were uploaded. 5: it does not, or the receipt cannot prove it. 2:
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
    elif found.ok and not output.quiet:
        output.result(
            f"{file} is what was uploaded as {file_id}: "
            f"{size_text(found.receipt.size)}, {count_text(parts, 'part')}, every MD5 agrees."
        )
    if found.ok:
        return int(Exit.DONE)
    if found.unchecked_parts == parts:
        output.problem("The receipt has no MD5s (uploaded with --no-verify), so nothing can be compared.")
    else:
        output.problem(
            f"{file} is not proved to be what was uploaded as {file_id}. {found.reason}",
            "Keep both, this file and the one on the platform, until you know which is right.",
        )
    return int(Exit.INTEGRITY)


class ReceiptFiles:
    """Keeps receipts at `place`: a folder (one that exists, or a path that ends in a slash) or, for one file, a file.

    In a folder, the receipt of `run/b.bam` is `run/b.bam.receipt.json`. Raises UsageError if there are several
    `sources` and the place is not a folder, if it is one of the sources, and if nothing can be written there.
    """

    def __init__(self, place: str, sources: Sequence[str]) -> None:
        self._place = Path(place)
        self._folder = place.endswith(("/", os.sep)) or os.path.isdir(place)  # noqa: PTH112 - never raises
        if len(sources) > 1 and not self._folder:
            raise UsageError(
                f"--receipt {place} is one file, and there are several receipts to keep.",
                f"Give a folder: --receipt {place}/",
            )
        refuse_overwriting(self._place, "--receipt", sources)
        from cavatica_upload.disk import check_writable

        try:
            folder = self._place if self._folder else Path(os.path.realpath(self._place)).parent
            folder.mkdir(parents=True, exist_ok=True)
            check_writable(folder / SUFFIX if self._folder else self._place)
        except (OSError, ValueError) as error:
            # mkdir() says that it exists if it is, or if it is below, what is not a folder
            reason = "a part of its path is not a folder" if isinstance(error, FileExistsError) else reason_of(error)
            raise UsageError(f"--receipt {place} cannot be written: {reason}.", "Choose another place.") from error

    def keep(self, receipt: "Receipt", folder: str, name: str) -> None:
        """Write the receipt of the file `name`, whole or not at all; `folder` is its folder in the batch.

        Raises CavaticaError.
        """
        from cavatica_upload.disk import write_whole

        path = self._place / folder / _file_name(name) if self._folder else self._place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, receipt.to_json())
        except OSError as error:
            raise CavaticaError(f"{path} could not be written: {reason_of(error)}.") from error


def _file_name(name: str) -> str:
    """Return the name of the receipt of a file; a name that would be too long is cut and gets its MD5."""
    content = os.fsencode(name)
    if len(content) + len(SUFFIX) <= MOST_BYTES:
        return name + SUFFIX
    mark = f"-{md5(content, usedforsecurity=False).hexdigest()[:8]}{SUFFIX}"
    return content[: MOST_BYTES - len(mark)].decode(errors="ignore") + mark
