"""One function for each operation, and the documents that they answer with. No HTTP library here."""

import math
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

import attrs

from cavatica_mock.errors import FILE_UNKNOWN, Problem
from cavatica_mock.state import UNLIMITED, State
from cavatica_mock.storage import Grant, Signer, timestamp
from cavatica_mock.store import File, Part, Upload, project_uuid

Document = dict[str, Any]
DEFAULT_LIMIT: Final = 50  # items on a page; older pages of the documentation say 25


@attrs.frozen
class Answer:
    """`document` None means an empty body."""

    status: int
    document: Document | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Views:
    """How the API shows things. `base` is its URL as the client knows it, so that every href can be followed."""

    base: str

    def _upload(self, upload: Upload) -> Document:
        return {
            "href": f"{self.base}/upload/multipart/{upload.id}",
            "upload_id": upload.id,
            "project": upload.project,
            "parent": upload.parent,
            "name": upload.name,
        }

    def started(self, upload: Upload) -> Document:
        more = {"size": upload.size, "part_size": upload.part_size, "parallel_uploads": True}
        return _known(self._upload(upload) | more)

    def summary(self, upload: Upload) -> Document:
        return self._upload(upload) | {"initiated": timestamp(upload.initiated)}

    def upload(self, upload: Upload, parts: Sequence[Part], *, list_parts: bool) -> Document:
        """Without the size, which the platform does not show either (Javadoc of the vendor's Java client)."""
        reports = [part.report for part in parts if part.report is not None]
        shown = self.summary(upload) | {
            "md5": upload.md5,
            "parallel_uploads": True,
            "part_size": upload.part_size,
            "uploaded_parts_count": len(reports),
            "parts": reports if list_parts else None,
        }
        return _known(shown)

    def _file(self, file: File) -> Document:
        return {
            "href": f"{self.base}/files/{file.id}",
            "id": file.id,
            "name": file.name,
            "type": "folder" if file.folder else "file",
            "size": file.size,
            "project": file.project,
            "parent": file.parent,
            "created_on": timestamp(file.created),
            "modified_on": timestamp(file.modified),
        }

    def completed(self, file: File) -> Document:
        return self._file(file) | {"path": f"/Projects/{project_uuid(file.project)}/{file.name}"}

    def file(self, file: File) -> Document:
        shown = self._file(file) | {"metadata": dict(file.metadata), "tags": list(file.tags)}
        if not file.folder:
            shown["storage"] = {"type": "PLATFORM", "hosted_on_locations": ["aws:us-east-1"]}
            shown["origin"] = {}
        return _known(shown)

    def created_folder(self, folder: File) -> Document:
        """As in the vendor's OpenAPI: without `project`, the type in upper case."""
        shown = self.file(folder)
        kept = {key: shown[key] for key in ("href", "id", "name", "parent", "created_on", "modified_on")}
        return kept | {"type": "FOLDER"}

    def project(self, project: str, root: str, writable: bool) -> Document:
        owner, name = project.split("/")
        return {
            "href": f"{self.base}/projects/{quote(owner)}/{quote(name)}",
            "id": project,
            "name": name,
            "permissions": {"read": True, "copy": True, "write": writable, "execute": writable, "admin": writable},
            "root_folder": root,
        }


def _known(document: Document) -> Document:
    """The document without keys whose value is None."""
    return {key: value for key, value in document.items() if value is not None}


@attrs.frozen
class Call:
    """A call that fits openapi.yaml. `origin` is scheme and host as the client knows them."""

    user: str
    origin: str
    parameters: Mapping[str, Any]
    body: Any

    @property
    def views(self) -> Views:
        return Views(f"{self.origin}/v2")

    @property
    def window(self) -> tuple[int, int]:
        """The offset and the limit of a list."""
        return self.parameters.get("offset", 0), self.parameters.get("limit", DEFAULT_LIMIT)


def start_upload(state: State, call: Call) -> Answer:
    upload = state.uploads.start(call.user, call.body, call.parameters.get("overwrite", False))
    return Answer(HTTPStatus.OK, call.views.started(upload))


def list_uploads(state: State, call: Call) -> Answer:
    uploads, total = state.store.uploads(call.user, *call.window)
    return _page(call, "/upload/multipart", [call.views.summary(upload) for upload in uploads], total)


def get_upload(state: State, call: Call) -> Answer:
    upload = _upload(state, call)
    list_parts = call.parameters.get("list_parts", False)
    return Answer(HTTPStatus.OK, call.views.upload(upload, state.store.parts(upload.id), list_parts=list_parts))


def get_part_url(state: State, call: Call) -> Answer:
    upload = _upload(state, call)
    number = state.uploads.check_number(upload, call.parameters["part_number"])
    expires = _expiry(state)
    grant = Grant("PUT", upload.key, upload.id, number)
    # success_codes stands where the vendor's OpenAPI has it.
    document: Document = {
        "method": "PUT",
        "url": Signer(state.signing_secret).url(state.settings.storage or call.origin, grant, expires),
        "expires": timestamp(expires),
        "headers": {},
        "report": {"success_codes": [200], "headers": ["ETag"]},
    }
    return Answer(HTTPStatus.OK, document)


def report_uploaded_part(state: State, call: Call) -> Answer:
    (report,) = state.uploads.report(_upload(state, call), [call.body])
    return Answer(HTTPStatus.OK, report)


def report_uploaded_parts(state: State, call: Call) -> Answer:
    state.uploads.report(_upload(state, call), call.body["parts"])
    return Answer(HTTPStatus.OK)


def complete_upload(state: State, call: Call) -> Answer:
    file = state.uploads.complete(_upload(state, call), (call.body or {}).get("parts", ()))
    return Answer(HTTPStatus.CREATED, call.views.completed(file))


def abort_upload(state: State, call: Call) -> Answer:
    state.uploads.abort(_upload(state, call))
    return Answer(HTTPStatus.NO_CONTENT)


def get_file(state: State, call: Call) -> Answer:
    return Answer(HTTPStatus.OK, call.views.file(state.files.find(call.parameters["file_id"])))


def delete_file(state: State, call: Call) -> Answer:
    state.files.delete(call.parameters["file_id"])
    return Answer(HTTPStatus.NO_CONTENT)


def get_download_info(state: State, call: Call) -> Answer:
    file = state.files.downloadable(call.parameters["file_id"])
    grant = Grant("GET", f"files/{file.id}+{file.name}", file.id, 0)
    return Answer(HTTPStatus.OK, {"url": Signer(state.signing_secret).url(call.origin, grant, _expiry(state))})


def list_files(state: State, call: Call) -> Answer:
    query = {key: call.parameters[key] for key in ("project", "parent", "name") if key in call.parameters}
    place = state.locations.destination(query.get("project"), query.get("parent"))
    files, total = state.store.files(place.folder, query.get("name", ()), *call.window)
    return _page(call, "/files", [call.views.file(file) for file in files], total, query)


def list_folder(state: State, call: Call) -> Answer:
    place = state.locations.folder(call.parameters["file_id"], missing=FILE_UNKNOWN)
    files, total = state.store.files(place.folder, (), *call.window)
    return _page(call, f"/files/{call.parameters['file_id']}/list", [call.views.file(file) for file in files], total)


def create_folder(state: State, call: Call) -> Answer:
    return Answer(HTTPStatus.OK, call.views.created_folder(state.files.create_folder(call.user, call.body)))


def edit_files(state: State, call: Call) -> Answer:
    """One outcome for each file: a refusal of one does not affect the others."""
    outcomes: list[Document] = []
    for wanted in call.body["items"]:
        try:
            outcomes.append({"resource": call.views.file(state.files.edit(wanted))})
        except Problem as problem:
            outcomes.append({"error": problem.body()})
    return Answer(HTTPStatus.OK, {"items": outcomes})


def get_project(state: State, call: Call) -> Answer:
    place = state.locations.project(f"{call.parameters['project_owner']}/{call.parameters['project_name']}")
    writable = state.locations.writable(place.project)
    return Answer(HTTPStatus.OK, call.views.project(place.project, place.folder, writable))


def get_rate_limit(state: State, call: Call) -> Answer:
    rate = state.rates.look(call.user)
    document: Document = {
        "rate": {"limit": rate.limit, "remaining": rate.remaining, "reset": rate.reset},
        "instance_limit": {"limit": -1, "remaining": UNLIMITED},
    }
    return Answer(HTTPStatus.OK, document)


Handler = Callable[[State, Call], Answer]
HANDLERS: Final[dict[str, Handler]] = {
    "startUpload": start_upload,
    "listUploads": list_uploads,
    "getUpload": get_upload,
    "getPartUrl": get_part_url,
    "reportUploadedPart": report_uploaded_part,
    "reportUploadedParts": report_uploaded_parts,
    "completeUpload": complete_upload,
    "abortUpload": abort_upload,
    "getFile": get_file,
    "deleteFile": delete_file,
    "getDownloadInfo": get_download_info,
    "listFiles": list_files,
    "listFolder": list_folder,
    "createFolder": create_folder,
    "editFiles": edit_files,
    "getProject": get_project,
    "getRateLimit": get_rate_limit,
}


def _upload(state: State, call: Call) -> Upload:
    return state.uploads.find(call.user, call.parameters["upload_id"])


def _expiry(state: State) -> int:
    return math.ceil(state.settings.clock() + state.settings.part_url_lifetime)


def _page(call: Call, path: str, items: list[Document], total: int, query: Mapping[str, Any] | None = None) -> Answer:
    """A page of a list. `query` has the parameters besides limit and offset, which the links keep."""
    offset, limit = call.window

    def href(start: int) -> str:
        text = urlencode({**(query or {}), "offset": start, "limit": limit}, doseq=True, quote_via=quote)
        return f"{call.views.base}{path}?{text}"

    links = []
    if offset + limit < total:
        links.append({"href": href(offset + limit), "rel": "next", "method": "GET"})
    if offset > 0:
        links.append({"href": href(max(0, offset - limit)), "rel": "prev", "method": "GET"})
    document = {"href": href(offset), "items": items, "links": links}
    return Answer(HTTPStatus.OK, document, {"X-Total-Matching-Query": str(total)})
