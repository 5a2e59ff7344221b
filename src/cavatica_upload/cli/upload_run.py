"""Runs uploads with progress, questions and signals, and says how each file ended."""

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from cavatica_upload.api import Api
from cavatica_upload.cli import summary
from cavatica_upload.cli.exit_codes import Exit
from cavatica_upload.cli.format import count_text
from cavatica_upload.cli.logfile import log_event, log_text
from cavatica_upload.cli.messages import timestamp
from cavatica_upload.cli.meter import Meter
from cavatica_upload.cli.options import Connection
from cavatica_upload.cli.output import Output, ask
from cavatica_upload.cli.progress import Display, JsonLines, Lines
from cavatica_upload.cli.signals import SIGNALS
from cavatica_upload.cli.summary import Tally
from cavatica_upload.errors import FileChanged
from cavatica_upload.journal.journal import state_notice
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import Outcome, UploadRequest
from cavatica_upload.uploader import Uploader


@attrs.frozen(kw_only=True)
class RunOptions:
    """How a run uploads; `resume` are the words of the command that resumes it, None if there is none."""

    connection: Connection
    jobs: int | None = None
    bwlimit: int | None = None
    verify: bool = True
    share: float = 1.0
    yes: bool = False
    retry_for: float = 300.0
    stop_within: float = 10.0
    resume: Sequence[str] | None = None


class UploadRun:
    """Uploads `requests()` and shows progress and results. Use once; call it for the exit code."""

    def __init__(
        self, output: Output, options: RunOptions, *, files: int, size: int, unsized: Iterable[str] = ()
    ) -> None:
        self.output = output
        self.options = options
        self.tally = Tally(files=files)
        meter = Meter(files, size, time.monotonic(), unsized)
        if output.as_json:
            self.display: Display = JsonLines(output, meter)
        elif output.quiet:
            self.display = Display(output, meter)
        elif output.on_terminal:
            from cavatica_upload.cli.bars import Bars

            self.display = Bars(output, meter)
        else:
            self.display = Lines(output, meter)

    def requests(self, api: Api) -> Iterable[UploadRequest]:
        """Return what is to be uploaded."""
        raise NotImplementedError

    def arrived(self, request: UploadRequest, receipt: Receipt) -> None:
        """Do what is to be done once a file is on the platform."""

    def failed(self, request: UploadRequest, error: Exception) -> Exception:  # noqa: ARG002 - for those who know more
        """Return the error that a file is to be counted with."""
        return error

    def finish(self) -> None:
        """Do what is left when all files have ended."""

    def __call__(self) -> Exit:
        """Upload everything, show how it ended and return the exit code; raises what stops the run at the start."""
        began, options = time.monotonic(), self.options
        notice = state_notice()
        if notice:
            self.output.warn(notice)
        uploader = Uploader(
            token=options.connection.token,
            endpoint=options.connection.endpoint,
            profile=options.connection.profile,
            jobs=options.jobs,
            bwlimit=options.bwlimit,
            verify=options.verify,
            share=options.share,
            retry_for=options.retry_for,
            stop_within=options.stop_within,
            listeners=[self.display, log_event],
        )
        with SIGNALS.stopping(uploader, options.stop_within, self.output.say), uploader:
            self._upload(uploader)
        meter = self.display.meter
        self.tally.sent, self.tally.kept_bytes = meter.sent, meter.unfinished_kept
        self.tally.kept_parts = meter.unfinished_parts
        summary.show(self.output, self.tally, time.monotonic() - began, options.resume)
        log_text(f"Ended with exit code {int(self.tally.code)}")
        return self.tally.code

    def _upload(self, uploader: Uploader) -> None:
        requests = self.requests(uploader.api)
        while requests:
            changed: list[UploadRequest] = []
            with self.display:
                for outcome in uploader.upload_many(requests):
                    if isinstance(outcome.error, FileChanged) and self._may_ask():
                        changed.append(outcome.request)
                    else:
                        self._take(outcome)
                self.finish()
            self.tally.stopped |= SIGNALS.count > 0
            requests = self._ask(changed) if changed else []

    def _take(self, outcome: Outcome) -> None:
        """Count how a file ended, and say it on standard output."""
        key, receipt = outcome.request.key, outcome.receipt
        if receipt is not None and outcome.skipped is not None:
            self.found(key, receipt, ended=False)
            self.arrived(outcome.request, receipt)
        elif outcome.error is not None:
            self.tally.fail(key, self.failed(outcome.request, outcome.error))
        elif outcome.skipped is not None:
            self.tally.skipped += 1
            self.tally.different += outcome.different
            self.display.settle(getattr(outcome.request.context, "known_size", 0), ended=False)
        elif receipt is not None:
            self.tally.done += 1
            self.tally.size += receipt.size
            self.tally.unverified += not receipt.verified
            if not self.output.as_json:
                self._print_file(receipt, key, outcome.request.name)
            self.arrived(outcome.request, receipt)

    def found(self, key: str, receipt: Receipt, *, ended: bool = True) -> None:
        """Count a file that another run uploaded; `ended` if no event tells of its end."""
        self.display.settle(receipt.size, ended=ended)
        self.tally.there += 1
        if self.output.as_json:
            self.output.record(
                {
                    "event": "already_there",
                    "time": timestamp(),
                    "file": key,
                    "file_id": receipt.file_id,
                    "receipt": str(receipt.path),
                }
            )
            return
        self._print_file(receipt, key, None)
        if self.output.verbose and ended:
            self.output.say(f"{key}: already uploaded on {receipt.finished}, unchanged")

    def _print_file(self, receipt: Receipt, key: str, wanted: str | None) -> None:
        """Print the ID and the path of a file, and its name on the platform if it got another one there."""
        renamed = [receipt.name] if wanted is not None and receipt.name != wanted else []
        self.output.result(receipt.file_id, key, *renamed)

    def _may_ask(self) -> bool:
        asked = not self.options.yes and not self.output.as_json and SIGNALS.count == 0
        return asked and sys.stdin is not None and sys.stdin.isatty() and self.output.on_terminal

    def _ask(self, changed: list[UploadRequest]) -> list[UploadRequest]:
        """Ask whether files that changed since their upload was begun are to be uploaded anew."""
        self.output.say(f"{count_text(len(changed), 'file')} changed since the upload was begun:")
        for request in changed[:20]:
            self.output.say(f"  {request.key}")
        try:
            with SIGNALS.paused():
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
            self._take(Outcome(request, error=error))
        return []


class ListRun(UploadRun):
    """Uploads a list of requests."""

    def __init__(self, requests: Sequence[UploadRequest], options: RunOptions, output: Output) -> None:
        size = sum(_size(str(request.source)) for request in requests)
        super().__init__(output, options, files=len(requests), size=size)
        self._requests = requests

    def requests(self, api: Api) -> Iterable[UploadRequest]:  # noqa: ARG002 - these need no folders
        """Return the list."""
        return self._requests


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # the uploader says so in its own words
        return 0
