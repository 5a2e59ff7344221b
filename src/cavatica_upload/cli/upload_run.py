"""Runs uploads with progress, questions and signals, and prints the result of each file."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import attrs

from cavatica_upload.cli import summary
from cavatica_upload.cli.messages import Exit, count_text, message_of, timestamp
from cavatica_upload.cli.options import Connection
from cavatica_upload.cli.output import Output, log_event, log_text
from cavatica_upload.cli.progress import Display, JsonLines, Lines, Meter
from cavatica_upload.cli.signals import SIGNALS, ask
from cavatica_upload.cli.summary import Tally
from cavatica_upload.disk import state_notice
from cavatica_upload.errors import BadRequest, FileChanged, UsageError
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import Outcome, UploadRequest
from cavatica_upload.uploader import Uploader, UploaderOptions


class UploadRun:
    """Uploads requests and shows progress and results; use once.

    `files` is their number, `size` the sum of their bytes as far as it is known, `unsized` are the keys of the others.
    `yes` asks no questions; `resume` is the command that resumes the run, as words, or None.
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
        yes: bool,
        resume: Sequence[str] | None,
    ) -> None:
        self.output = output
        self.tally = Tally(files=files)
        self._connection = connection
        self._yes = yes
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
        notice = state_notice()
        if notice:
            self.output.warn(notice)
        self._connection.warn(self.output)
        uploader = Uploader(**self._options)
        with SIGNALS.stopping(uploader.cancel, self._options["stop_within"], self.output.say), uploader:
            yield uploader

    def upload(self, uploader: Uploader, requests: Iterable[UploadRequest]) -> Iterator[tuple[UploadRequest, Receipt]]:
        """Upload files, count their outcomes, and yield those that are on the platform, with their receipts."""
        while requests:
            changed: list[UploadRequest] = []
            with self._display:
                for outcome in uploader.upload_many(requests):
                    if isinstance(outcome.error, FileChanged) and self._may_ask():
                        changed.append(outcome.request)
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
            self.tally.fail(request.key, error.__cause__ or error, receipt.file_id)
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
            self.output.record(
                {
                    "event": "already_there",
                    "time": timestamp(),
                    "file": request.key,
                    "file_id": receipt.file_id,
                    "receipt": str(receipt.path),
                }
            )

    def _may_ask(self) -> bool:
        asked = not self._yes and not self.output.as_json and SIGNALS.count == 0
        return asked and sys.stdin is not None and sys.stdin.isatty() and self.output.on_terminal

    def _ask(self, changed: list[UploadRequest]) -> list[UploadRequest]:
        """Ask whether to start new uploads for changed files; return the requests for these."""
        self.output.say(f"{count_text(len(changed), 'file')} changed since the upload was begun:")
        for request in changed[:20]:
            self.output.say(f"  {request.key}")
        try:
            agreed = ask("Abort the unfinished uploads of the old content, and upload the new?")
        except KeyboardInterrupt:
            self.tally.stopped = True
            return []
        if agreed:
            return [attrs.evolve(request, changed="restart") for request in changed]
        for request in changed:
            error = FileChanged(
                f"{request.key} changed since its upload was begun.",
                "Run the same command again with --yes to abort the old upload and send the file as it is now.",
            )
            self.tally.fail(request.key, error)
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
