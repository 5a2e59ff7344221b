"""The operations of the API as methods: what is sent, and how the answer is read.

Each is written once, as a coroutine of `AsyncApi`. The methods of `Operations` run the same coroutines over a blocking
client: there they never wait for an event loop, and end in one step.

A start or a completion whose answer was lost raises an error with `maybe_acted`: the caller finds out what happened.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from cavatica_client import models
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
from cavatica_client.types import UNSET
from cavatica_upload.api import records
from cavatica_upload.api.responses import Answer, Drifts
from cavatica_upload.api.transport import ANSWER, AS_IT_CAME
from cavatica_upload.destination import Destination, destination_of, nfc
from cavatica_upload.errors import CavaticaError, UnexpectedAnswer, UsageError
from cavatica_upload.plan import PartUrl
from cavatica_upload.request import FileEdit

PAGE = 100  # the most items of a page (docs.sevenbridges.com, List files)

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")


class AsyncApi:
    """The operations of the API as coroutines; a client made by `connect()` has it as `aio`.

    `async with connect() as api: async for upload in api.aio.list_uploads(): …`
    """

    def __init__(self, client: Callable[[], httpx.AsyncClient | httpx.Client], drifts: Drifts) -> None:
        self._client = client
        self._drifts = drifts

    async def _call(
        self, read: Callable[[Answer], T], request: Callable[P, dict[str, Any]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Make a call. Raises UsageError for an ID or a name that is not Unicode text."""
        try:
            made = request(*args, **kwargs)
        except UnicodeError as error:
            raise UsageError(
                "An ID or a name cannot be sent: it holds characters that are not Unicode text.",
                "Give the ID as the platform shows it.",
            ) from error
        response = self._client().request(**made, extensions={AS_IT_CAME: True})
        answer: Answer = (response if isinstance(response, httpx.Response) else await response).extensions[ANSWER]
        self._drifts.note(answer)
        return read(answer)

    async def _items(self, request: Callable[[int], dict[str, Any]], pages: records.Pages[Item]) -> AsyncIterator[Item]:
        while not pages.over:
            for item in await self._call(pages.take, request, pages.offset):
                yield item

    # Uploads

    async def start_upload(
        self,
        destination: Destination | str,
        name: str,
        size: int | None = None,
        part_size: int | None = None,
        md5: str | None = None,
        overwrite: bool = False,
    ) -> records.StartedUpload:
        """Start an upload; the server decides on the part size (bytes). Raises NameTaken without `overwrite`."""
        destination = destination_of(destination)
        body = models.StartUploadRequest(
            name=name,
            project=destination.project or UNSET,
            parent=destination.parent or UNSET,
            size=UNSET if size is None else size,
            part_size=UNSET if part_size is None else part_size,
            md5=md5 or UNSET,
        )
        return await self._call(
            records.read_started_upload, start_upload._get_kwargs, body=body, overwrite=True if overwrite else UNSET
        )

    def list_uploads(self) -> AsyncIterator[records.UploadSummary]:
        """Yield the uploads that are open on the server, requesting pages as they are needed."""
        return self._items(
            lambda offset: list_uploads._get_kwargs(limit=PAGE, offset=offset),
            records.Pages(records.read_upload_summary, lambda upload: upload.upload_id),
        )

    async def get_upload(self, upload_id: str, list_parts: bool = False) -> records.Upload:
        """Return an open upload, with the parts reported so far if `list_parts`. Raises UploadGone."""
        return await self._call(
            lambda answer: records.read(records.Upload, answer.json, upload_id=upload_id),
            get_upload._get_kwargs,
            upload_id,
            list_parts=True if list_parts else UNSET,
        )

    async def get_part_url(self, upload_id: str, number: int) -> PartUrl:
        """Return where and how to send the bytes of a part (from 1)."""
        return await self._call(records.read_part_url, get_part_url._get_kwargs, upload_id, number)

    async def report_part(self, upload_id: str, report: models.PartReport) -> None:
        """Report to the API what storage answered to one part."""
        await self._call(records.nothing, report_uploaded_part._get_kwargs, upload_id, body=report)

    async def report_parts(self, upload_id: str, reports: Iterable[models.PartReport]) -> None:
        """Report to the API what storage answered to many parts, in one call."""
        body = models.PartReportList(parts=list(reports))
        await self._call(records.nothing, report_uploaded_parts._get_kwargs, upload_id, body=body)

    async def complete_upload(self, upload_id: str, reports: Iterable[models.PartReport] = ()) -> records.CompletedFile:
        """Complete an upload, reporting what is not yet reported, and return the file. Raises CompleteRefused.

        After any status of success the upload is completed; if the server did not send the file's `id`, the file has to
        be looked for. After an error with `maybe_acted`, or UploadGone after one, the file may exist.
        """
        parts = list(reports)
        body = models.CompleteUploadRequest(parts=parts) if parts else UNSET
        return await self._call(
            lambda answer: records.read(records.CompletedFile, answer.json),
            complete_upload._get_kwargs,
            upload_id,
            body=body,
        )

    async def abort_upload(self, upload_id: str) -> None:
        """Abort an upload; storage deletes its parts. Raises UploadGone for one that is not open."""
        await self._call(records.nothing, abort_upload._get_kwargs, upload_id)

    # Files and folders

    async def get_file(self, file_id: str) -> records.FileDetails:
        """Return a file or a folder."""
        found = await self._call(
            lambda answer: records.read_file_details(answer.json, file_id), get_file._get_kwargs, file_id
        )
        return found or records.FileDetails(id=file_id)

    async def get_download_url(self, file_id: str) -> str:
        """Return a signed URL of a file's bytes; whoever has it can read them."""
        return await self._call(records.read_url, get_download_info._get_kwargs, file_id)

    async def delete_file(self, file_id: str) -> None:
        """Delete a file or an empty folder."""
        await self._call(records.nothing, delete_file._get_kwargs, file_id)

    def list_files(self, destination: Destination | str, name: str | None = None) -> AsyncIterator[records.FileDetails]:
        """Yield the files and folders at a destination; only those with this name, if one is given."""
        place = destination_of(destination)
        return self._items(
            lambda offset: list_files._get_kwargs(
                project=place.project or UNSET,
                parent=place.parent or UNSET,
                name=UNSET if name is None else [name],
                limit=PAGE,
                offset=offset,
            ),
            records.Pages(records.read_file_details, lambda file: file.id),
        )

    async def find_file(self, destination: Destination | str, name: str) -> records.FileDetails | None:
        """Return the file or folder of this name at a destination, None if there is none.

        Of two whose names differ only in their Unicode form, it is the one of exactly this name.
        """
        similar = None
        async for file in self.list_files(destination, name):
            if file.name == name:
                return file
            if similar is None and nfc(file.name) == nfc(name):
                similar = file
        return similar

    def list_folder(self, folder_id: str) -> AsyncIterator[records.FileDetails]:
        """Yield the files and folders in a folder."""
        return self._items(
            lambda offset: list_folder._get_kwargs(folder_id, limit=PAGE, offset=offset),
            records.Pages(records.read_file_details, lambda file: file.id),
        )

    async def create_folder(self, destination: Destination | str, name: str) -> records.FileDetails:
        """Create a folder. Raises NameTaken."""
        place = destination_of(destination)
        project, parent = place.project or UNSET, place.parent or UNSET
        body = models.CreateFolderRequest(name=name, type_="folder", project=project, parent=parent)
        folder = await self._call(
            lambda answer: records.read_file_details(answer.json), create_folder._get_kwargs, body=body
        )
        folder = folder or await self.find_file(place, name)
        if folder is None:
            raise UnexpectedAnswer(
                f"Creating a folder failed: the server reported success, but the folder is not there: {name!r}.",
                "Look for the folder on the platform, and run the same command again.",
                status=200,
                operation="createFolder",
            )
        return folder

    async def edit_files(self, edits: Sequence[FileEdit]) -> list[CavaticaError | None]:
        """Merge metadata into up to 100 files and set tags. Return an error for each file, or None if it succeeded."""
        body = models.EditFilesRequest(items=[_edit_item(edit) for edit in edits])
        ids = [edit.file_id for edit in edits]
        results = await self._call(lambda answer: records.read_edits(answer, ids), edit_files._get_kwargs, body=body)
        errors: list[CavaticaError | None] = []
        for edit, result in zip(edits, results, strict=True):
            if isinstance(result, CavaticaError):
                errors.append(result)
            else:
                errors.append(None if result else _edit_error(edit, await self.get_file(edit.file_id)))
        return errors

    # Projects and the rate limit

    async def get_project(self, project: str) -> records.Project:
        """Return a project, given as owner/name."""
        owner, _, name = str(Destination(project=project)).partition("/")
        return await self._call(
            lambda answer: records.read_project(answer, project), get_project._get_kwargs, owner, name
        )

    async def get_rate_limit(self) -> records.RateLimit:
        """Return the number of calls left; this call is not counted."""
        return await self._call(records.read_rate_limit, get_rate_limit._get_kwargs)


def _edit_item(edit: FileEdit) -> models.FileEdit:
    item = models.FileEdit(id=edit.file_id, tags=list(edit.tags) or UNSET)
    if edit.metadata:
        item.metadata = models.Metadata()
        item.metadata.additional_properties.update(edit.metadata)
    return item


def _edit_error(edit: FileEdit, file: records.FileDetails) -> CavaticaError | None:
    """Return None if a file has what was to be set, after an answer that did not say."""
    metadata_set = file.metadata is None or dict(edit.metadata).items() <= file.metadata.items()
    if metadata_set and (file.tags is None or set(edit.tags) <= set(file.tags)):
        return None
    return UnexpectedAnswer(
        "Setting metadata failed: the answer has no result for the file, and the file is unchanged.",
        "Run the same command again.",
        status=200,
        operation="editFiles",
    )


# The same without asyncio


def _run(coroutine: Awaitable[T]) -> T:
    """Run a coroutine that never waits."""
    try:
        coroutine.__await__().send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a call of a blocking client waited for an event loop")


def _blocking(
    method: Callable[Concatenate[AsyncApi, P], Coroutine[Any, Any, T]],
) -> "Callable[Concatenate[Operations, P], T]":
    @functools.wraps(method)
    def call(self: "Operations", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return _run(method(self._coroutines, *args, **kwargs))

    return call


def _each(items: AsyncIterator[Item]) -> Iterator[Item]:
    while True:
        try:
            yield _run(anext(items))
        except StopAsyncIteration:
            return


class Operations:
    """The operations of the API, one method each.

    Every method raises the errors of `cavatica_upload.errors`. IDs are those that the platform gave; an empty one,
    or one with dots or slashes for a name, is refused with UsageError before anything is sent. A destination is a
    Destination, "owner/name", or the ID of a folder. Answers are read leniently, into the records of
    `cavatica_upload.api.records`. Lists are followed page by page as they are read.
    """

    @property
    def _coroutines(self) -> AsyncApi:
        """The coroutines over a client that blocks."""
        raise NotImplementedError

    start_upload = _blocking(AsyncApi.start_upload)
    get_upload = _blocking(AsyncApi.get_upload)
    get_part_url = _blocking(AsyncApi.get_part_url)
    report_part = _blocking(AsyncApi.report_part)
    report_parts = _blocking(AsyncApi.report_parts)
    complete_upload = _blocking(AsyncApi.complete_upload)
    abort_upload = _blocking(AsyncApi.abort_upload)
    get_file = _blocking(AsyncApi.get_file)
    get_download_url = _blocking(AsyncApi.get_download_url)
    delete_file = _blocking(AsyncApi.delete_file)
    find_file = _blocking(AsyncApi.find_file)
    create_folder = _blocking(AsyncApi.create_folder)
    edit_files = _blocking(AsyncApi.edit_files)
    get_project = _blocking(AsyncApi.get_project)
    get_rate_limit = _blocking(AsyncApi.get_rate_limit)

    def list_uploads(self) -> Iterator[records.UploadSummary]:
        """Yield the uploads that are open on the server, requesting pages as they are needed."""
        return _each(self._coroutines.list_uploads())

    def list_files(self, destination: Destination | str, name: str | None = None) -> Iterator[records.FileDetails]:
        """Yield the files and folders at a destination; only those with this name, if one is given."""
        return _each(self._coroutines.list_files(destination, name))

    def list_folder(self, folder_id: str) -> Iterator[records.FileDetails]:
        """Yield the files and folders in a folder."""
        return _each(self._coroutines.list_folder(folder_id))
