"""Reads answers into records. UnexpectedAnswer is raised only if something is missing that an upload needs."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

import attrs

from cavatica_upload.api.records import (
    CompletedFile,
    FileDetails,
    PartUrl,
    Project,
    RateLimit,
    ReportedPart,
    StartedUpload,
    Upload,
    UploadSummary,
)
from cavatica_upload.api.responses import LARGEST, Answer, Fields, error_of, is_header_name, whole
from cavatica_upload.errors import CavaticaError, UnexpectedAnswer
from cavatica_upload.plan import MAX_FILE_SIZE, MAX_PART_SIZE, MAX_PARTS

METHODS = ("PUT", "POST", "PATCH")
SMALLEST_PAGE = 25
"""The fewest items of a page that is taken to be full: a server may limit pages to fewer items than requested."""
MOST_PAGES = 1000
"""A list of more pages is taken to be endless: this many pages use all the calls of a window."""

Item = TypeVar("Item")


# Lists


@attrs.frozen
class Page(Generic[Item]):
    """A page of a list: the items that can be used, how many came, and what the server says of the pages after it.

    `more` is whether there is a link to the next page, which is `following`; None if there are no links. `total` is
    the number of items on all pages, None if the server did not say.
    """

    items: tuple[Item, ...]
    length: int
    more: bool | None = None
    following: int = 0
    total: int | None = None


def page_of(answer: Answer, read: Callable[[Any], Item | None]) -> Page[Item]:
    """Read a page, leaving out items that cannot be read; raises UnexpectedAnswer if there is no list."""
    fields = Fields(answer.json)
    items = answer.json if isinstance(answer.json, list) else fields.items("items")
    if items is None:
        raise answer.unexpected("without a list of items")
    links = fields.items("links")
    more, following = None, 0
    if links is not None:
        hrefs = [Fields(link) for link in links]
        found = next((link.text("href") or "" for link in hrefs if (link.text("rel") or "").lower() == "next"), None)
        more, following = found is not None, _offset(found or "")
    return Page(
        items=tuple(item for one in items if (item := read(one)) is not None),
        length=len(items),
        more=more,
        following=following,
        total=whole(answer.headers.get("X-Total-Matching-Query")),
    )


class Pages(Generic[Item]):
    """Follows the pages of a list: ask for the page at `offset` and `take` it, until `over`.

    It ends at a page without a next one, or without new items: a server may ignore the offset, or link in a circle. A
    link's host is never followed, only its offset. `key` identifies an item.
    """

    def __init__(self, key: Callable[[Item], str]) -> None:
        self._key = key
        self._seen: set[str] = set()
        self._count = 0
        self.offset = 0
        self.over = False

    def take(self, page: Page[Item]) -> list[Item]:
        """Return the items of a page that are new; raises UnexpectedAnswer for a list without an end."""
        new = {self._key(item): item for item in page.items if self._key(item) not in self._seen}
        self._seen.update(new)
        self._count += 1
        self.offset = max(self.offset + page.length, page.following)
        if page.more is None and page.total is None:
            more = page.length >= SMALLEST_PAGE
        else:
            more = bool(page.more) or (page.total is not None and self.offset < page.total)
        self.over = not new or not more
        if not self.over and self._count >= MOST_PAGES:
            raise UnexpectedAnswer(
                f"The server's list does not end: {len(self._seen):,} items came on {self._count:,} pages.",
                "Ask the platform's support.",
                status=200,
            )
        return list(new.values())


def _offset(href: str) -> int:
    try:
        return int(parse_qs(urlsplit(href).query).get("offset", ["0"])[0])
    except ValueError:
        return 0


# One answer each


class Unclear:
    """Stands for the missing result of editing a file."""


UNCLEAR: Final = Unclear()


def nothing(_answer: Answer) -> None:
    """Read the answer of an operation whose status is enough."""


def _entry(fields: Fields) -> dict[str, str | None]:
    return {
        "name": fields.text("name"),
        "project": fields.text("project"),
        "parent": fields.identifier("parent"),
        "href": fields.text("href"),
    }


def started_upload(answer: Answer) -> StartedUpload:
    """Read the answer to startUpload."""
    fields = Fields(answer.json)
    upload_id, part_size = fields.identifier("upload_id"), fields.whole("part_size", 1, MAX_PART_SIZE)
    if upload_id is None or part_size is None:
        raise answer.unexpected("without a usable " + ("upload_id" if upload_id is None else "part_size"))
    return StartedUpload(
        upload_id=upload_id,
        part_size=part_size,
        parallel_uploads=fields.flag("parallel_uploads") is not False,
        size=fields.whole("size", 0, MAX_FILE_SIZE),
        **_entry(fields),
    )


def upload(answer: Answer, upload_id: str) -> Upload:
    """Read the answer to getUpload."""
    fields = Fields(answer.json)
    parts = fields.items("parts")
    return Upload(
        upload_id=upload_id,
        part_size=fields.whole("part_size", 1, MAX_PART_SIZE),
        parallel_uploads=fields.flag("parallel_uploads") is not False,
        uploaded_parts_count=fields.whole("uploaded_parts_count", 0, MAX_PARTS),
        parts=None if parts is None else tuple(part for item in parts if (part := _part(item)) is not None),
        initiated=fields.time("initiated"),
        size=fields.whole("size", 0, MAX_FILE_SIZE),
        md5=fields.text("md5"),
        **_entry(fields),
    )


def _part(item: Any) -> ReportedPart | None:
    fields = Fields(item)
    number = fields.whole("part_number", 1, MAX_PARTS)
    headers = fields.inner("response").headers("headers")
    return ReportedPart(part_number=number, headers=headers) if number is not None else None


def upload_page(answer: Answer) -> Page[UploadSummary]:
    """Read the answer to listUploads."""
    return page_of(answer, _summary)


def _summary(item: Any) -> UploadSummary | None:
    fields = Fields(item)
    upload_id = fields.identifier("upload_id")
    if upload_id is None:
        return None
    return UploadSummary(
        upload_id=upload_id,
        initiated=fields.time("initiated"),
        **_entry(fields),
    )


def part_url(answer: Answer) -> PartUrl:
    """Read the answer to getPartUrl.

    `success_codes` are beside `report` or inside it; the platform's documentation has both.
    """
    fields = Fields(answer.json)
    report = fields.inner("report")
    url, method = fields.url("url"), (fields.text("method") or "").upper()
    if url is None:
        raise answer.unexpected("without a usable url")
    codes = fields.items("success_codes") or report.items("success_codes") or ()
    wanted = report.items("headers")
    return PartUrl(
        url=url,
        method=method if method in METHODS else "PUT",
        headers=fields.headers("headers"),
        success_codes=tuple(code for one in codes if (code := whole(one)) is not None and 200 <= code < 300),
        report_headers=("ETag",) if wanted is None else tuple(name for name in wanted if is_header_name(name)),
        expires=fields.time("expires"),
    )


def completed_file(answer: Answer) -> CompletedFile:
    """Read the answer to completeUpload; the upload is completed even if nothing in it can be read."""
    fields = Fields(answer.json)
    return CompletedFile(
        id=fields.identifier("id"),
        size=fields.whole("size", 0, MAX_FILE_SIZE),
        created_on=fields.time("created_on"),
        modified_on=fields.time("modified_on"),
        **_entry(fields),
    )


def file_page(answer: Answer) -> Page[FileDetails]:
    """Read the answer to listFiles and listFolder."""
    return page_of(answer, file_details)


def file_details(value: Any, file_id: str | None = None) -> FileDetails | None:
    """Read a file or a folder; None if it has no ID and `file_id` is not given."""
    fields = Fields(value)
    found = fields.identifier("id") or file_id
    if found is None:
        return None
    tags = fields.items("tags")
    metadata = fields.values.get("metadata")
    return FileDetails(
        id=found,
        type_=fields.text("type"),
        size=fields.whole("size", 0, MAX_FILE_SIZE),
        created_on=fields.time("created_on"),
        modified_on=fields.time("modified_on"),
        metadata=_metadata(metadata) if isinstance(metadata, dict) else None,
        tags=None if tags is None else tuple(tag for tag in tags if isinstance(tag, str)),
        **_entry(fields),
    )


def _metadata(values: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        key: value if value is None or isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }


def download_url(answer: Answer) -> str:
    """Read the answer to getDownloadInfo."""
    url = Fields(answer.json).url("url")
    if url is None:
        raise answer.unexpected("without a usable url")
    return url


def edit_outcomes(answer: Answer, file_ids: Sequence[str]) -> list[CavaticaError | Unclear | None]:
    """Read the answer to editFiles: for each file an error, None if it succeeded, UNCLEAR if there is no result.

    Results come in the order of the request; if some are missing, only those that name their file count.
    """
    items = Fields(answer.json).items("items") or []
    if len(items) == len(file_ids):
        return [_outcome(item) for item in items]
    done = {Fields(item).inner("resource").identifier("id") for item in items}
    return [None if file_id in done else UNCLEAR for file_id in file_ids]


def _outcome(item: Any) -> CavaticaError | Unclear | None:
    fields = Fields(item)
    problem = fields.values.get("error")
    if isinstance(problem, dict) and problem:
        status = whole(problem.get("status"))
        refused = status if status is not None and 400 <= status < 600 else 400
        return error_of(refused, {}, json.dumps(problem).encode(), "editFiles")
    return None if not problem and fields.inner("resource").values else UNCLEAR


def project(answer: Answer, asked: str) -> Project:
    """Read the answer to getProject."""
    fields = Fields(answer.json)
    return Project(
        id=fields.text("id") or asked,
        name=fields.text("name"),
        root_folder=fields.identifier("root_folder"),
        href=fields.text("href"),
    )


def rate_limit(answer: Answer) -> RateLimit:
    """Read the answer to getRateLimit."""
    rate = Fields(answer.json).inner("rate")
    return RateLimit(
        limit=rate.whole("limit", -1, LARGEST), remaining=rate.whole("remaining"), reset=rate.whole("reset")
    )
