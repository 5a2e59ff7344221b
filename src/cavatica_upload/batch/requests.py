"""Makes upload requests from the files of a batch. Prepares their folders before the upload and sets metadata after."""

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from cavatica_upload.api import Api
from cavatica_upload.batch.files import Item, Rules, collect
from cavatica_upload.batch.folders import FolderTree, NotAFolder
from cavatica_upload.batch.manifest import ManifestError, read_manifest
from cavatica_upload.destination import Destination, Target
from cavatica_upload.errors import ApiError, CavaticaError, UsageError
from cavatica_upload.events import Event, Notice, UploadFailed, UploadSkipped
from cavatica_upload.receipt import Receipt
from cavatica_upload.receipt_index import ReceiptIndex
from cavatica_upload.request import FileEdit, IfExists, Outcome, UploadRequest, path_text
from cavatica_upload.sources.remote import is_url

FILES_PER_CALL = 100  # for one metadata call; sevenbridges-python's DEFAULT_BULK_LIMIT


def requests_for(
    *paths: str | os.PathLike[str],
    destination: Destination | str,
    manifest: str | os.PathLike[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    tags: Iterable[str] = (),
    if_exists: IfExists = "fail",
    part_size: int | None = None,
) -> list[UploadRequest]:
    """Return a request for each file in `paths`, in a folder in `paths`, and in a manifest.

    The folder “run-7” becomes a folder at the destination; of “run-7/” (with a slash) only the content is uploaded.
    The metadata of a manifest overrides `metadata`, and its tags are added to `tags`. Nothing is sent: pass the
    requests to `Uploader.upload_many`. Raises UsageError with a sentence for each problem.
    """
    common = UploadRequest(
        source="x",
        destination=destination,
        metadata=metadata or {},
        tags=tags,
        if_exists=if_exists,
        part_size=part_size,
    )
    try:
        rows = read_manifest(Path(path_text(manifest))) if manifest is not None else []
    except ManifestError as error:
        raise UsageError(" ".join((error.message, *error.problems)), error.hint) from error
    batch = collect([path_text(path) for path in paths], rows, Rules(recursive=True))
    problems = [*batch.problems, *(file.reason for file in batch.bad)]
    if problems:
        raise UsageError(" ".join(problems), "Nothing was uploaded.")
    return [request_of(item, common) for item in batch.items]


def request_of(item: Item, common: UploadRequest) -> UploadRequest:
    """Return the request for a file of a batch: the fields of `common`, the file's own, and its row of the manifest.

    The manifest's metadata overrides the common metadata, and its tags are added to the common tags.
    """
    fields, tags = (item.row.metadata, item.row.tags) if item.row else ({}, ())
    return attrs.evolve(
        common,
        source=item.source,
        destination=Target(common.destination, common.target.path(item.folder)),
        name=item.name,
        metadata={**common.metadata, **fields},
        tags=tuple(dict.fromkeys((*common.tags, *tags))),
        key=item.label,
        regular=item.size is not None,
        context=item,
    )


class Placement:
    """Finds the folders of the files of one run, skips uploaded files, and sets metadata and tags.

    `receipts` is the folder of the receipts. `gathering` is how many seconds a file may wait, so that one call sets the
    metadata of many.
    """

    def __init__(self, api: Api, receipts: Path, emit: Callable[[Event], None], gathering: float = 0.0) -> None:
        self._api = api
        self._receipts = receipts
        self._emit = emit
        self._gathering = gathering
        self._index: ReceiptIndex | None = None
        self._trees: dict[Destination, FolderTree] = {}
        self._refused: dict[Target, CavaticaError] = {}
        self._held: list[Outcome] = []
        self._due = float("inf")

    def placed(self, requests: Iterable[UploadRequest]) -> Iterator[UploadRequest | Outcome]:
        """Yield requests with the IDs of their folders, and outcomes of files that failed or are uploaded already."""
        for request in requests:
            if not isinstance(request, UploadRequest):
                raise UsageError(
                    f"upload_many() takes UploadRequests, and got {type(request).__name__}.",
                    "requests_for() makes them of paths.",
                )
            try:
                yield self._placed(request)
            except CavaticaError as error:
                self._emit(UploadFailed(request.key, error, resumable=False))
                yield Outcome(request, error=error)

    def _placed(self, request: UploadRequest) -> UploadRequest | Outcome:
        size = _size_of_file(request)
        request.check_size(size)
        folder = self._folder(request)
        receipt = self.receipt_of(request, folder)
        placed = attrs.evolve(request, destination=folder, regular=request.regular or size is not None)
        if receipt is None:
            return placed
        reason = f"It is there since {receipt.finished}, and has not changed."
        self._emit(UploadSkipped(request.key, reason, receipt=receipt))
        return Outcome(placed, receipt=receipt, skipped=reason)

    def _folder(self, request: UploadRequest) -> Destination:
        """Return the folder of a file, and make it if it is missing. A refused folder is not requested again."""
        if request.target in self._refused:
            raise self._refused[request.target]
        try:
            return self.tree(request.destination).get(request.folder)
        except (ApiError, NotAFolder) as error:
            self._refused[request.target] = error
            raise

    def tree(self, root: Destination) -> FolderTree:
        """Return the folders below a destination."""
        if root not in self._trees:
            self._trees[root] = FolderTree(self._api, root)
        return self._trees[root]

    def receipt_of(self, request: UploadRequest, folder: Destination) -> Receipt | None:
        """Return the receipt of an unchanged file that is in the folder on the platform; None if it has to be sent."""
        size = _size_of_file(request)
        if size is None or request.resume_id or request.expect_md5:  # an expected MD5 has to be checked
            return None
        path = Path(os.fspath(request.source))  # type: ignore[arg-type]
        if self._index is None:
            self._index = ReceiptIndex(self._receipts, self._api.endpoint)
        return self._index.find(
            str(path),
            size,
            request.name or path.name,
            folder,
            is_there=lambda receipt: self.tree(request.destination).holds(request.folder, receipt.file_id),
            renamed=request.if_exists == "rename",
            before_reading=lambda: self._emit(
                Notice(request.key, "It was touched since it was uploaded; it is compared with the receipt.")
            ),
        )

    @property
    def patience(self) -> float:
        """Seconds until `described` should be called, even if no file ended."""
        return max(0.0, self._due - time.monotonic())

    def described(self, ended: Iterable[Outcome], *, over: bool) -> Iterator[Outcome]:
        """Yield outcomes; those of files with metadata or tags after these are set, with the error if that failed.

        A call sets those of 100 files, or of fewer if a file has waited long enough or the run is over.
        """
        for outcome in ended:
            if outcome.receipt is not None and (outcome.request.metadata or outcome.request.tags):
                self._held.append(outcome)
                self._due = min(self._due, time.monotonic() + self._gathering)
            else:
                yield outcome
        while len(self._held) >= FILES_PER_CALL or (self._held and (over or not self.patience)):
            some, self._held = self._held[:FILES_PER_CALL], self._held[FILES_PER_CALL:]
            self._due = time.monotonic() + self._gathering if self._held else float("inf")
            yield from self._describe(some)

    def _describe(self, outcomes: list[Outcome]) -> Iterator[Outcome]:
        edits = [
            FileEdit(outcome.receipt.file_id, outcome.request.key, outcome.request.metadata, outcome.request.tags)
            for outcome in outcomes
            if outcome.receipt is not None
        ]
        try:
            errors = self._api.edit_files(edits)
        except CavaticaError as failed:
            errors = [failed] * len(edits)
        for outcome, edit, error in zip(outcomes, edits, errors, strict=True):
            yield outcome if error is None else attrs.evolve(outcome, error=_without_metadata(edit, error))


def _size_of_file(request: UploadRequest) -> int | None:
    """Return the size of a regular file, None for any other source or if the file cannot be read."""
    source = request.source
    if not isinstance(source, str | os.PathLike) or (isinstance(source, str) and is_url(source)):
        return None
    try:
        found = Path(source).stat()
    except (OSError, ValueError):  # the engine reports the error
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _without_metadata(edit: FileEdit, error: CavaticaError) -> CavaticaError:
    told = CavaticaError(
        f"{edit.file} is uploaded (file ID {edit.file_id}) without its metadata: {error.message}",
        "Run the same again: the file is not sent again, and its metadata is set.",
    )
    told.__cause__ = error
    return told
