"""`cavatica upload`: reads and checks a batch, uploads it, and writes receipts and the sample sheet."""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Self, cast

import attrs

from cavatica_upload.api import Api
from cavatica_upload.batch.files import STDIN, Batch, Item, Rules, collect
from cavatica_upload.batch.manifest import ManifestError, read_manifest
from cavatica_upload.batch.shard import Shard, partition, slurm_tasks
from cavatica_upload.batch.sheet import Sheet, SheetStyle
from cavatica_upload.cli.messages import Exit, count_text, timestamp
from cavatica_upload.cli.output import Output, log_text, refuse_overwriting
from cavatica_upload.cli.receipts import ReceiptFiles
from cavatica_upload.cli.summary import typed
from cavatica_upload.cli.upload_run import UploadRun
from cavatica_upload.destination import Destination
from cavatica_upload.disk import write_whole
from cavatica_upload.errors import CavaticaError, SourceError, UsageError, reason_of
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import UploadRequest


def read_batch(
    paths: Sequence[str],
    manifest: Path | None,
    rules: Rules,
    output: Output,
    *,
    skip_bad_files: bool,
) -> Batch | None:
    """Return the checked batch; None if it has problems, after all of them were printed."""
    if paths.count(STDIN) > 1:
        raise UsageError("Standard input can be uploaded only once.", "Give “-” once.")
    if STDIN in paths and sys.stdin is None:
        raise UsageError("Standard input is closed.", "Pipe something into the command, or name files.")
    try:
        rows = read_manifest(manifest) if manifest is not None else []
    except ManifestError as error:
        output.error(error)
        output.problems(error.problems)
        return None
    batch = collect(paths, rows, rules)
    bad = [] if skip_bad_files and batch.items else [file.reason for file in batch.bad]
    problems = [*batch.problems, *bad]
    for notice in batch.notices:
        output.warn(notice)
    if problems:
        output.error(UsageError(f"{count_text(len(problems), 'problem')} found; nothing was uploaded."))
        output.problems(problems)
        if bad and batch.items:
            output.hint("To upload the other files, use --exclude or --skip-bad-files.")
        elif bad and len(paths) == 1 and rules.name is None and "its name" in bad[0]:
            output.hint("Give it another name with --name.")
        return None
    if not batch.items:
        hint = "Check --include and --exclude, and whether a folder is empty."
        output.error(UsageError("No file is left to upload.", hint))
        return None
    return batch


def listed_paths(path: Path, *, stdin_taken: bool) -> list[str]:
    """Return the paths in a file of paths; raises UsageError if it cannot be read."""
    try:
        if str(path) != STDIN:
            raw = path.read_bytes()
        elif stdin_taken or sys.stdin is None:
            raise UsageError("Standard input cannot be both a list of paths and a file.", "Give “-” once.")
        else:
            raw = sys.stdin.buffer.read()
    except OSError as error:
        raise UsageError(f"The list {path} cannot be read: {reason_of(error)}.", "Check the path.") from error
    lines = raw.split(b"\0") if b"\0" in raw else raw.removeprefix(b"\xef\xbb\xbf").splitlines()
    # A dash is standard input on the command line only.
    return [f".{os.sep}-" if line == b"-" else os.fsdecode(line) for line in lines if line]


def keep_share(batch: Batch, shard: Shard | None, output: Output) -> None:
    """Keep only this machine's share of the files; warn if a Slurm array runs without --shard."""
    if shard:
        whole = len(batch.items)
        shares = partition(batch.items, shard.count, key=lambda item: item.target, size=lambda item: item.known_size)
        batch.items = shares[shard.index - 1]
        output.say(f"Share {shard}: {len(batch.items):,} of {count_text(whole, 'file')}.")
    elif len(batch.items) > 1 and slurm_tasks() > 1:
        output.warn(
            "Each task of this Slurm array uploads all of these files; with --shard slurm each uploads its share."
        )


def resume_words(batch: Batch, shard: Shard | None, files_from: Path | None) -> list[str] | None:
    """Return the command that resumes: the same, but with “slurm” replaced by the numbers of the shard.

    None if standard input is needed again.
    """
    if any(item.source == STDIN for item in batch.items) or str(files_from) == STDIN:
        return None
    words = typed()
    if shard is None:
        return words
    before = ["", *words]
    return [
        str(shard) if previous == "--shard" else f"--shard={shard}" if word.startswith("--shard=") else word
        for previous, word in zip(before, words, strict=False)
    ]


@attrs.frozen(kw_only=True)
class SheetOptions:
    """The sample sheet, where to write the new one, and how it names files."""

    sheet: Sheet
    out: Path
    style: SheetStyle

    @classmethod
    def read(
        cls, path: Path | None, out: Path | None, style: SheetStyle, sources: Sequence[str], shard: Shard | None
    ) -> Self | None:
        """Read the sheet, None if there is none; raises UsageError, before a file of the run is overwritten."""
        if path is None and out is None:
            return None
        if path is None or out is None:
            raise UsageError("--sheet and --sheet-out go together.", "Give the sheet, and where to write the new one.")
        if shard is not None and shard.count > 1:
            raise UsageError(
                "A share of the files cannot fill the sheet.",
                "When all shares are uploaded, run it once more without --shard: nothing is sent again.",
            )
        refuse_overwriting(out, "--sheet-out", sources)
        if out.exists() and out.samefile(path):
            raise UsageError(f"--sheet-out {out} is the sheet itself.", "Choose another path.")
        if not out.parent.is_dir():
            raise UsageError(f"--sheet-out {out} cannot be written: its folder does not exist.", "Create the folder.")
        sheet = Sheet.read(path)
        if sheet.replace({str(out): ""})[1]:
            raise UsageError(f"--sheet-out {out} is a file that the sheet names.", "Choose another path.")
        return cls(sheet=sheet, out=out, style=style)


def upload_batch(
    run: UploadRun,
    batch: Batch,
    common: UploadRequest,
    receipts: ReceiptFiles,
    sheet: SheetOptions | None,
    shard: Shard | None,
) -> Exit:
    """Upload a checked batch, print the result, and return the exit code; raises errors that stop the run at the start.

    `common` holds what all files have in common, such as their destination.
    """
    in_sheet = sheet.sheet.named([item.source for item in batch.items]) if sheet else set()
    for_sheet: dict[str, tuple[Destination, Receipt]] = {}
    for bad in batch.bad:
        run.tally.fail(bad.file, SourceError(bad.reason))
    with run.uploader() as uploader:
        log_text(f"Uploading {count_text(len(batch.items), 'file')}, {batch.size} bytes, to {common.target}")
        if run.output.as_json:
            run.output.record(
                {
                    "event": "run_started",
                    "time": timestamp(),
                    "files": run.tally.files,
                    "bytes": batch.size,
                    "destination": str(common.target),
                    "shard": str(shard) if shard else None,
                }
            )
        for request, receipt in run.upload(uploader, (_request(item, common) for item in batch.items)):
            item = request.context
            if item.source in in_sheet:
                for_sheet[item.source] = request.destination, receipt
            try:
                receipts.keep(receipt, item.folder, item.name)
            except (OSError, CavaticaError) as error:
                run.output.warn(f"The receipt of {item.label} could not be written: {reason_of(error)}.")
        if sheet is not None:
            _write_sheet(sheet, for_sheet, len(in_sheet) - len(for_sheet), uploader.api, run)
    return run.end()


def _request(item: Item, common: UploadRequest) -> UploadRequest:
    request = item.request(common)
    return attrs.evolve(request, source=_standard_input()) if item.source == STDIN else request


def _write_sheet(
    options: SheetOptions, files: Mapping[str, tuple[Destination, Receipt]], missing: int, api: Api, run: UploadRun
) -> None:
    """Write the sheet for the platform; if files are missing, warn instead, because it would hold local paths."""
    path = options.out
    if missing:
        run.output.warn(
            f"{path} was not written: {count_text(missing, 'file')} of the sheet not uploaded. "
            "Run the same command again to finish."
        )
        return
    try:
        write_whole(path, options.sheet.for_platform(files, options.style, api))
    except OSError as error:
        run.tally.fail(str(path), UsageError(f"The sheet could not be written: {reason_of(error)}."))
    except CavaticaError as error:
        run.tally.fail(str(path), error)
    else:
        run.output.say(f"Sheet for the platform: {path} ({count_text(len(files), 'file')})")


def _standard_input() -> BinaryIO:
    """Return standard input unbuffered: a waiting thread would hold the lock of the buffer when the command ends."""
    try:
        return cast("BinaryIO", io.FileIO(sys.stdin.fileno(), closefd=False))
    except (OSError, ValueError, AttributeError):
        return sys.stdin.buffer
