"""The operations of the API, each written once: what is sent, and how the answer is read.

The one module that imports the generated operations. Nothing is sent here: `methods.py` makes methods of these
functions, with asyncio and without.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Generic, NoReturn, TypeVar

import attrs

from cavatica_client.api.files import create_folder as _create_folder
from cavatica_client.api.files import delete_file as _delete_file
from cavatica_client.api.files import edit_files as _edit_files
from cavatica_client.api.files import get_download_info as _get_download_info
from cavatica_client.api.files import get_file as _get_file
from cavatica_client.api.files import list_files as _list_files
from cavatica_client.api.files import list_folder as _list_folder
from cavatica_client.api.projects import get_project as _get_project
from cavatica_client.api.rate_limit import get_rate_limit as _get_rate_limit
from cavatica_client.api.uploads import abort_upload as _abort_upload
from cavatica_client.api.uploads import complete_upload as _complete_upload
from cavatica_client.api.uploads import get_part_url as _get_part_url
from cavatica_client.api.uploads import get_upload as _get_upload
from cavatica_client.api.uploads import list_uploads as _list_uploads
from cavatica_client.api.uploads import report_uploaded_part as _report_uploaded_part
from cavatica_client.api.uploads import report_uploaded_parts as _report_uploaded_parts
from cavatica_client.api.uploads import start_upload as _start_upload
from cavatica_client.models import (
    CompleteUploadRequest,
    CreateFolderRequest,
    EditFilesRequest,
    Metadata,
    PartReport,
    PartReportList,
    StartUploadRequest,
)
from cavatica_client.models import FileEdit as EditItem
from cavatica_client.types import UNSET
from cavatica_upload.api import readers
from cavatica_upload.api.readers import Page, Pages, Unclear
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
from cavatica_upload.api.responses import Answer
from cavatica_upload.destination import Destination, destination_of
from cavatica_upload.errors import CavaticaError, UnexpectedAnswer
from cavatica_upload.request import FileEdit

PAGE = 100
"""The most items of a page (docs.sevenbridges.com, List files)."""

T = TypeVar("T")
Item = TypeVar("Item")


@attrs.frozen
class Call(Generic[T]):
    """One call: the arguments of an HTTP request, and what reads the answer. Iterating makes it a step of its own."""

    request: Mapping[str, Any]
    read: Callable[[Answer], T]

    def __iter__(self) -> Generator["Call[Any]", Any, T]:
        read: T = yield self
        return read


Steps = Generator[Call[Any], Any, T]
"""An operation of several calls: it yields each, is sent what was read, and returns its value."""


@attrs.frozen
class Listing(Generic[Item]):
    """A list in pages: makes the call for the page at an offset; `key` tells items apart."""

    page: Callable[[int], Call[Page[Item]]]
    key: Callable[[Item], str]


# Uploads


def start_upload(
    destination: Destination | str,
    name: str,
    size: int | None = None,
    part_size: int | None = None,
    md5: str | None = None,
    overwrite: bool = False,
) -> Call[StartedUpload]:
    """Start an upload; the server decides on the part size. Sizes in bytes. Raises NameTaken without `overwrite`."""
    destination = destination_of(destination)
    body = StartUploadRequest(
        name=name,
        project=destination.project or UNSET,
        parent=destination.parent or UNSET,
        size=UNSET if size is None else size,
        part_size=UNSET if part_size is None else part_size,
        md5=md5 or UNSET,
    )
    request = _start_upload._get_kwargs(body=body, overwrite=True if overwrite else UNSET)
    return Call(request, readers.started_upload)


def list_uploads() -> Listing[UploadSummary]:
    """Yield the uploads that are open on the server, requesting pages as they are needed."""
    return Listing(
        lambda offset: Call(_list_uploads._get_kwargs(limit=PAGE, offset=offset), readers.upload_page),
        lambda upload: upload.upload_id,
    )


def get_upload(upload_id: str, list_parts: bool = False) -> Call[Upload]:
    """Return an open upload, with the parts reported so far if `list_parts`. Raises UploadGone."""
    request = _get_upload._get_kwargs(upload_id, list_parts=True if list_parts else UNSET)
    return Call(request, lambda answer: readers.upload(answer, upload_id))


def get_part_url(upload_id: str, number: int) -> Call[PartUrl]:
    """Return where and how to send the bytes of a part (from 1)."""
    return Call(_get_part_url._get_kwargs(upload_id, number), readers.part_url)


def report_part(upload_id: str, report: PartReport) -> Call[None]:
    """Report to the API what storage answered to one part."""
    return Call(_report_uploaded_part._get_kwargs(upload_id, body=report), readers.nothing)


def report_parts(upload_id: str, reports: Iterable[PartReport]) -> Call[None]:
    """Report to the API what storage answered to many parts, in one call."""
    body = PartReportList(parts=list(reports))
    return Call(_report_uploaded_parts._get_kwargs(upload_id, body=body), readers.nothing)


def complete_upload(upload_id: str, reports: Iterable[PartReport] = ()) -> Call[CompletedFile]:
    """Complete an upload, reporting what is not yet reported, and return the file. Raises CompleteRefused.

    After any status of success the upload is completed; if the server did not send the file's `id`, the file has to
    be looked for. After an error with `maybe_acted`, or UploadGone after one, the file may exist.
    """
    parts = list(reports)
    body = CompleteUploadRequest(parts=parts) if parts else UNSET
    return Call(_complete_upload._get_kwargs(upload_id, body=body), readers.completed_file)


def abort_upload(upload_id: str) -> Call[None]:
    """Abort an upload; storage deletes its parts. Raises UploadGone for one that is not open."""
    return Call(_abort_upload._get_kwargs(upload_id), readers.nothing)


# Files and folders


def get_file(file_id: str) -> Call[FileDetails]:
    """Return a file or a folder."""

    def read(answer: Answer) -> FileDetails:
        return readers.file_details(answer.json, file_id) or FileDetails(id=file_id)

    return Call(_get_file._get_kwargs(file_id), read)


def get_download_url(file_id: str) -> Call[str]:
    """Return a signed URL of a file's bytes; whoever has it can read them."""
    return Call(_get_download_info._get_kwargs(file_id), readers.download_url)


def delete_file(file_id: str) -> Call[None]:
    """Delete a file or an empty folder."""
    return Call(_delete_file._get_kwargs(file_id), readers.nothing)


def list_files(destination: Destination | str, name: str | None = None) -> Listing[FileDetails]:
    """Yield the files and folders at a destination; only those with this name, if one is given."""
    place = destination_of(destination)

    def page(offset: int) -> Call[Page[FileDetails]]:
        request = _list_files._get_kwargs(
            project=place.project or UNSET,
            parent=place.parent or UNSET,
            name=UNSET if name is None else [name],
            limit=PAGE,
            offset=offset,
        )
        return Call(request, readers.file_page)

    return Listing(page, lambda file: file.id)


def find_file(destination: Destination | str, name: str) -> Steps[FileDetails | None]:
    """Return the file or folder of exactly this name at a destination, None if there is none."""
    listing = list_files(destination, name)
    pages = Pages(listing.key)
    while not pages.over:
        for file in pages.take((yield from listing.page(pages.offset))):
            if file.name == name:
                return file
    return None


def list_folder(folder_id: str) -> Listing[FileDetails]:
    """Yield the files and folders in a folder."""
    return Listing(
        lambda offset: Call(_list_folder._get_kwargs(folder_id, limit=PAGE, offset=offset), readers.file_page),
        lambda file: file.id,
    )


def create_folder(destination: Destination | str, name: str) -> Steps[FileDetails]:
    """Create a folder. Raises NameTaken."""
    place = destination_of(destination)
    body = CreateFolderRequest(name=name, type_="folder", project=place.project or UNSET, parent=place.parent or UNSET)
    created = yield from Call(_create_folder._get_kwargs(body=body), lambda answer: readers.file_details(answer.json))
    return created or (yield from find_file(place, name)) or _not_found(name)


def edit_files(edits: Sequence[FileEdit]) -> Steps[list[CavaticaError | None]]:
    """Merge metadata into up to 100 files and set tags. Return an error for each file, or None if it succeeded."""
    body = EditFilesRequest(items=[_edit_item(edit) for edit in edits])
    ids = [edit.file_id for edit in edits]
    outcomes = yield from Call(_edit_files._get_kwargs(body=body), lambda answer: readers.edit_outcomes(answer, ids))
    errors: list[CavaticaError | None] = []
    for edit, outcome in zip(edits, outcomes, strict=True):
        if isinstance(outcome, Unclear):
            outcome = _edit_error(edit, (yield from get_file(edit.file_id)))
        errors.append(outcome)
    return errors


# Projects and the rate limit


def get_project(project: str) -> Call[Project]:
    """Return a project, given as owner/name."""
    owner, _, name = str(Destination(project=project)).partition("/")
    return Call(_get_project._get_kwargs(owner, name), lambda answer: readers.project(answer, project))


def get_rate_limit() -> Call[RateLimit]:
    """Return the number of calls left; this call is not counted."""
    return Call(_get_rate_limit._get_kwargs(), readers.rate_limit)


def _edit_item(edit: FileEdit) -> EditItem:
    item = EditItem(id=edit.file_id, tags=list(edit.tags) or UNSET)
    if edit.metadata:
        item.metadata = Metadata()
        item.metadata.additional_properties.update(edit.metadata)
    return item


def _edit_error(edit: FileEdit, file: FileDetails) -> CavaticaError | None:
    """Return None if a file has what was to be set, after an answer that did not say."""
    metadata_set = file.metadata is None or dict(edit.metadata).items() <= file.metadata.items()
    if metadata_set and (file.tags is None or set(edit.tags) <= set(file.tags)):
        return None
    return UnexpectedAnswer(
        "editFiles failed: the server did not say what became of the file, and the file is unchanged.",
        "Run the same command again.",
        status=200,
        operation="editFiles",
    )


def _not_found(name: str) -> NoReturn:
    raise UnexpectedAnswer(
        f"createFolder failed: the server reported success, but the folder is not there: {name!r}.",
        "Look for the folder on the platform, and run the same command again.",
        status=200,
        operation="createFolder",
    )
