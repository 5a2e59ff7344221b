"""One run of `cavatica upload`: a checked batch becomes requests, and files that arrived get their metadata."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs

from cavatica_upload.batch.files import STDIN, Batch, Item
from cavatica_upload.batch.folders import FolderTree
from cavatica_upload.batch.metadata import EditFailed, MetadataQueue
from cavatica_upload.batch.shard import Shard
from cavatica_upload.cli.console import Output, count_text, visible
from cavatica_upload.cli.exits import Exit
from cavatica_upload.cli.logfile import log_text
from cavatica_upload.cli.receiptfiles import ReceiptFiles
from cavatica_upload.cli.session import Session, SessionOptions
from cavatica_upload.cli.wording import timestamp
from cavatica_upload.destination import Destination, Target
from cavatica_upload.errors import CavaticaError
from cavatica_upload.journal.journal import state_dir
from cavatica_upload.receipt import Receipt
from cavatica_upload.receipt_index import ReceiptIndex
from cavatica_upload.request import FileEdit
from cavatica_upload.uploader import DigestName, IfExists, Uploader, UploadRequest


@attrs.frozen(kw_only=True)
class RunOptions:
    """What `cavatica upload` was told, beside the files."""

    target: Target
    session: SessionOptions
    if_exists: IfExists = "fail"
    part_size: int | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    tags: tuple[str, ...] = ()
    shard: Shard | None = None
    digest: DigestName | None = None
    receipt: str | None = None
    wait: bool = False

    def describes(self, item: Item) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Return the metadata and tags of a file: what the manifest says goes before what the options say."""
        row = item.row
        metadata = {**self.metadata, **(row.metadata if row else {})}
        return metadata, tuple(dict.fromkeys((*self.tags, *(row.tags if row else ()))))


def found_before(
    receipt_index: ReceiptIndex,
    tree: FolderTree,
    options: RunOptions,
    item: Item,
    destination: Destination,
    say: Callable[[str], None] = lambda _text: None,
) -> Receipt | None:
    """Return the receipt of a file that an earlier run has brought; `say` is told before one has to be read for it."""
    touched = f"{item.source}: touched since it was uploaded; comparing it with the receipt"
    return receipt_index.find(
        item.source,
        item.size,
        item.name,
        destination,
        is_there=lambda receipt: tree.holds(options.target.path(item.folder), receipt.file_id),
        renamed=options.if_exists == "rename",
        before_reading=lambda: say(visible(touched)),
    )


class Run:
    """Uploads a batch and sets metadata. Use once; call it for the exit code."""

    _tree: FolderTree
    _queue: MetadataQueue
    _receipt_index: ReceiptIndex

    def __init__(self, batch: Batch, options: RunOptions, output: Output) -> None:
        self._batch = batch
        self._options = options
        self._output = output
        unsized = (item.label for item in batch.items if item.size is None)
        self._session = Session(output, options.session, files=len(batch.items), size=batch.size, unsized=unsized)
        self._receipts = ReceiptFiles(options.receipt, many=len(batch.items) > 1)

    def __call__(self) -> Exit:
        """Do it all, show how it ended, and return the exit code; raises what stops the run before it begins."""
        return self._session.run(self._prepare, self._arrived, lambda: self._note(self._queue.flush()))

    def _prepare(self, uploader: Uploader) -> Iterable[UploadRequest]:
        target, items = self._options.target, self._batch.items
        api = uploader.api
        self._tree = FolderTree(api, target.destination, [target.path(folder) for folder in self._batch.folders])
        self._queue = MetadataQueue(api)
        self._receipt_index = ReceiptIndex(state_dir() / "receipts", api.endpoint)
        log_text(f"Uploading {count_text(len(items), 'file')}, {self._batch.size} bytes, to {visible(str(target))}")
        if self._output.as_json:
            self._output.record(
                {
                    "event": "run_started",
                    "time": timestamp(),
                    "files": len(items),
                    "bytes": self._batch.size,
                    "destination": str(target),
                    "shard": str(self._options.shard) if self._options.shard else None,
                }
            )
        return self._requests()

    def _requests(self) -> Iterator[UploadRequest]:
        """Yield what is to be sent, making its folder; what is there already is counted, and what fails is noted."""
        options = self._options
        for item in self._batch.items:
            try:
                destination = self._tree.get(options.target.path(item.folder))
                receipt = found_before(self._receipt_index, self._tree, options, item, destination, self._output.say)
            except CavaticaError as error:
                self._session.tally.fail(item.label, error)
                continue
            if receipt is not None:
                self._session.found(item.label, receipt)
                self._edit(item, receipt)  # the run that brought it may have ended before it set the metadata
                continue
            yield UploadRequest(
                source=sys.stdin.buffer if item.source == STDIN else item.source,
                destination=destination,
                name=item.name,
                part_size=options.part_size,
                if_exists=options.if_exists,
                digest=options.digest,
                changed="restart" if options.session.yes else "refuse",
                wait=options.wait,
                key=item.label,
                context=item,
            )

    def _arrived(self, request: UploadRequest, receipt: Receipt) -> None:
        item: Item = request.context
        try:
            self._receipts.keep(receipt, self._options.target.path(item.folder))
        except OSError as error:
            self._output.warn(f"The receipt of {visible(request.key)} could not be kept where you asked: {error}.")
        self._edit(item, receipt)

    def _edit(self, item: Item, receipt: Receipt) -> None:
        metadata, tags = self._options.describes(item)
        self._note(self._queue.add(FileEdit(receipt.file_id, item.label, metadata, tags)))

    def _note(self, failed: list[EditFailed]) -> None:
        self._session.tally.described = self._queue.done
        for edit, error in ((one.edit, one.error) for one in failed):
            self._session.tally.fail_metadata(edit.file, edit.file_id, error)
