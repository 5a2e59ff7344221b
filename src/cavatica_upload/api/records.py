"""What the API answers, as records, each with its reader: None if the server did not say, or said it unreadably.

The models of `cavatica_client` have every key of the document, and are strict. Sizes are bytes, times are UTC. A reader
raises UnexpectedAnswer only if something is missing that an upload needs.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

import attrs

from cavatica_upload.api.responses import Answer, Fields, error_of, is_header_name, whole
from cavatica_upload.errors import CavaticaError, UnexpectedAnswer
from cavatica_upload.plan import MAX_FILE_SIZE, MAX_PART_SIZE, MAX_PARTS
from cavatica_upload.plan import PartUrl as PartUrl

SMALLEST_PAGE = 25
"""The fewest items of a page that is taken to be full: a server may limit pages to fewer items than requested."""
MOST_PAGES = 1000  # a list of more pages is taken to be endless: this many pages use all the calls of a window

Item = TypeVar("Item")


def nothing(_answer: Answer) -> None:
    """Read the answer of an operation whose status is enough."""


# How a field is read. A record's own reader passes those that have no such metadata.

Record = TypeVar("Record", bound=attrs.AttrsInstance)
_TEXT = {"read": Fields.text}
_IDENTIFIER = {"read": Fields.identifier}
_COUNT = {"read": Fields.whole}
_TIME = {"read": Fields.time}
_SIZE = {"read": lambda fields, key: fields.whole(key, 0, MAX_FILE_SIZE)}
_PERMISSION = {"read": lambda fields, key: fields.flag(key) is not False}


def read(kind: type[Record], value: Any, **known: object) -> Record:
    """Read a JSON object as a record; each of its fields that is not `known` is read as its metadata says."""
    fields = Fields(value)
    for field in attrs.fields(kind):
        if field.name not in known:
            known[field.name] = field.metadata["read"](fields, field.name.rstrip("_"))
    return kind(**known)


@attrs.frozen(kw_only=True)
class Entry:
    """What uploads and files have in common: a name, and the project or folder that they are in."""

    name: str | None = attrs.field(default=None, metadata=_TEXT)
    project: str | None = attrs.field(default=None, metadata=_TEXT)
    parent: str | None = attrs.field(default=None, metadata=_IDENTIFIER)
    href: str | None = attrs.field(default=None, metadata=_TEXT)


# Uploads


@attrs.frozen(kw_only=True)
class StartedUpload(Entry):
    """An upload that has just been started; `part_size` is the server's choice."""

    upload_id: str
    part_size: int
    parallel_uploads: bool = attrs.field(default=True, metadata=_PERMISSION)
    size: int | None = attrs.field(default=None, metadata=_SIZE)


def read_started_upload(answer: Answer) -> StartedUpload:
    """Read the answer to startUpload."""
    fields = Fields(answer.json)
    upload_id, part_size = fields.identifier("upload_id"), fields.whole("part_size", 1, MAX_PART_SIZE)
    if upload_id is None or part_size is None:
        raise answer.unexpected("without a usable " + ("upload_id" if upload_id is None else "part_size"))
    return read(StartedUpload, answer.json, upload_id=upload_id, part_size=part_size)


@attrs.frozen(kw_only=True)
class UploadSummary(Entry):
    """An open upload in a list."""

    upload_id: str
    initiated: datetime | None = attrs.field(default=None, metadata=_TIME)


def read_upload_summary(item: Any) -> UploadSummary | None:
    """Read an item of the answer to listUploads; None if it has no usable ID."""
    upload_id = Fields(item).identifier("upload_id")
    return None if upload_id is None else read(UploadSummary, item, upload_id=upload_id)


@attrs.frozen(kw_only=True)
class ReportedPart:
    """A part that was reported, with the headers that storage answered."""

    part_number: int
    headers: Mapping[str, str]


def _parts(fields: Fields, key: str) -> tuple[ReportedPart, ...] | None:
    items = fields.items(key)
    return None if items is None else tuple(part for item in items if (part := _part(Fields(item))) is not None)


def _part(fields: Fields) -> ReportedPart | None:
    number = fields.whole("part_number", 1, MAX_PARTS)
    headers = fields.inner("response").headers("headers")
    return ReportedPart(part_number=number, headers=headers) if number is not None else None


@attrs.frozen(kw_only=True)
class Upload(UploadSummary):
    """An open upload; `parts` are those reported, None if they were not requested or the server did not list them."""

    part_size: int | None = attrs.field(
        default=None, metadata={"read": lambda fields, key: fields.whole(key, 1, MAX_PART_SIZE)}
    )
    parallel_uploads: bool = attrs.field(default=True, metadata=_PERMISSION)
    uploaded_parts_count: int | None = attrs.field(
        default=None, metadata={"read": lambda fields, key: fields.whole(key, 0, MAX_PARTS)}
    )
    parts: tuple[ReportedPart, ...] | None = attrs.field(default=None, metadata={"read": _parts})
    size: int | None = attrs.field(default=None, metadata=_SIZE)
    md5: str | None = attrs.field(default=None, metadata=_TEXT)


def read_part_url(answer: Answer) -> PartUrl:
    """Read the answer to getPartUrl; `success_codes` may be beside `report` or in it, as the documentation has both."""
    fields = Fields(answer.json)
    report, method = fields.inner("report"), (fields.text("method") or "").upper()
    codes = fields.items("success_codes") or report.items("success_codes") or ()
    wanted = report.items("headers")
    return PartUrl(
        url=read_url(answer),
        method=method if method in ("PUT", "POST", "PATCH") else "PUT",
        headers=fields.headers("headers"),
        success_codes=tuple(code for one in codes if (code := whole(one)) is not None and 200 <= code < 300),
        report_headers=("ETag",) if wanted is None else tuple(name for name in wanted if is_header_name(name)),
        expires=fields.time("expires"),
    )


def read_url(answer: Answer) -> str:
    """Read the URL in the answer to getPartUrl or getDownloadInfo."""
    url = Fields(answer.json).url("url")
    if url is None:
        raise answer.unexpected("without a usable url")
    return url


# Files


@attrs.frozen(kw_only=True)
class CompletedFile(Entry):
    """The file that a completed upload produced; if `id` is None, the file has to be looked for."""

    id: str | None = attrs.field(default=None, metadata=_IDENTIFIER)
    size: int | None = attrs.field(default=None, metadata=_SIZE)
    created_on: datetime | None = attrs.field(default=None, metadata=_TIME)
    modified_on: datetime | None = attrs.field(default=None, metadata=_TIME)


def _metadata(fields: Fields, key: str) -> dict[str, str | None] | None:
    found = fields.values.get(key)
    if not isinstance(found, dict):
        return None
    return {name: value if isinstance(value, str | None) else json.dumps(value) for name, value in found.items()}


def _tags(fields: Fields, key: str) -> tuple[str, ...] | None:
    tags = fields.items(key)
    return None if tags is None else tuple(tag for tag in tags if isinstance(tag, str))


@attrs.frozen(kw_only=True)
class FileDetails(Entry):
    """A file or a folder; `type_` is "file" or "folder", in upper or lower case."""

    id: str
    type_: str | None = attrs.field(default=None, metadata=_TEXT)
    size: int | None = attrs.field(default=None, metadata=_SIZE)
    created_on: datetime | None = attrs.field(default=None, metadata=_TIME)
    modified_on: datetime | None = attrs.field(default=None, metadata=_TIME)
    metadata: Mapping[str, str | None] | None = attrs.field(default=None, metadata={"read": _metadata})
    tags: tuple[str, ...] | None = attrs.field(default=None, metadata={"read": _tags})


def read_file_details(value: Any, file_id: str | None = None) -> FileDetails | None:
    """Read a file or a folder; None if it has no ID and `file_id` is not given."""
    found = Fields(value).identifier("id") or file_id
    return None if found is None else read(FileDetails, value, id=found)


def read_edits(answer: Answer, file_ids: Sequence[str]) -> list[CavaticaError | bool]:
    """Read the answer to editFiles: for each file an error, True if it succeeded, False if there is no result.

    Results come in the order of the request; if some are missing, only those that name their file count.
    """
    items = Fields(answer.json).items("items") or []
    if len(items) == len(file_ids):
        return [_edit(item) for item in items]
    done = {Fields(item).inner("resource").identifier("id") for item in items}
    return [file_id in done for file_id in file_ids]


def _edit(item: Any) -> CavaticaError | bool:
    fields = Fields(item)
    problem = fields.values.get("error")
    if isinstance(problem, dict) and problem:
        status = whole(problem.get("status"))
        refused = status if status is not None and 400 <= status < 600 else 400
        return error_of(refused, {}, json.dumps(problem).encode(), "editFiles")
    return not problem and bool(fields.inner("resource").values)


# Projects and the rate limit


@attrs.frozen(kw_only=True)
class Project:
    """A project; `id` is owner/name, `name` its title, `root_folder` the ID of its top level."""

    id: str
    name: str | None = attrs.field(default=None, metadata=_TEXT)
    root_folder: str | None = attrs.field(default=None, metadata=_IDENTIFIER)
    href: str | None = attrs.field(default=None, metadata=_TEXT)


def read_project(answer: Answer, project: str) -> Project:
    """Read the answer to getProject."""
    return read(Project, answer.json, id=Fields(answer.json).text("id") or project)


@attrs.frozen(kw_only=True)
class RateLimit:
    """The calls left to the token in this window; a `limit` of -1 means no limit, `reset` is in epoch seconds."""

    limit: int | None = attrs.field(default=None, metadata={"read": lambda fields, key: fields.whole(key, -1)})
    remaining: int | None = attrs.field(default=None, metadata=_COUNT)
    reset: int | None = attrs.field(default=None, metadata=_COUNT)


def read_rate_limit(answer: Answer) -> RateLimit:
    """Read the answer to getRateLimit."""
    return read(RateLimit, Fields(answer.json).inner("rate").values)


# Lists


class Pages(Generic[Item]):
    """Follows the pages of a list: request the page at `offset` and `take` it, until `over`.

    The list ends at a page without a next one, or without new items: a server may ignore the offset, or link in a
    circle. Of a link only the offset is used, never its host. `read` reads an item, None if it cannot be used; `key`
    identifies it.
    """

    def __init__(self, read: Callable[[Any], Item | None], key: Callable[[Item], str]) -> None:
        self._read, self._key = read, key
        self._seen: set[str] = set()
        self._count = 0
        self.offset = 0
        self.over = False

    def take(self, answer: Answer) -> list[Item]:
        """Return the items of a page that are new; raises UnexpectedAnswer if there is no list, or no end of it."""
        fields = Fields(answer.json)
        entries = answer.json if isinstance(answer.json, list) else fields.items("items")
        if entries is None:
            raise answer.unexpected("without a list of items")
        items = {self._key(item): item for entry in entries if (item := self._read(entry)) is not None}
        new = {key: item for key, item in items.items() if key not in self._seen}
        self._seen.update(new)
        self._count += 1
        links, total = fields.items("links"), whole(answer.headers.get("X-Total-Matching-Query"))
        following = [link for link in map(Fields, links or ()) if (link.text("rel") or "").lower() == "next"]
        self.offset = max([self.offset + len(entries), *(_offset(link.text("href") or "") for link in following)])
        if links is None and total is None:
            more = len(entries) >= SMALLEST_PAGE
        else:
            more = bool(following) or (total is not None and self.offset < total)
        self.over = not new or not more
        if not self.over and self._count >= MOST_PAGES:
            raise UnexpectedAnswer(
                f"The server's list does not end: {len(self._seen):,} items came on {self._count:,} pages.",
                "Ask the platform's support.",
                status=answer.status,
            )
        return list(new.values())


def _offset(href: str) -> int:
    try:
        return int(parse_qs(urlsplit(href).query).get("offset", ["0"])[0])
    except ValueError:
        return 0
