"""What the mock remembers: the records, their ids in the platform's forms, and how the API shows them."""

import hashlib
import random
import string
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import attrs

Document = dict[str, Any]
ALPHANUMERIC: Final = string.ascii_letters + string.digits
HEXADECIMAL: Final = "0123456789abcdef"


@attrs.frozen
class Upload:
    """An open upload. Times in seconds since 1970, sizes in bytes."""

    id: str
    user: str
    project: str
    parent: str
    name: str
    size: int | None
    part_size: int
    md5: str | None
    overwrite: bool
    initiated: float
    key: str  # the object's name in storage


@attrs.frozen
class Part:
    """What is known of one part number: what storage holds, what was reported, or both."""

    number: int
    blob: str | None = None
    size: int | None = None
    etag: str | None = None
    report: Mapping[str, object] | None = None


@attrs.frozen
class File:
    """A file, or a folder (`size` None)."""

    id: str
    user: str
    project: str
    parent: str
    name: str
    folder: bool
    size: int | None
    created: float
    modified: float
    metadata: Mapping[str, object]
    tags: tuple[str, ...]


@attrs.frozen
class Piece:
    """One of the blobs that a file consists of, in order."""

    blob: str
    size: int


def _nothing(_: str) -> None:
    return None


class Ids:
    """Makes new ids; with a seed, the same ones in the same order."""

    def __init__(self, seed: int | None) -> None:
        self._random: random.Random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311

    def upload(self, find: Callable[[str], object] = _nothing) -> str:
        """64 letters and digits, as in the vendor's examples; never one that `find` knows."""
        return self._unknown(ALPHANUMERIC, 64, find)

    def file(self, find: Callable[[str], object] = _nothing) -> str:
        """24 hexadecimal digits, as files and folders have; never one that `find` knows."""
        return self._unknown(HEXADECIMAL, 24, find)

    def secret(self) -> str:
        return self._unknown(HEXADECIMAL, 64, _nothing)

    def _unknown(self, alphabet: str, length: int, find: Callable[[str], object]) -> str:
        """The next id that is not taken: with a seed, ids repeat when a kept folder is served again."""
        while True:
            made = "".join(self._random.choices(alphabet, k=length))
            if find(made) is None:
                return made


def root_folder(project: str) -> str:
    """The id of a project's root folder: always the same for the same project."""
    return hashlib.sha256(f"root of {project}".encode()).hexdigest()[:24]


def project_uuid(project: str) -> str:
    """The name of a project's root folder, which a file's `path` begins with."""
    digits = hashlib.sha256(f"uuid of {project}".encode()).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def user_of(token: str) -> str:
    """A token's user, as the state on disk names it: the token itself is never written anywhere."""
    return hashlib.sha256(f"user of {token}".encode()).hexdigest()[:16]


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
    """The document without keys whose value is None."""
    return {key: value for key, value in document.items() if value is not None}


def select_fields(document: Document, fields: str) -> Document:
    """A document cut down to what the query parameter `fields` asks for.

    Top-level keys with commas between them, `!key` for all but that one, `_all` for everything (docs.cavatica.org, The
    API). In a list they choose among the keys of its items; the frame of the page stays.
    """
    names = {name.strip() for name in fields.split(",")} - {"", "items", "links"}
    if not names or "_all" in names:
        return document
    if "items" in document and "links" in document:
        return document | {"items": [select_fields(item, fields) for item in document["items"]]}
    hidden = {name[1:] for name in names if name.startswith("!")}
    shown = {name for name in names if not name.startswith("!")} or set(document)
    return {key: value for key, value in document.items() if key in shown and key not in hidden}
