"""Reads the files of `cavatica upload`, uploads them with progress, questions and signals, and prints the results."""

import io
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import attrs

from cavatica_upload.batch.files import STDIN, Batch, Item, Rules, collect
from cavatica_upload.cli import summary
from cavatica_upload.cli.messages import Exit, message_of
from cavatica_upload.cli.options import Connection
from cavatica_upload.cli.output import Output, log_event, log_text
from cavatica_upload.cli.progress import Display, JsonLines, Lines, Meter
from cavatica_upload.cli.signals import SIGNALS, ask
from cavatica_upload.cli.summary import Tally, typed
from cavatica_upload.config import UTF_16_MARKS, read_rest
from cavatica_upload.disk import state_notice
from cavatica_upload.errors import BadRequest, CavaticaError, FileChanged, SourceError, UsageError, reason_of
from cavatica_upload.plan import count_text
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import Outcome, UploadRequest
from cavatica_upload.uploader import Uploader, UploaderOptions

if TYPE_CHECKING:
    from cavatica_upload.batch.shard import Shard
    from cavatica_upload.batch.sheet import Sheet
    from cavatica_upload.cli.receipts import ReceiptFiles


def listed_paths(path: Path, *, stdin_taken: bool) -> list[str]:
    """Return the paths in a file of paths; raises UsageError if it cannot be read."""
    if str(path) == STDIN:
        if stdin_taken:
            raise UsageError("Standard input cannot be both a list of paths and a file.", "Give “-” once.")
        _check_stdin()
    try:
        with path.open("rb") if str(path) != STDIN else nullcontext(sys.stdin.buffer) as file:
            raw = read_rest(file)
    except OSError as error:
        raise UsageError(f"The list {path} cannot be read: {reason_of(error)}.", "Check the path.") from error
    if raw.startswith(UTF_16_MARKS):  # as PowerShell writes it
        raw = raw.decode("utf-16", "replace").encode()
    lines = raw.split(b"\0") if b"\0" in raw else raw.removeprefix(b"\xef\xbb\xbf").splitlines()
    # A dash is standard input on the command line only.
    return [f".{os.sep}-" if line == b"-" else os.fsdecode(line) for line in lines if line]


def read_batch(
    paths: Sequence[str], manifest: Path | None, rules: Rules, output: Output, *, skip_bad_files: bool
) -> Batch:
    """Return the checked batch. Raises UsageError, with all problems of the batch."""
    if not paths and manifest is None:
        raise UsageError("There is nothing to upload.", "Name files or folders, or give --manifest.")
    if paths.count(STDIN) > 1:
        raise UsageError("Standard input can be uploaded only once.", "Give “-” once.")
    if STDIN in paths:
        _check_stdin()
    if not all(map(os.path.isabs, paths)):
        try:
            Path.cwd()
        except OSError as error:
            raise UsageError("The current folder does not exist any more.", "Change to another folder.") from error
    rows = []
    if manifest is not None:
        from cavatica_upload.batch.manifest import read_manifest

        rows = read_manifest(manifest)
    batch = collect(paths, rows, rules)
    for notice in batch.notices:
        output.warn(notice)
    bad = [] if skip_bad_files and batch.items else [file.reason for file in batch.bad]
    problems = [*batch.problems, *bad]
    if problems:
        hint = None
        if bad and batch.items:
            hint = "To upload the other files, use --exclude or --skip-bad-files."
        elif bad and len(paths) == 1 and rules.name is None and "its name" in bad[0]:
            hint = "Give it another name with --name."
        found = f"{count_text(len(problems), 'problem')} found; nothing was uploaded."
        raise UsageError(found, hint, problems=tuple(problems))
    if not batch.items:
        raise UsageError("No file is left to upload.", "Check --include and --exclude, and whether a folder is empty.")
    return batch


def _check_stdin() -> None:
    if sys.stdin is None:
        raise UsageError("Standard input is closed.", "Pipe something into the command, or name files.")


def keep_share(batch: Batch, shard: "Shard | None", output: Output) -> None:
    """Keep only this machine's share of the files; warn if a Slurm array runs without --shard."""
    if shard is None and (len(batch.items) == 1 or "SLURM_ARRAY_TASK_COUNT" not in os.environ):
        return
    from cavatica_upload.batch.shard import partition, slurm_tasks

    if shard is not None:
        total = len(batch.items)
        batch.items = partition(batch.items, shard.count)[shard.index - 1]
        output.say(f"Share {shard}: {len(batch.items):,} of {count_text(total, 'file')}.")
    elif slurm_tasks() > 1:
        output.warn(
            "Each task of this Slurm array uploads all of these files; with --shard slurm each uploads its share."
        )


def upload_batch(
    batch: Batch,
    common: UploadRequest,
    options: UploaderOptions,
    output: Output,
    connection: Connection,
    *,
    resumable: bool,
    shard: "Shard | None",
    receipts: "ReceiptFiles | None",
    sheet: "Sheet | None",
) -> Exit:
    """Upload a checked batch, print the result, and return the exit code.

    `common` has what all files have in common, such as their destination. Raises errors that stop the run at the start.
    """
    words = typed() if shard is None else shard.in_command(typed())
    run = UploadRun(
        output,
        connection,
        options,
        files=batch.count,
        size=batch.size,
        unsized=[item.label for item in batch.items if item.size is None],
        resume=words if resumable else None,
    )
    for bad in batch.bad:
        run.tally.fail(bad.file, SourceError(bad.reason))
    with run.uploader() as uploader:
        files = count_text(len(batch.items), "file")
        log_text(f"Uploading {files}, {count_text(batch.size, 'byte')}, to {common.target}")
        if output.as_json:
            output.event("run_started", files=batch.count, bytes=batch.size, destination=common.target, shard=shard)
        for request, receipt in run.upload(uploader, (_request(item, common) for item in batch.items)):
            item = request.context
            if sheet is not None:
                sheet.add(item.source, request.destination, receipt)
            if receipts is not None:
                try:
                    receipts.keep(receipt, item.folder, item.name)
                except CavaticaError as error:
                    run.tally.lack("receipt", request, receipt, error)
        if sheet is not None:
            _write_sheet(sheet, uploader, run)
    return run.end()


def _request(item: Item, common: UploadRequest) -> UploadRequest:
    request = item.request(common)
    return attrs.evolve(request, source=_standard_input()) if item.source == STDIN else request


def _standard_input() -> BinaryIO:
    """Return standard input unbuffered: a waiting thread would hold the lock of the buffer when the command ends."""
    try:
        return cast("BinaryIO", io.FileIO(sys.stdin.fileno(), closefd=False))
    except (OSError, ValueError, AttributeError):
        return sys.stdin.buffer


def _write_sheet(sheet: "Sheet", uploader: Uploader, run: "UploadRun") -> None:
    """Write the sheet for the platform; if files are missing, warn instead, because it would hold local paths."""
    if sheet.missing:
        run.output.warn(
            f"{sheet.out} was not written: the sheet names {count_text(sheet.missing, 'file')} that this run did not "
            "upload. Run the same command again to finish."
        )
        return
    try:
        files = sheet.write(uploader.api)
    except CavaticaError as error:
        run.tally.fail(str(sheet.out), error)
    else:
        run.output.say(f"Sheet for the platform: {sheet.out} ({count_text(files, 'file')})")


class UploadRun:
    """Uploads requests and shows progress and results; use once.

    `files` is their number, `size` the sum of their known sizes in bytes, `unsized` are the keys of the others.
    `resume` is the command that resumes the run, as words, or None.
    """

    def __init__(
        self,
        output: Output,
        connection: Connection,
        options: UploaderOptions,
        *,
        files: int,
        size: int,
        unsized: Iterable[str] = (),
        resume: Sequence[str] | None,
    ) -> None:
        self.output = output
        self.tally = Tally(files=files)
        self._connection = connection
        self._resume = resume
        self._began = time.monotonic()
        self._display = _display(output, Meter(files, size, self._began, unsized))
        self._options: UploaderOptions = {
            **options,
            "token": connection.token,
            "endpoint": connection.endpoint,
            "profile": connection.profile,
            "listeners": [self._display, log_event],
        }

    @contextmanager
    def uploader(self) -> Iterator[Uploader]:
        """Make the uploader; signals stop it. Raises errors that stop the run at the start."""
        for notice in filter(None, (state_notice(), *self._connection.token_file_notices)):
            self.output.warn(notice)
        uploader = Uploader(**self._options)
        with SIGNALS.stopping(uploader.cancel, self._options["stop_within"], self.output.say), uploader:
            yield uploader

    def upload(self, uploader: Uploader, requests: Iterable[UploadRequest]) -> Iterator[tuple[UploadRequest, Receipt]]:
        """Upload files, count their outcomes, and yield those that are on the platform, with their receipts."""
        while requests:
            changed: list[Outcome] = []
            with self._display:
                for outcome in uploader.upload_many(requests):
                    if isinstance(outcome.error, FileChanged) and self._may_ask(outcome.request):
                        changed.append(outcome)
                        continue
                    self._count(outcome)
                    if outcome.receipt is not None:
                        yield outcome.request, outcome.receipt
            self.tally.stopped |= SIGNALS.count > 0
            requests = self._ask(changed) if changed else []

    def end(self) -> Exit:
        """Print the summary of the run, and return the exit code."""
        summary.show(self.output, self.tally, self._display.meter, time.monotonic() - self._began, self._resume)
        log_text(f"Ended with exit code {int(self.tally.code)}")
        return self.tally.code

    def _count(self, outcome: Outcome) -> None:
        """Count an outcome, and print the ID and the path of a file that is on the platform."""
        request, receipt, error = outcome.request, outcome.receipt, outcome.error
        if receipt is None:
            if error is not None:
                self.tally.fail(request.key, _as_usage(request, error))
            else:
                self.tally.skipped += 1
                self.tally.different += outcome.different
                self._display.settle(getattr(request.context, "known_size", 0))
            return
        if error is not None:
            self.tally.lack("metadata", request, receipt, error.__cause__ or error)
        else:
            self.tally.described += bool(request.metadata or request.tags)
        if outcome.skipped is None:
            self.tally.done += 1
            self.tally.size += receipt.size
            self.tally.unverified += not receipt.verified
        else:
            self.tally.there += 1
            self._display.settle(receipt.size)
        if not self.output.as_json:
            renamed = [receipt.name] if outcome.skipped is None and request.name not in (None, receipt.name) else []
            self.output.result(receipt.file_id, request.key, *renamed)
        elif outcome.skipped is not None:
            self.output.event("already_there", file=request.key, file_id=receipt.file_id, receipt=receipt.path)

    def _may_ask(self, request: UploadRequest) -> bool:
        answers = sys.stdin is not None and sys.stdin.isatty() and self.output.on_terminal and not self.output.as_json
        return answers and request.changed == "refuse" and SIGNALS.count == 0

    def _ask(self, changed: list[Outcome]) -> list[UploadRequest]:
        """Ask whether to start new uploads for changed files; return the requests for these."""
        self.output.say(f"{count_text(len(changed), 'file')} changed since the upload started:")
        for outcome in changed[:20]:
            self.output.say(f"  {outcome.request.key}")
        try:
            if ask("Abort the unfinished uploads of the old content, and upload the new?"):
                return [attrs.evolve(outcome.request, changed="restart") for outcome in changed]
        except KeyboardInterrupt:
            self.tally.stopped = True
            return []
        for outcome in changed:
            self._count(outcome)
        return []


def _display(output: Output, meter: Meter) -> Display:
    if output.as_json:
        return JsonLines(output, meter)
    if output.quiet:
        return Display(output, meter)
    if output.on_terminal:
        from cavatica_upload.cli.bars import Bars

        return Bars(output, meter)
    return Lines(output, meter)


def _as_usage(request: UploadRequest, error: Exception) -> Exception:
    """Return a refused --part-size as wrong usage: nothing of the file was sent. Other errors stay as they are."""
    if request.part_size is None or not isinstance(error, BadRequest) or error.operation != "startUpload":
        return error
    return UsageError(f"--part-size was refused. {message_of(error)}", "Give 5MiB to 5GiB, or leave it out.")
