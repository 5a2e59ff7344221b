"""Records as the API shows them: JSON documents that fit the response schemas of openapi.yaml."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import attrs

from cavatica_mock.ids import project_uuid
from cavatica_mock.records import File, Part, Upload

Document = dict[str, Any]


def timestamp(seconds: float) -> str:
    """UTC, ISO 8601, whole seconds, Z: as the vendor's examples have it."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@attrs.frozen
class Page:
    """A part of a list: what is on it, how many there are on all pages."""

    items: Sequence[Document]
    total: int
    offset: int
    limit: int


@attrs.frozen
class Views:
    """`base` is the URL of the API as the client knows it, so that every href can be followed."""

    base: str

    def upload_href(self, upload: Upload) -> str:
        return f"{self.base}/upload/multipart/{upload.id}"

    def started(self, upload: Upload) -> Document:
        shown = {
            "href": self.upload_href(upload),
            "upload_id": upload.id,
            "project": upload.project,
            "parent": upload.parent,
            "name": upload.name,
            "size": upload.size,
            "part_size": upload.part_size,
            "parallel_uploads": True,
        }
        return _known(shown)

    def summary(self, upload: Upload) -> Document:
        return {
            "href": self.upload_href(upload),
            "upload_id": upload.id,
            "project": upload.project,
            "parent": upload.parent,
            "name": upload.name,
            "initiated": timestamp(upload.initiated),
        }

    def upload(self, upload: Upload, reported: int, parts: Sequence[Part] | None) -> Document:
        """The size is not shown: the platform keeps it to itself (Javadoc of the vendor's Java client)."""
        shown = self.summary(upload) | {
            "md5": upload.md5,
            "parallel_uploads": True,
            "part_size": upload.part_size,
            "uploaded_parts_count": reported,
            "parts": None if parts is None else [part.report for part in parts if part.report is not None],
        }
        return _known(shown)

    def completed(self, file: File) -> Document:
        return {
            "href": self.file_href(file),
            "path": f"/Projects/{project_uuid(file.project)}/{file.name}",
            "id": file.id,
            "project": file.project,
            "parent": file.parent,
            "name": file.name,
            "type": "file",
            "size": file.size,
            "created_on": timestamp(file.created),
            "modified_on": timestamp(file.modified),
        }

    def file_href(self, file: File) -> str:
        return f"{self.base}/files/{file.id}"

    def file(self, file: File) -> Document:
        shown: Document = {
            "href": self.file_href(file),
            "id": file.id,
            "name": file.name,
            "type": "folder" if file.folder else "file",
            "size": file.size,
            "project": file.project,
            "parent": file.parent,
            "created_on": timestamp(file.created),
            "modified_on": timestamp(file.modified),
        }
        if not file.folder:
            shown["storage"] = {"type": "PLATFORM", "hosted_on_locations": ["aws:us-east-1"]}
            shown["origin"] = {}
        return _known(shown) | {"metadata": dict(file.metadata), "tags": list(file.tags)}

    def created_folder(self, folder: File) -> Document:
        """As the vendor's OpenAPI has it: without `project`, the type in upper case."""
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

    def page(self, path: str, asked: Mapping[str, Any], page: Page) -> Document:
        """`asked` are the query parameters besides limit and offset, kept in the links."""

        def href(offset: int) -> str:
            query = urlencode({**asked, "offset": offset, "limit": page.limit}, doseq=True, quote_via=quote)
            return f"{self.base}{path}?{query}"

        links = []
        if page.offset + page.limit < page.total:
            links.append({"href": href(page.offset + page.limit), "rel": "next", "method": "GET"})
        if page.offset > 0:
            links.append({"href": href(max(0, page.offset - page.limit)), "rel": "prev", "method": "GET"})
        return {"href": href(page.offset), "items": list(page.items), "links": links}


def _known(document: Document) -> Document:
    """Without the keys that there is nothing to say about."""
    return {key: value for key, value in document.items() if value is not None}


def chosen(document: Document, fields: str) -> Document:
    """A document cut down to what the query parameter `fields` asks for.

    Top-level keys with commas between them, `!key` for all but that one, `_all` for everything (docs.cavatica.org, The
    API). In a list they choose among the keys of its items; the frame of the page stays.
    """
    names = {name.strip() for name in fields.split(",")} - {"", "items", "links"}
    if not names or "_all" in names:
        return document
    if "items" in document and "links" in document:
        return document | {"items": [chosen(item, fields) for item in document["items"]]}
    hidden = {name[1:] for name in names if name.startswith("!")}
    shown = {name for name in names if not name.startswith("!")} or set(document)
    return {key: value for key, value in document.items() if key in shown and key not in hidden}
