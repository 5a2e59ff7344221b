"""The API's operations as methods that return a value or raise.

What may be sent again is decided below (`operations.py`, the transports): a start or a completion whose answer was lost
raises an error with `maybe_acted`, and the caller looks what became of it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import httpx

from cavatica_client import AuthenticatedClient
from cavatica_client.models import PartReport
from cavatica_upload.api import calls
from cavatica_upload.api.calls import Call
from cavatica_upload.api.documented import AS_IT_CAME
from cavatica_upload.api.drifts import Drifts
from cavatica_upload.api.outcomes import as_edited, log_drift, not_to_be_found, read_answer
from cavatica_upload.api.pages import Page, Pages
from cavatica_upload.api.readers import Unclear
from cavatica_upload.api.records import (
    CompletedFile,
    FileDetails,
    PartUrl,
    Project,
    RateLimit,
    StartedUpload,
    Upload,
    UploadSummary,
)
from cavatica_upload.destination import Destination
from cavatica_upload.errors import CavaticaError
from cavatica_upload.events import Drift
from cavatica_upload.request import FileEdit

T = TypeVar("T")
Item = TypeVar("Item")


class Operations:
    """The API's operations, one method each.

    Every method raises the errors of `cavatica_upload.errors`. Ids are those that the platform gave; an empty one,
    or one with dots or slashes for a name, is refused with UsageError before anything is sent. A destination is a
    Destination, "owner/name", or the ID of a folder. Answers are read leniently, into the records of
    `cavatica_upload.api.records`. Lists are followed page by page as they are read.
    """

    _drifts: Drifts

    def get_httpx_client(self) -> httpx.Client:
        """Return what requests are sent with."""
        raise NotImplementedError

    # Uploads

    def start_upload(
        self,
        destination: Destination | str,
        name: str,
        size: int | None = None,
        part_size: int | None = None,
        md5: str | None = None,
        overwrite: bool = False,
    ) -> StartedUpload:
        """Start an upload; the part size in the answer rules. Sizes in bytes. Raises NameTaken without `overwrite`."""
        return self._call(calls.start_upload(destination, name, size, part_size, md5, overwrite=overwrite))

    def list_uploads(self) -> Iterator[UploadSummary]:
        """Yield the uploads that are open on the server, asking for more pages as they are needed."""
        return self._all(calls.list_uploads, lambda upload: upload.upload_id)

    def get_upload(self, upload_id: str, list_parts: bool = False) -> Upload:
        """Return an open upload, with the parts reported so far if asked. Raises UploadGone."""
        return self._call(calls.get_upload(upload_id, list_parts=list_parts))

    def get_part_url(self, upload_id: str, number: int) -> PartUrl:
        """Return where and how the bytes of a part (from 1) are to be sent."""
        return self._call(calls.get_part_url(upload_id, number))

    def report_part(self, upload_id: str, report: PartReport) -> None:
        """Tell the API what storage answered to one part."""
        self._call(calls.report_part(upload_id, report))

    def report_parts(self, upload_id: str, reports: Iterable[PartReport]) -> None:
        """Tell the API what storage answered to many parts, in one call."""
        self._call(calls.report_parts(upload_id, reports))

    def complete_upload(self, upload_id: str, reports: Iterable[PartReport] = ()) -> CompletedFile:
        """Finish an upload, reporting what is not yet reported, and return the file. Raises CompleteRefused.

        Whatever success the server answers, the upload is completed; if it did not say the file's `id`, that has
        to be looked for. An error with `maybe_acted`, or UploadGone after one, may mean that the file is there.
        """
        return self._call(calls.complete_upload(upload_id, reports))

    def abort_upload(self, upload_id: str) -> None:
        """Give an upload up; storage forgets its parts. Raises UploadGone for one that is not open."""
        self._call(calls.abort_upload(upload_id))

    # Files and folders

    def get_file(self, file_id: str) -> FileDetails:
        """Return a file or a folder."""
        return self._call(calls.get_file(file_id))

    def get_download_url(self, file_id: str) -> str:
        """Return a signed URL of a file's bytes; who has it can read them."""
        return self._call(calls.get_download_info(file_id))

    def delete_file(self, file_id: str) -> None:
        """Delete a file or an empty folder."""
        self._call(calls.delete_file(file_id))

    def list_files(self, destination: Destination | str, name: str | None = None) -> Iterator[FileDetails]:
        """Yield the files and folders at a destination, those of a name if given."""
        return self._all(lambda offset: calls.list_files(destination, name, offset), lambda file: file.id)

    def find_file(self, destination: Destination | str, name: str) -> FileDetails | None:
        """Return the file or folder of exactly this name at a destination, None if there is none."""
        return next((file for file in self.list_files(destination, name) if file.name == name), None)

    def list_folder(self, folder_id: str) -> Iterator[FileDetails]:
        """Yield the files and folders in a folder."""
        return self._all(lambda offset: calls.list_folder(folder_id, offset), lambda file: file.id)

    def create_folder(self, destination: Destination | str, name: str) -> FileDetails:
        """Make a folder. Raises NameTaken."""
        return (
            self._call(calls.create_folder(destination, name))
            or self.find_file(destination, name)
            or not_to_be_found(name)
        )

    def edit_files(self, edits: Sequence[FileEdit]) -> list[CavaticaError | None]:
        """Merge metadata into up to 100 files and set tags; the answer has a place for each, None if it was done."""
        outcomes = self._call(calls.edit_files(edits))
        return [
            as_edited(edit, self.get_file(edit.file_id)) if isinstance(outcome, Unclear) else outcome
            for edit, outcome in zip(edits, outcomes, strict=True)
        ]

    # The rest

    def get_project(self, project: str) -> Project:
        """Return a project, named as owner/name."""
        return self._call(calls.get_project(project))

    def get_rate_limit(self) -> RateLimit:
        """Return how many calls are left; this one is not counted."""
        return self._call(calls.get_rate_limit())

    def _call(self, call: Call[T]) -> T:
        client = self.get_httpx_client()
        response = client.request(**call.request, extensions={AS_IT_CAME: True})
        return read_answer(call, response, client.base_url, self._drifts)

    def _all(self, page: Callable[[int], Call[Page[Item]]], key: Callable[[Item], str]) -> Iterator[Item]:
        pages = Pages(key)
        while not pages.over:
            yield from pages.take(self._call(page(pages.offset)))


class Api(Operations):
    """The API through a client made by `connect()`; `on_drift` is told once of each difference from its document."""

    def __init__(self, client: AuthenticatedClient, on_drift: Callable[[Drift], None] = log_drift) -> None:
        self.client = client
        self._drifts = Drifts(on_drift)

    @property
    def endpoint(self) -> str:
        """The base URL."""
        return str(self.get_httpx_client().base_url).rstrip("/")

    def get_httpx_client(self) -> httpx.Client:
        """Return what requests are sent with."""
        return self.client.get_httpx_client()
