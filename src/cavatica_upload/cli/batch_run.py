"""Uploads a checked batch: creates folders, keeps receipts at --receipt, sets metadata."""

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import attrs

from cavatica_upload.api import Api
from cavatica_upload.batch.files import STDIN, Batch, Item
from cavatica_upload.batch.folders import FolderTree
from cavatica_upload.batch.metadata import EditFailed, MetadataQueue
from cavatica_upload.batch.shard import Shard
from cavatica_upload.batch.sheet import PlatformPaths, Sheet
from cavatica_upload.cli.format import count_text
from cavatica_upload.cli.logfile import log_text
from cavatica_upload.cli.messages import message_of, timestamp
from cavatica_upload.cli.output import Output
from cavatica_upload.cli.receipts import ReceiptFiles
from cavatica_upload.cli.upload_run import RunOptions, UploadRun
from cavatica_upload.destination import Destination, Target
from cavatica_upload.disk import write_whole
from cavatica_upload.errors import BadRequest, CavaticaError, SizeMismatch, SourceError, UsageError
from cavatica_upload.journal.journal import state_dir
from cavatica_upload.receipt import Receipt
from cavatica_upload.receipt_index import ReceiptIndex
from cavatica_upload.request import DigestName, FileEdit, IfExists, UploadRequest


@attrs.frozen(kw_only=True)
class BatchOptions:
    """The options of `cavatica upload` about the files."""

    target: Target
    if_exists: IfExists = "fail"
    part_size: int | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    tags: tuple[str, ...] = ()
    shard: Shard | None = None
    digest: DigestName | None = None
    receipt: str | None = None
    sheet: Sheet | None = None
    sheet_out: Path | None = None
    sheet_ids: bool = False
    wait: bool = False
    expect_size: int | None = None
    expect_md5: str | None = None
    allow_empty: bool = False

    def describes(self, item: Item) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Return the metadata and tags of a file: the manifest's values go before those of the options."""
        row = item.row
        metadata = {**self.metadata, **(row.metadata if row else {})}
        return metadata, tuple(dict.fromkeys((*self.tags, *(row.tags if row else ()))))


class BatchRun(UploadRun):
    """Uploads a checked batch, keeps receipts at --receipt, and sets metadata."""

    _tree: FolderTree
    _queue: MetadataQueue
    _index: ReceiptIndex
    _api: Api

    def __init__(self, batch: Batch, about: BatchOptions, options: RunOptions, output: Output) -> None:
        unsized = (item.label for item in batch.items if item.size is None)
        files = len(batch.items) + len(batch.bad)
        super().__init__(output, options, files=files, size=batch.size, unsized=unsized)
        self._batch = batch
        self._about = about
        sources = [item.source for item in batch.items]
        self._receipts = ReceiptFiles(about.receipt, sources)
        self._in_sheet = about.sheet.named(sources) if about.sheet else set()
        self._uploaded: dict[str, tuple[Item, Receipt]] = {}
        for bad in batch.bad:
            self.tally.fail(bad.file, SourceError(bad.reason))

    def requests(self, api: Api) -> Iterator[UploadRequest]:
        """Yield what is to be sent, making its folder; files that are there already are counted, failures noted."""
        about, items = self._about, self._batch.items
        target = about.target
        self._tree = FolderTree(api, target.destination, [target.path(folder) for folder in self._batch.folders])
        self._queue = MetadataQueue(api)
        self._api = api
        self._index = ReceiptIndex(state_dir() / "receipts", api.endpoint)
        log_text(f"Uploading {count_text(len(items), 'file')}, {self._batch.size} bytes, to {target}")
        if self.output.as_json:
            self.output.record(
                {
                    "event": "run_started",
                    "time": timestamp(),
                    "files": self.tally.files,
                    "bytes": self._batch.size,
                    "destination": str(target),
                    "shard": str(about.shard) if about.shard else None,
                }
            )
        return self._requests()

    def _requests(self) -> Iterator[UploadRequest]:
        about = self._about
        for item in self._batch.items:
            try:
                _check_size(item, about.expect_size)
                destination = self._tree.get(about.target.path(item.folder))
                known = about.expect_md5 is None  # else the file has to be read
                receipt = (
                    find_uploaded(self._index, self._tree, about, item, destination, self.output.say) if known else None
                )
            except CavaticaError as error:
                self.tally.fail(item.label, error)
                continue
            if receipt is not None:
                self.found(item.label, receipt)
                self._keep(item, receipt)  # the run that sent it may have ended before this
                continue
            yield UploadRequest(
                source=standard_input() if item.source == STDIN else item.source,
                destination=destination,
                name=item.name,
                part_size=about.part_size,
                if_exists=about.if_exists,
                digest=about.digest,
                changed="restart" if self.options.yes else "refuse",
                wait=about.wait,
                key=item.label,
                context=item,
                expect_size=about.expect_size,
                expect_md5=about.expect_md5,
                allow_empty=about.allow_empty,
            )

    def failed(self, request: UploadRequest, error: Exception) -> Exception:
        """Return a refused --part-size as wrong usage: nothing of the file was sent."""
        refused = isinstance(error, BadRequest) and error.operation == "startUpload"
        if not refused or self._about.part_size is None or request.part_size is None:
            return error
        return UsageError(f"--part-size was refused. {message_of(error)}", "Give 5MiB to 5GiB, or leave it out.")

    def arrived(self, request: UploadRequest, receipt: Receipt) -> None:
        """Keep the receipt at --receipt, and set metadata."""
        self._keep(request.context, receipt)

    def _keep(self, item: Item, receipt: Receipt) -> None:
        if item.source in self._in_sheet:
            self._uploaded[item.source] = item, receipt
        try:
            self._receipts.keep(receipt, item.folder, item.name)
        except (OSError, CavaticaError) as error:
            self.output.warn(f"The receipt of {item.label} could not be written: {error}.")
        metadata, tags = self._about.describes(item)
        self._note(self._queue.add(FileEdit(receipt.file_id, item.label, metadata, tags)))

    def finish(self) -> None:
        """Set the metadata that is left, and write the sheet."""
        self._note(self._queue.flush())
        if self._about.sheet is not None and self._about.sheet_out is not None:
            self._write_sheet(self._about.sheet, self._about.sheet_out)

    def _write_sheet(self, sheet: Sheet, path: Path) -> None:
        """Write the sheet for the platform, or say why it is not written: one with local paths would be of no use."""
        missing = len(self._in_sheet) - len(self._uploaded)
        if missing:
            self.output.warn(
                f"{path} was not written: {count_text(missing, 'file')} of the sheet not uploaded. "
                "Run the same command again to finish."
            )
            return
        paths = PlatformPaths(self._api)
        try:
            places = {
                source: receipt.file_id
                if self._about.sheet_ids
                else f"{paths.of(self._tree.get(self._about.target.path(item.folder)))}/{receipt.name}"
                for source, (item, receipt) in self._uploaded.items()
            }
            write_whole(path, sheet.replace(places)[0])
        except OSError as error:
            self.tally.fail(str(path), UsageError(f"The sheet could not be written: {error.strerror}."))
        except CavaticaError as error:
            self.tally.fail(str(path), error)
        else:
            self.output.say(f"Sheet for the platform: {path} ({count_text(len(places), 'file')})")

    def _note(self, failed: list[EditFailed]) -> None:
        self.tally.described = self._queue.done
        for one in failed:
            self.tally.fail_metadata(one.edit.file, one.edit.file_id, one.error)


def find_uploaded(
    index: ReceiptIndex,
    tree: FolderTree,
    about: BatchOptions,
    item: Item,
    destination: Destination,
    say: Callable[[str], None] = lambda _text: None,
) -> Receipt | None:
    """Return the receipt of a file that an earlier run uploaded; `say` is called before the file has to be read."""
    return index.find(
        item.source,
        item.size,
        item.name,
        destination,
        is_there=lambda receipt: tree.holds(about.target.path(item.folder), receipt.file_id),
        renamed=about.if_exists == "rename",
        before_reading=lambda: say(f"{item.source}: touched since it was uploaded; comparing it with the receipt"),
    )


def _check_size(item: Item, expected: int | None) -> None:
    """Raise SizeMismatch if a file has not the size that it should have."""
    if None not in (expected, item.size) and item.size != expected:
        raise SizeMismatch(
            f"{item.label} has {item.size:,} bytes, and {expected:,} were expected; nothing was uploaded.",
            "Check the file, or --expect-size.",
            expected=expected,
            got=item.size,
        )


def standard_input() -> BinaryIO:
    """Return standard input without a buffer: a thread that waits for it must not hold the buffer's lock at the end."""
    try:
        return cast("BinaryIO", io.FileIO(sys.stdin.fileno(), closefd=False))
    except (OSError, ValueError, AttributeError):
        return sys.stdin.buffer
