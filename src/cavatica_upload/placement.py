"""What stands around the upload of a file: the folder that it goes to, and the metadata that it gets."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import attrs

from cavatica_upload.api import Api
from cavatica_upload.batch.folders import FolderTree
from cavatica_upload.batch.metadata import edit_files, metadata_problems, tag_problems
from cavatica_upload.destination import Destination
from cavatica_upload.errors import CavaticaError, UsageError
from cavatica_upload.request import FileEdit, Outcome, UploadRequest


class Placement:
    """Makes the folders that requests name by their paths, and sets metadata and tags on files that arrived."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._trees: dict[Destination, FolderTree] = {}
        self._failed: list[Outcome] = []

    def placed(self, requests: Iterable[UploadRequest]) -> Iterator[UploadRequest]:
        """Yield requests with the ids of their folders; one that cannot be placed is among the `failed` instead."""
        for request in requests:
            if not isinstance(request, UploadRequest):
                raise UsageError(
                    f"upload_many() takes UploadRequests, and got {type(request).__name__}.",
                    "requests_for() makes them of paths.",
                )
            try:
                yield self._placed(request)
            except CavaticaError as error:
                self._failed.append(Outcome(request, error=error))

    def take_failed(self) -> list[Outcome]:
        """Return how those ended that could not be placed, each once."""
        failed, self._failed = self._failed, []
        return failed

    def described(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Set metadata and tags on files that are there now, 100 a call; an error of that goes with the receipt."""
        ended = list(outcomes)
        edits = {
            at: FileEdit(one.receipt.file_id, one.request.key, one.request.metadata, one.request.tags)
            for at, one in enumerate(ended)
            if one.receipt and (one.request.metadata or one.request.tags)
        }
        for at, error in zip(edits, edit_files(self._api, [*edits.values()]), strict=True):
            if error is not None:
                ended[at] = attrs.evolve(ended[at], error=_without_metadata(ended[at], error))
        return ended

    def _placed(self, request: UploadRequest) -> UploadRequest:
        problem = next(chain(metadata_problems(request.metadata), tag_problems(request.tags)), None)
        if problem is not None:
            raise UsageError(f"{request.key} cannot be uploaded: {problem}", "Nothing of it was sent.")
        if not request.folder:
            return request
        root = request.destination
        tree = self._trees.setdefault(root, FolderTree(self._api, root))
        return attrs.evolve(request, destination=tree.get(request.folder))


def _without_metadata(outcome: Outcome, error: CavaticaError) -> CavaticaError:
    file_id = outcome.receipt.file_id if outcome.receipt else ""
    told = CavaticaError(
        f"{outcome.request.key} is uploaded (file ID {file_id}) without its metadata: {error.message}",
        "Run the same again: the file is not sent again, and its metadata is set.",
    )
    told.__cause__ = error
    return told
