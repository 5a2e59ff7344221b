"""Files going up, seen from the terminal: progress, results, Ctrl-C, questions and the tally."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator

import attrs
import click

from cavatica_upload.cli.bars import Bars
from cavatica_upload.cli.console import Output, count_text, visible
from cavatica_upload.cli.exits import Exit
from cavatica_upload.cli.interrupts import Interrupts
from cavatica_upload.cli.logfile import log_event, log_text
from cavatica_upload.cli.meter import Meter
from cavatica_upload.cli.options import Connection
from cavatica_upload.cli.progress import Display, JsonLines, Lines
from cavatica_upload.cli.summary import Tally, show
from cavatica_upload.cli.wording import timestamp
from cavatica_upload.errors import FileChanged
from cavatica_upload.receipt import Receipt
from cavatica_upload.uploader import Outcome, Uploader, UploadRequest

Arrived = Callable[[UploadRequest, Receipt], None]


@attrs.frozen(kw_only=True)
class SessionOptions:
    """What the uploader is to be told, and `again`, the command that goes on where a run ends (None: there is none)."""

    connection: Connection
    jobs: int | None = None
    bwlimit: int | None = None
    verify: bool = True
    share: float = 1.0
    yes: bool = False
    again: str | None = None


def display_for(output: Output, meter: Meter) -> Display:
    """Return what fits the terminal and the options."""
    if output.as_json:
        return JsonLines(output, meter)
    if output.quiet:
        return Display(output, meter)
    return Bars(output, meter) if output.on_terminal else Lines(output, meter)


class Session:
    """One run over `files` files of `size` bytes, not counting the `unsized`. Use once; `tally` may be added to."""

    def __init__(
        self, output: Output, options: SessionOptions, *, files: int, size: int, unsized: Iterable[str] = ()
    ) -> None:
        self.output = output
        self.tally = Tally(files=files)
        self._options = options
        self._display = display_for(output, Meter(files, size, time.monotonic(), unsized))

    def run(
        self,
        prepare: Callable[[Uploader], Iterable[UploadRequest]],
        arrived: Arrived,
        finish: Callable[[], None] = lambda: None,
    ) -> Exit:
        """Upload what `prepare` yields and return the exit code.

        `arrived` is told of each file that is there, `finish` is called when all have ended, before the summary.
        """
        options, began = self._options, time.monotonic()
        connection = options.connection
        with Uploader(
            token=connection.token,
            endpoint=connection.endpoint,
            profile=connection.profile,
            jobs=options.jobs,
            bwlimit=options.bwlimit,
            verify=options.verify,
            share=options.share,
            listeners=[self._display, log_event],
        ) as uploader:
            self._upload(uploader, prepare(uploader), arrived, finish)
        self.tally.sent = self._display.meter.sent
        show(self.output, self.tally, time.monotonic() - began, options.again)
        log_text(f"Ended with exit code {int(self.tally.code)}")
        return self.tally.code

    def found(self, key: str, receipt: Receipt, *, ended: bool = True) -> None:
        """Count a file that another run brought; `ended` where no event has told of its end."""
        self._display.settle(receipt.size, ended=ended)
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
        self._tell_id(receipt, key)
        if self.output.verbose and ended:
            self.output.say(f"{visible(key)}: already there since {receipt.finished}")

    def _upload(
        self,
        uploader: Uploader,
        requests: Iterable[UploadRequest],
        arrived: Arrived,
        finish: Callable[[], None],
    ) -> None:
        with Interrupts(uploader, self.output.say) as interrupts:
            while True:
                changed: list[UploadRequest] = []
                with self._display:
                    for outcome in uploader.upload_many(requests):
                        if isinstance(outcome.error, FileChanged) and self._may_ask() and not interrupts.count:
                            changed.append(outcome.request)
                        else:
                            self._take(outcome, arrived)
                    finish()
                self.tally.stopped |= interrupts.count > 0
                if not changed:
                    return
                requests = list(self._ask(changed, arrived))

    def _take(self, outcome: Outcome, arrived: Arrived) -> None:
        """Count how a file ended, and say it on standard output."""
        key = outcome.request.key
        if outcome.receipt is not None and outcome.skipped is not None:
            self.found(key, outcome.receipt, ended=False)
            arrived(outcome.request, outcome.receipt)
        elif outcome.error is not None:
            self.tally.fail(key, outcome.error)
        elif outcome.skipped is not None:
            self.tally.skipped += 1
            self._display.settle(getattr(outcome.request.context, "known_size", 0), ended=False)
        elif outcome.receipt is not None:
            self.tally.done += 1
            self.tally.size += outcome.receipt.size
            self.tally.unverified += not outcome.receipt.verified
            if not self.output.as_json:
                self._tell_id(outcome.receipt, key)
            arrived(outcome.request, outcome.receipt)

    def _tell_id(self, receipt: Receipt, key: str) -> None:
        self.output.result(f"{receipt.file_id}\t{visible(key)}")

    def _may_ask(self) -> bool:
        return not self._options.yes and not self.output.as_json and sys.stdin.isatty() and self.output.on_terminal

    def _ask(self, changed: list[UploadRequest], arrived: Arrived) -> Iterator[UploadRequest]:
        """Ask whether files that changed since their upload was begun are to be uploaded anew."""
        self.output.say(f"{count_text(len(changed), 'file')} changed since the upload was begun:")
        for request in changed[:20]:
            self.output.say(f"  {visible(request.key)}")
        if click.confirm("Abort the unfinished uploads of the old content, and upload the new?", err=True):
            yield from (attrs.evolve(request, changed="restart") for request in changed)
            return
        for request in changed:
            error = FileChanged(
                f"{request.key} changed since its upload was begun.",
                "Run the same command again with --yes to abort the old upload and send the file as it is now.",
            )
            self._take(Outcome(request, error=error), arrived)
