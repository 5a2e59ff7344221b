"""One handler for each operationId: a checked call in, an answer out. No HTTP library here."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import attrs

from cavatica_mock.errors import NOT_IMPLEMENTED, Problem
from cavatica_mock.files import Files
from cavatica_mock.records import Document, File, Page, Views, timestamp
from cavatica_mock.replies import Answer
from cavatica_mock.settings import Settings
from cavatica_mock.state import UNLIMITED, RateLimit
from cavatica_mock.storage import Grant, Signer
from cavatica_mock.uploads import Uploads

DEFAULT_LIMIT: Final = 50  # items on a page; older pages of the documentation say 25


@attrs.frozen
class Call:
    """A call that fits openapi.yaml. `origin` is scheme and host as the client knows them."""

    user: str
    origin: str
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Any

    @property
    def views(self) -> Views:
        return Views(f"{self.origin}/v2")


@attrs.frozen
class Handlers:
    """Every operation of the contract, by its operationId."""

    settings: Settings
    uploads: Uploads
    files: Files
    rates: RateLimit
    signer: Signer

    def handler(self, operation_id: str) -> Callable[[Call], Answer]:
        """Raises Problem for an operation that is in the document and not in the mock."""
        if operation_id not in _HANDLERS:
            raise Problem(NOT_IMPLEMENTED, f"The mock does not have the operation {operation_id}.")
        return partial(_HANDLERS[operation_id], self)

    def start_upload(self, call: Call) -> Answer:
        upload = self.uploads.start(call.user, call.body, call.query.get("overwrite", False))
        return Answer(HTTPStatus.OK, call.views.started(upload))

    def list_uploads(self, call: Call) -> Answer:
        offset, limit = _window(call)
        uploads, total = self.uploads.store.uploads(call.user, offset, limit)
        items = [call.views.summary(upload) for upload in uploads]
        return _page(call, "/upload/multipart", Page(items, total, offset, limit))

    def get_upload(self, call: Call) -> Answer:
        upload = self.uploads.find(call.user, call.path["upload_id"])
        store = self.uploads.store
        parts = store.parts(upload.id) if call.query.get("list_parts", False) else None
        return Answer(HTTPStatus.OK, call.views.upload(upload, store.reported(upload.id), parts))

    def get_part_url(self, call: Call) -> Answer:
        upload = self.uploads.find(call.user, call.path["upload_id"])
        number = self.uploads.check_number(upload, call.path["part_number"])
        expires = self._expiry()
        origin = self.settings.storage or call.origin
        url = self.signer.url(origin, Grant("PUT", upload.key, upload.id, number), expires)
        # The place of success_codes is the one in the vendor's own OpenAPI.
        document: Document = {
            "method": "PUT",
            "url": url,
            "expires": timestamp(expires),
            "headers": {},
            "report": {"success_codes": [200], "headers": ["ETag"]},
        }
        return Answer(HTTPStatus.OK, document)

    def report_uploaded_part(self, call: Call) -> Answer:
        upload = self.uploads.find(call.user, call.path["upload_id"])
        self.uploads.report(upload, [call.body])
        part = self.uploads.store.part(upload.id, int(call.body["part_number"]))
        return Answer(HTTPStatus.OK, dict(part.report) if part is not None and part.report is not None else {})

    def report_uploaded_parts(self, call: Call) -> Answer:
        upload = self.uploads.find(call.user, call.path["upload_id"])
        self.uploads.report(upload, call.body["parts"])
        return Answer(HTTPStatus.OK)

    def complete_upload(self, call: Call) -> Answer:
        upload = self.uploads.find(call.user, call.path["upload_id"])
        file = self.uploads.complete(upload, (call.body or {}).get("parts", ()))
        return Answer(HTTPStatus.CREATED, call.views.completed(file))

    def abort_upload(self, call: Call) -> Answer:
        self.uploads.abort(self.uploads.find(call.user, call.path["upload_id"]))
        return Answer(HTTPStatus.NO_CONTENT)

    def get_file(self, call: Call) -> Answer:
        return Answer(HTTPStatus.OK, call.views.file(self.files.find(call.path["file_id"])))

    def delete_file(self, call: Call) -> Answer:
        self.files.delete(call.path["file_id"])
        return Answer(HTTPStatus.NO_CONTENT)

    def get_download_info(self, call: Call) -> Answer:
        file = self.files.downloadable(call.path["file_id"])
        grant = Grant("GET", f"files/{file.id}+{file.name}", file.id, 0)
        return Answer(HTTPStatus.OK, {"url": self.signer.url(call.origin, grant, self._expiry())})

    def list_files(self, call: Call) -> Answer:
        offset, limit = _window(call)
        asked = {key: call.query[key] for key in ("project", "parent", "name") if key in call.query}
        found = self.files.list(asked.get("project"), asked.get("parent"), asked.get("name", ()), offset, limit)
        return self._files(call, "/files", asked, found, offset, limit)

    def list_folder(self, call: Call) -> Answer:
        offset, limit = _window(call)
        found = self.files.list_folder(call.path["file_id"], offset, limit)
        return self._files(call, f"/files/{call.path['file_id']}/list", {}, found, offset, limit)

    def create_folder(self, call: Call) -> Answer:
        folder = self.files.create_folder(call.user, call.body)
        return Answer(HTTPStatus.OK, call.views.created_folder(folder))

    def edit_files(self, call: Call) -> Answer:
        """One outcome per file: a refusal of one does not touch the others."""
        outcomes: list[Document] = []
        for wanted in call.body["items"]:
            try:
                outcomes.append({"resource": call.views.file(self.files.edit(wanted))})
            except Problem as problem:
                outcomes.append({"error": problem.body()})
        return Answer(HTTPStatus.OK, {"items": outcomes})

    def get_project(self, call: Call) -> Answer:
        name = f"{call.path['project_owner']}/{call.path['project_name']}"
        places = self.files.locations
        place = places.project(name)
        return Answer(HTTPStatus.OK, call.views.project(place.project, place.folder, places.writable(place.project)))

    def get_rate_limit(self, call: Call) -> Answer:
        rate = self.rates.look(call.user)
        document: Document = {
            "rate": {"limit": rate.limit, "remaining": rate.remaining, "reset": rate.reset},
            "instance_limit": {"limit": -1, "remaining": UNLIMITED},
        }
        return Answer(HTTPStatus.OK, document)

    def _files(
        self, call: Call, path: str, asked: Mapping[str, Any], found: tuple[Any, int], offset: int, limit: int
    ) -> Answer:
        files, total = found
        items = [call.views.file(file) for file in files if isinstance(file, File)]
        return _page(call, path, Page(items, total, offset, limit), asked)

    def _expiry(self) -> int:
        return math.ceil(self.settings.clock() + self.settings.part_url_lifetime)


_HANDLERS: Final[dict[str, Callable[[Handlers, Call], Answer]]] = {
    "startUpload": Handlers.start_upload,
    "listUploads": Handlers.list_uploads,
    "getUpload": Handlers.get_upload,
    "getPartUrl": Handlers.get_part_url,
    "reportUploadedPart": Handlers.report_uploaded_part,
    "reportUploadedParts": Handlers.report_uploaded_parts,
    "completeUpload": Handlers.complete_upload,
    "abortUpload": Handlers.abort_upload,
    "getFile": Handlers.get_file,
    "deleteFile": Handlers.delete_file,
    "getDownloadInfo": Handlers.get_download_info,
    "listFiles": Handlers.list_files,
    "listFolder": Handlers.list_folder,
    "createFolder": Handlers.create_folder,
    "editFiles": Handlers.edit_files,
    "getProject": Handlers.get_project,
    "getRateLimit": Handlers.get_rate_limit,
}


def _window(call: Call) -> tuple[int, int]:
    return call.query.get("offset", 0), call.query.get("limit", DEFAULT_LIMIT)


def _page(call: Call, path: str, page: Page, asked: Mapping[str, Any] | None = None) -> Answer:
    document = call.views.page(path, asked or {}, page)
    return Answer(HTTPStatus.OK, document, {"X-Total-Matching-Query": str(page.total)})


def refused(problem: Problem) -> Answer:
    return Answer(problem.status, problem.body())


def unrouted() -> Answer:
    """A path that no operation answers: the platform was seen to say so with a word and without a code."""
    return Answer(HTTPStatus.NOT_FOUND, {"status": "NOT_FOUND", "message": "There is nothing at this path."})
