"""The API's operations as methods that return a value or raise; the one module that imports the generated operations.

What may be sent again is decided below (`operations.py`, `retry.py`): a start or a completion whose answer was lost
raises an error with `maybe_acted`, and the caller looks what became of it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

from cavatica_client import AuthenticatedClient
from cavatica_client.api.files import (
    create_folder,
    delete_file,
    edit_files,
    get_download_info,
    get_file,
    list_files,
    list_folder,
)
from cavatica_client.api.projects import get_project
from cavatica_client.api.rate_limit import get_rate_limit
from cavatica_client.api.uploads import (
    abort_upload,
    complete_upload,
    get_part_url,
    get_upload,
    list_uploads,
    report_uploaded_part,
    report_uploaded_parts,
    start_upload,
)
from cavatica_client.models import (
    CompletedFile,
    CompleteUploadRequest,
    CreateFolderRequest,
    DownloadInfo,
    EditFilesRequest,
    EditFilesResponse,
    FileDetails,
    FilePage,
    Metadata,
    PageLink,
    PartReport,
    PartReportList,
    PartUrl,
    Project,
    RateLimitStatus,
    StartedUpload,
    StartUploadRequest,
    Upload,
    UploadPage,
    UploadSummary,
)
from cavatica_client.models import FileEdit as EditItem
from cavatica_client.types import UNSET
from cavatica_upload.api.problems import error_of
from cavatica_upload.destination import Destination
from cavatica_upload.errors import CavaticaError, UnexpectedAnswer
from cavatica_upload.http.answers import call, expect, known
from cavatica_upload.http.pages import PAGE, all_items
from cavatica_upload.request import FileEdit


class Api:
    """The API through a client made by `connect()`.

    Every method raises the errors of `cavatica_upload.errors`. Ids are those that the platform gave; an empty one,
    or one with dots or slashes for a name, is refused with UsageError before anything is sent.
    """

    def __init__(self, client: AuthenticatedClient) -> None:
        self.client = client

    @property
    def endpoint(self) -> str:
        """The base URL."""
        return str(self.client.get_httpx_client().base_url).rstrip("/")

    # Uploads

    def start_upload(
        self,
        destination: Destination,
        name: str,
        size: int | None = None,
        part_size: int | None = None,
        md5: str | None = None,
        overwrite: bool = False,
    ) -> StartedUpload:
        """Start an upload; the part size in the answer rules. Sizes in bytes. Raises NameTaken without `overwrite`."""
        body = StartUploadRequest(
            name=name,
            project=destination.project or UNSET,
            parent=destination.parent or UNSET,
            size=UNSET if size is None else size,
            part_size=UNSET if part_size is None else part_size,
            md5=md5 or UNSET,
        )
        return expect(
            StartedUpload,
            "startUpload",
            start_upload.sync,
            client=self.client,
            body=body,
            overwrite=True if overwrite else UNSET,
        )

    def list_uploads(self) -> Iterator[UploadSummary]:
        """Yield the uploads that are open on the server, asking for more pages as they are needed."""

        def page(offset: int) -> tuple[Sequence[UploadSummary], list[PageLink] | None]:
            found = expect(UploadPage, "listUploads", list_uploads.sync, client=self.client, limit=PAGE, offset=offset)
            return found.items, known(found.links)

        return all_items(page, lambda upload: upload.upload_id)

    def get_upload(self, upload_id: str, list_parts: bool = False) -> Upload:
        """Return an open upload, with the parts reported so far if asked. Raises UploadGone."""
        return expect(
            Upload,
            "getUpload",
            get_upload.sync,
            upload_id,
            client=self.client,
            list_parts=True if list_parts else UNSET,
        )

    def get_part_url(self, upload_id: str, number: int) -> PartUrl:
        """Return where and how the bytes of a part (from 1) are to be sent."""
        return expect(PartUrl, "getPartUrl", get_part_url.sync, upload_id, number, client=self.client)

    def report_part(self, upload_id: str, report: PartReport) -> None:
        """Tell the API what storage answered to one part."""
        call("reportUploadedPart", report_uploaded_part.sync_detailed, upload_id, client=self.client, body=report)

    def report_parts(self, upload_id: str, reports: Iterable[PartReport]) -> None:
        """Tell the API what storage answered to many parts, in one call."""
        body = PartReportList(parts=list(reports))
        call("reportUploadedParts", report_uploaded_parts.sync_detailed, upload_id, client=self.client, body=body)

    def complete_upload(self, upload_id: str, reports: Iterable[PartReport] = ()) -> CompletedFile:
        """Finish an upload, reporting what is not yet reported, and return the file. Raises CompleteRefused.

        An error with `maybe_acted`, or UploadGone after one, may mean that the file is there.
        """
        parts = list(reports)
        return expect(
            CompletedFile,
            "completeUpload",
            complete_upload.sync,
            upload_id,
            client=self.client,
            body=CompleteUploadRequest(parts=parts) if parts else UNSET,
        )

    def abort_upload(self, upload_id: str) -> None:
        """Give an upload up; storage forgets its parts. Raises UploadGone for one that is not open."""
        call("abortUpload", abort_upload.sync_detailed, upload_id, client=self.client)

    # Files and folders

    def get_file(self, file_id: str) -> FileDetails:
        """Return a file or a folder."""
        return expect(FileDetails, "getFile", get_file.sync, file_id, client=self.client)

    def download_url(self, file_id: str) -> str:
        """Return a signed URL of a file's bytes; who has it can read them."""
        return expect(DownloadInfo, "getDownloadInfo", get_download_info.sync, file_id, client=self.client).url

    def delete_file(self, file_id: str) -> None:
        """Delete a file or an empty folder."""
        call("deleteFile", delete_file.sync_detailed, file_id, client=self.client)

    def list_files(self, destination: Destination, name: str | None = None) -> Iterator[FileDetails]:
        """Yield the files and folders at a destination, those of a name if given."""

        def page(offset: int) -> tuple[Sequence[FileDetails], list[PageLink] | None]:
            found = expect(
                FilePage,
                "listFiles",
                list_files.sync,
                client=self.client,
                project=destination.project or UNSET,
                parent=destination.parent or UNSET,
                name=UNSET if name is None else [name],
                limit=PAGE,
                offset=offset,
            )
            return found.items, known(found.links)

        return all_items(page, lambda file: file.id)

    def find_file(self, destination: Destination, name: str) -> FileDetails | None:
        """Return the file or folder of exactly this name at a destination, None where there is none."""
        return next((file for file in self.list_files(destination, name) if file.name == name), None)

    def list_folder(self, folder_id: str) -> Iterator[FileDetails]:
        """Yield the files and folders in a folder."""

        def page(offset: int) -> tuple[Sequence[FileDetails], list[PageLink] | None]:
            found = expect(
                FilePage, "listFolder", list_folder.sync, folder_id, client=self.client, limit=PAGE, offset=offset
            )
            return found.items, known(found.links)

        return all_items(page, lambda file: file.id)

    def create_folder(self, destination: Destination, name: str) -> FileDetails:
        """Make a folder. Raises NameTaken."""
        body = CreateFolderRequest(
            name=name, type_="folder", project=destination.project or UNSET, parent=destination.parent or UNSET
        )
        return expect(FileDetails, "createFolder", create_folder.sync, client=self.client, body=body)

    def edit_files(self, edits: Sequence[FileEdit]) -> list[CavaticaError | None]:
        """Merge metadata into up to 100 files and set tags; the answer has a place for each, None where it was done."""
        body = EditFilesRequest(items=[_edit_item(edit) for edit in edits])
        answer = expect(EditFilesResponse, "editFiles", edit_files.sync, client=self.client, body=body)
        if len(answer.items) != len(edits):
            raise UnexpectedAnswer(
                f"editFiles failed: {len(edits)} files were named, and the server answered for {len(answer.items)}.",
                "Look at the files' metadata on the platform, and run the same command again.",
                status=200,
                operation="editFiles",
            )
        return [_edit_error(item.to_dict()) for item in answer.items]

    # The rest

    def get_project(self, project: str) -> Project:
        """Return a project, named as owner/name."""
        owner, _, name = str(Destination(project=project)).partition("/")
        return expect(Project, "getProject", get_project.sync, owner, name, client=self.client)

    def get_rate_limit(self) -> RateLimitStatus:
        """Return how many calls are left; this one is not counted."""
        return expect(RateLimitStatus, "getRateLimit", get_rate_limit.sync, client=self.client)


def _edit_item(edit: FileEdit) -> EditItem:
    item = EditItem(id=edit.file_id, tags=list(edit.tags) or UNSET)
    if edit.metadata:
        item.metadata = Metadata()
        item.metadata.additional_properties.update(edit.metadata)
    return item


def _edit_error(outcome: dict[str, object]) -> CavaticaError | None:
    problem = outcome.get("error")
    if not isinstance(problem, dict):
        return None
    status = problem.get("status")
    return error_of(status if isinstance(status, int) else 400, {}, json.dumps(problem).encode(), "editFiles")
