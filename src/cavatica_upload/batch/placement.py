"""The place of each file on the platform: finds or creates its folder before the upload, and sets metadata after it."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import attrs

from cavatica_upload.api import Api
from cavatica_upload.api.records import FileDetails
from cavatica_upload.destination import Destination, Target, nfc
from cavatica_upload.errors import ApiError, CavaticaError, NameTaken, NotFound, UsageError
from cavatica_upload.events import Event, Notice, UploadFailed, UploadSkipped
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import FileEdit, Outcome, UploadRequest
from cavatica_upload.sources import file_size
from cavatica_upload.verification import ReceiptIndex, reason_to_skip

PAGE = 100  # names in a page of a list; one call lists a smaller folder completely
FEW = 3  # names that are requested one by one before a larger folder is listed
MOST_LISTED = 10_000  # the most entries that are listed; in a still larger folder names are requested one by one
FILES_PER_CALL = 100  # files in one call that sets metadata; sevenbridges-python's DEFAULT_BULK_LIMIT


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
        size = file_size(request.source)
        request.check_size(size)
        folder = self._folder(request)
        receipt = self.receipt_of(request, folder, size)
        placed = attrs.evolve(request, destination=folder.destination, regular=request.regular or size is not None)
        if receipt is None:
            return placed
        reason = reason_to_skip(receipt)
        self._emit(UploadSkipped(request.key, reason, receipt=receipt))
        return Outcome(placed, receipt=receipt, skipped=reason)

    def _folder(self, request: UploadRequest) -> "Folder":
        """Return the folder of a file, and create it if it is missing. A refused folder is not requested again."""
        if request.target in self._refused:
            raise self._refused[request.target]
        try:
            return self.tree(request.destination).get(request.folder)
        except (ApiError, NotAFolder) as error:
            self._refused[request.target] = error
            raise

    def tree(self, root: Destination) -> "FolderTree":
        """Return the folders below a destination."""
        if root not in self._trees:
            self._trees[root] = FolderTree(self._api, root)
        return self._trees[root]

    def receipt_of(self, request: UploadRequest, folder: "Folder", size: int | None) -> Receipt | None:
        """Return the receipt of an unchanged file that is in the folder on the platform; None if it has to be sent.

        `size` is None if the source is not a file on disk.
        """
        if size is None or not request.may_be_there:
            return None
        if self._index is None:
            self._index = ReceiptIndex(self._receipts, self._api.endpoint)
        return self._index.find(
            request,
            size,
            folder.destination,
            is_there=lambda receipt: folder.holds(receipt.file_id),
            notice=lambda text: self._emit(Notice(request.key, text)),
        )

    @property
    def patience(self) -> float:
        """Seconds until `described` should be called, even if no file ended."""
        return max(0.0, self._due - time.monotonic())

    def described(self, ended: Iterable[Outcome], *, over: bool) -> Iterator[Outcome]:
        """Yield outcomes. A file with metadata or tags follows when these are set, with an error if that failed.

        One call sets those of 100 files, or of fewer if a file has waited long enough or the run is over.
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


class NotAFolder(CavaticaError):
    """A file has the name of a folder that is needed."""


class FolderTree:
    """Finds and creates folders below `root`. Each folder is requested once.

    A folder that was created here is empty, so it is not listed. If two processes create the same folder, there is only
    one.
    """

    def __init__(self, api: Api, root: Destination) -> None:
        self._api = api
        self._place = root.place or str(root)
        self._folders: dict[str, Folder | None] = {"": Folder(api, root)}

    def get(self, path: str) -> "Folder":
        """Return the folder at a path below the root; it and those above it are created if they are missing.

        Raises NotAFolder if a file is in the way, and the errors of the API.
        """
        folder = self.find(path)
        if folder is None:
            folder = self._folders[path] = self._create(self.get(path.rpartition("/")[0]).destination, path)
        return folder

    def find(self, path: str) -> "Folder | None":
        """Return the folder at a path, None if there is none; nothing is created."""
        if path not in self._folders:
            above, _, name = path.rpartition("/")
            folder = self.find(above)
            entry = folder.find(name) if folder is not None else None
            self._folders[path] = self._as_folder(entry, path) if entry is not None else None
        return self._folders[path]

    def _create(self, above: Destination, path: str) -> "Folder":
        name = path.rsplit("/", 1)[-1]
        try:
            made = self._api.create_folder(above, name)
        except NameTaken:  # another process was faster, or the list was old
            taken = self._api.find_file(above, name)
            if taken is None:
                raise
            return self._as_folder(taken, path)
        return Folder(self._api, Destination(parent=made.id, place=f"{self._place}/{path}"), complete=True)

    def _as_folder(self, entry: FileDetails, path: str) -> "Folder":
        kind = entry.type_
        if kind is None:  # some lists leave it out
            kind = self._api.get_file(entry.id).type_
        if kind is not None and kind.lower() != "folder":
            raise NotAFolder(
                f"{path} is a file on the platform, and a folder of that name is needed.",
                "Rename one of the two, or upload to another folder.",
            )
        return Folder(self._api, Destination(parent=entry.id, place=f"{self._place}/{path}"))


class Folder:
    """A folder and what is known of its content. A large folder is listed only after a few single requests."""

    def __init__(self, api: Api, destination: Destination, *, complete: bool = False) -> None:
        self.destination = destination
        self._api = api
        self._complete = complete
        self._entries: dict[str | None, FileDetails] = {}
        self._ids: set[str] = set()
        self._listed = 0
        self._requests = 0

    def find(self, name: str) -> FileDetails | None:
        """Return the file or folder that has this name in it, None if there is none."""
        self._requests += 1
        self._list(PAGE - 1 if self._requests <= FEW else MOST_LISTED)
        found = self._entries.get(name)
        if found is None and not self._complete:
            found = self._api.find_file(self.destination, name)
        return found or self._entries.get(nfc(name))  # only the Unicode form differs

    def holds(self, file_id: str) -> bool:
        """Return whether a file is still in it."""
        self._requests += 1
        if self._requests > FEW:
            self._list(MOST_LISTED)
        if file_id in self._ids or self._complete:
            return file_id in self._ids
        try:
            self._api.get_file(file_id)
        except NotFound:
            return False
        return True

    def _list(self, most: int) -> None:
        """List up to `most` entries; if there are more, the list is not complete."""
        if self._complete or self._listed >= most:
            return
        entries = list(islice(self._api.list_files(self.destination), most + 1))
        self._listed = most
        self._entries = {nfc(entry.name): entry for entry in entries} | {entry.name: entry for entry in entries}
        self._ids = {entry.id for entry in entries}
        self._complete = len(entries) <= most


def _without_metadata(edit: FileEdit, error: CavaticaError) -> CavaticaError:
    failure = CavaticaError(
        f"{edit.file} is uploaded (file ID {edit.file_id}) without its metadata: {error.message}",
        "Upload it again: this sets the metadata and sends no bytes.",
    )
    failure.__cause__ = error
    return failure
