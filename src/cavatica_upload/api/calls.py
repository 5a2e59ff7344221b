"""The calls of the API: what the generated code makes of the arguments, and how the answer is read.

The one module that imports the generated operations. Nothing is sent here: `client.py` does that, with asyncio and
without.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import attrs

from cavatica_client.api.files import (
    create_folder as _create_folder,
)
from cavatica_client.api.files import (
    delete_file as _delete_file,
)
from cavatica_client.api.files import (
    edit_files as _edit_files,
)
from cavatica_client.api.files import (
    get_download_info as _get_download_info,
)
from cavatica_client.api.files import (
    get_file as _get_file,
)
from cavatica_client.api.files import (
    list_files as _list_files,
)
from cavatica_client.api.files import (
    list_folder as _list_folder,
)
from cavatica_client.api.projects import (
    get_project as _get_project,
)
from cavatica_client.api.rate_limit import (
    get_rate_limit as _get_rate_limit,
)
from cavatica_client.api.uploads import (
    abort_upload as _abort_upload,
)
from cavatica_client.api.uploads import (
    complete_upload as _complete_upload,
)
from cavatica_client.api.uploads import (
    get_part_url as _get_part_url,
)
from cavatica_client.api.uploads import (
    get_upload as _get_upload,
)
from cavatica_client.api.uploads import (
    list_uploads as _list_uploads,
)
from cavatica_client.api.uploads import (
    report_uploaded_part as _report_uploaded_part,
)
from cavatica_client.api.uploads import (
    report_uploaded_parts as _report_uploaded_parts,
)
from cavatica_client.api.uploads import (
    start_upload as _start_upload,
)
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
from cavatica_upload.api.answers import Answer
from cavatica_upload.api.pages import PAGE, Page
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
from cavatica_upload.destination import Destination, destination_of
from cavatica_upload.errors import CavaticaError
from cavatica_upload.request import FileEdit

T = TypeVar("T")


@attrs.frozen
class Call(Generic[T]):
    """A call: the arguments of an HTTP request, and what reads the answer."""

    request: Mapping[str, Any]
    read: Callable[[Answer], T]


def start_upload(
    destination: Destination | str,
    name: str,
    size: int | None,
    part_size: int | None,
    md5: str | None,
    *,
    overwrite: bool,
) -> Call[StartedUpload]:
    """Make startUpload."""
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


def list_uploads(offset: int) -> Call[Page[UploadSummary]]:
    """Make listUploads, for one page."""
    return Call(_list_uploads._get_kwargs(limit=PAGE, offset=offset), readers.upload_page)


def get_upload(upload_id: str, *, list_parts: bool) -> Call[Upload]:
    """Make getUpload."""
    request = _get_upload._get_kwargs(upload_id, list_parts=True if list_parts else UNSET)
    return Call(request, lambda answer: readers.upload(answer, upload_id))


def get_part_url(upload_id: str, number: int) -> Call[PartUrl]:
    """Make getPartUrl."""
    return Call(_get_part_url._get_kwargs(upload_id, number), readers.part_url)


def report_part(upload_id: str, report: PartReport) -> Call[None]:
    """Make reportUploadedPart."""
    return Call(_report_uploaded_part._get_kwargs(upload_id, body=report), readers.nothing)


def report_parts(upload_id: str, reports: Iterable[PartReport]) -> Call[None]:
    """Make reportUploadedParts."""
    body = PartReportList(parts=list(reports))
    return Call(_report_uploaded_parts._get_kwargs(upload_id, body=body), readers.nothing)


def complete_upload(upload_id: str, reports: Iterable[PartReport]) -> Call[CompletedFile]:
    """Make completeUpload."""
    parts = list(reports)
    body = CompleteUploadRequest(parts=parts) if parts else UNSET
    return Call(_complete_upload._get_kwargs(upload_id, body=body), readers.completed_file)


def abort_upload(upload_id: str) -> Call[None]:
    """Make abortUpload."""
    return Call(_abort_upload._get_kwargs(upload_id), readers.nothing)


def get_file(file_id: str) -> Call[FileDetails]:
    """Make getFile."""

    def read(answer: Answer) -> FileDetails:
        return readers.file_details(answer.json, file_id) or FileDetails(id=file_id)

    return Call(_get_file._get_kwargs(file_id), read)


def get_download_info(file_id: str) -> Call[str]:
    """Make getDownloadInfo."""
    return Call(_get_download_info._get_kwargs(file_id), readers.download_url)


def delete_file(file_id: str) -> Call[None]:
    """Make deleteFile."""
    return Call(_delete_file._get_kwargs(file_id), readers.nothing)


def list_files(destination: Destination | str, name: str | None, offset: int) -> Call[Page[FileDetails]]:
    """Make listFiles, for one page."""
    destination = destination_of(destination)
    request = _list_files._get_kwargs(
        project=destination.project or UNSET,
        parent=destination.parent or UNSET,
        name=UNSET if name is None else [name],
        limit=PAGE,
        offset=offset,
    )
    return Call(request, readers.file_page)


def list_folder(folder_id: str, offset: int) -> Call[Page[FileDetails]]:
    """Make listFolder, for one page."""
    return Call(_list_folder._get_kwargs(folder_id, limit=PAGE, offset=offset), readers.file_page)


def create_folder(destination: Destination | str, name: str) -> Call[FileDetails | None]:
    """Make createFolder; the answer is None if the id of the new folder is not in it."""
    destination = destination_of(destination)
    body = CreateFolderRequest(
        name=name, type_="folder", project=destination.project or UNSET, parent=destination.parent or UNSET
    )
    return Call(_create_folder._get_kwargs(body=body), lambda answer: readers.file_details(answer.json))


def edit_files(edits: Sequence[FileEdit]) -> Call[list[CavaticaError | readers.Unclear | None]]:
    """Make editFiles."""
    body = EditFilesRequest(items=[_edit_item(edit) for edit in edits])
    ids = [edit.file_id for edit in edits]
    return Call(_edit_files._get_kwargs(body=body), lambda answer: readers.edit_outcomes(answer, ids))


def get_project(project: str) -> Call[Project]:
    """Make getProject."""
    owner, _, name = str(Destination(project=project)).partition("/")
    return Call(_get_project._get_kwargs(owner, name), lambda answer: readers.project(answer, project))


def get_rate_limit() -> Call[RateLimit]:
    """Make getRateLimit."""
    return Call(_get_rate_limit._get_kwargs(), readers.rate_limit)


def _edit_item(edit: FileEdit) -> EditItem:
    item = EditItem(id=edit.file_id, tags=list(edit.tags) or UNSET)
    if edit.metadata:
        item.metadata = Metadata()
        item.metadata.additional_properties.update(edit.metadata)
    return item
