"""The API's operations with asyncio."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TypeVar

from cavatica_client import AuthenticatedClient
from cavatica_client.models import PartReport
from cavatica_upload.api import calls
from cavatica_upload.api.calls import Call
from cavatica_upload.api.documented import AS_IT_CAME
from cavatica_upload.api.drifts import Drifts
from cavatica_upload.api.outcomes import as_edited, not_to_be_found, read_answer
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
from cavatica_upload.request import FileEdit

T = TypeVar("T")
Item = TypeVar("Item")


class AsyncApi:
    """The operations of `Operations`, as coroutines; a client made by `connect()` has it as `aio`.

    `async with connect() as api: async for upload in api.aio.list_uploads(): …`
    """

    def __init__(self, client: AuthenticatedClient, drifts: Drifts) -> None:
        self._client = client
        self._drifts = drifts

    # Uploads

    async def start_upload(
        self,
        destination: Destination | str,
        name: str,
        size: int | None = None,
        part_size: int | None = None,
        md5: str | None = None,
        overwrite: bool = False,
    ) -> StartedUpload:
        """Start an upload; the part size in the answer rules. Sizes in bytes. Raises NameTaken without `overwrite`."""
        return await self._call(calls.start_upload(destination, name, size, part_size, md5, overwrite=overwrite))

    def list_uploads(self) -> AsyncIterator[UploadSummary]:
        """Yield the uploads that are open on the server, asking for more pages as they are needed."""
        return self._all(calls.list_uploads, lambda upload: upload.upload_id)

    async def get_upload(self, upload_id: str, list_parts: bool = False) -> Upload:
        """Return an open upload, with the parts reported so far if asked. Raises UploadGone."""
        return await self._call(calls.get_upload(upload_id, list_parts=list_parts))

    async def get_part_url(self, upload_id: str, number: int) -> PartUrl:
        """Return where and how the bytes of a part (from 1) are to be sent."""
        return await self._call(calls.get_part_url(upload_id, number))

    async def report_part(self, upload_id: str, report: PartReport) -> None:
        """Tell the API what storage answered to one part."""
        await self._call(calls.report_part(upload_id, report))

    async def report_parts(self, upload_id: str, reports: Iterable[PartReport]) -> None:
        """Tell the API what storage answered to many parts, in one call."""
        await self._call(calls.report_parts(upload_id, reports))

    async def complete_upload(self, upload_id: str, reports: Iterable[PartReport] = ()) -> CompletedFile:
        """Finish an upload, as `Api.complete_upload` does."""
        return await self._call(calls.complete_upload(upload_id, reports))

    async def abort_upload(self, upload_id: str) -> None:
        """Give an upload up; storage forgets its parts. Raises UploadGone for one that is not open."""
        await self._call(calls.abort_upload(upload_id))

    # Files and folders

    async def get_file(self, file_id: str) -> FileDetails:
        """Return a file or a folder."""
        return await self._call(calls.get_file(file_id))

    async def get_download_url(self, file_id: str) -> str:
        """Return a signed URL of a file's bytes; who has it can read them."""
        return await self._call(calls.get_download_info(file_id))

    async def delete_file(self, file_id: str) -> None:
        """Delete a file or an empty folder."""
        await self._call(calls.delete_file(file_id))

    def list_files(self, destination: Destination | str, name: str | None = None) -> AsyncIterator[FileDetails]:
        """Yield the files and folders at a destination, those of a name if given."""
        return self._all(lambda offset: calls.list_files(destination, name, offset), lambda file: file.id)

    async def find_file(self, destination: Destination | str, name: str) -> FileDetails | None:
        """Return the file or folder of exactly this name at a destination, None if there is none."""
        async for file in self.list_files(destination, name):
            if file.name == name:
                return file
        return None

    def list_folder(self, folder_id: str) -> AsyncIterator[FileDetails]:
        """Yield the files and folders in a folder."""
        return self._all(lambda offset: calls.list_folder(folder_id, offset), lambda file: file.id)

    async def create_folder(self, destination: Destination | str, name: str) -> FileDetails:
        """Make a folder. Raises NameTaken."""
        return (
            await self._call(calls.create_folder(destination, name))
            or await self.find_file(destination, name)
            or not_to_be_found(name)
        )

    async def edit_files(self, edits: Sequence[FileEdit]) -> list[CavaticaError | None]:
        """Merge metadata into up to 100 files and set tags; the answer has a place for each, None if it was done."""
        outcomes = await self._call(calls.edit_files(edits))
        return [
            as_edited(edit, await self.get_file(edit.file_id)) if isinstance(outcome, Unclear) else outcome
            for edit, outcome in zip(edits, outcomes, strict=True)
        ]

    # The rest

    async def get_project(self, project: str) -> Project:
        """Return a project, named as owner/name."""
        return await self._call(calls.get_project(project))

    async def get_rate_limit(self) -> RateLimit:
        """Return how many calls are left; this one is not counted."""
        return await self._call(calls.get_rate_limit())

    async def _call(self, call: Call[T]) -> T:
        client = self._client.get_async_httpx_client()
        response = await client.request(**call.request, extensions={AS_IT_CAME: True})
        return read_answer(call, response, client.base_url, self._drifts)

    async def _all(self, page: Callable[[int], Call[Page[Item]]], key: Callable[[Item], str]) -> AsyncIterator[Item]:
        pages = Pages(key)
        while not pages.over:
            for item in pages.take(await self._call(page(pages.offset))):
                yield item
