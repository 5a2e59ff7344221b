"""From an answer to a record: only what cannot be done without has to be there, else UnexpectedAnswer is raised."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cavatica_upload.api.answers import Answer
from cavatica_upload.api.fields import LARGEST, Fields, is_header_name, whole
from cavatica_upload.api.pages import Page, page_of
from cavatica_upload.api.problems import error_of
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
from cavatica_upload.errors import CavaticaError

LARGEST_PART = 5 * 2**30
LARGEST_FILE = 5 * 2**40
MOST_PARTS = 10_000
"""The limits of the platform, as openapi.yaml has them."""
METHODS = ("PUT", "POST", "PATCH")


class Unclear:
    """The server did not say what became of a file's metadata."""


UNCLEAR: Final = Unclear()


def nothing(_answer: Answer) -> None:
    """Take a success whose status says it all."""


def started_upload(answer: Answer) -> StartedUpload:
    """Read the answer to startUpload."""
    fields = Fields(answer.json)
    upload_id, part_size = fields.identifier("upload_id"), fields.whole("part_size", 1, LARGEST_PART)
    if upload_id is None or part_size is None:
        raise answer.unexpected("without a usable " + ("upload_id" if upload_id is None else "part_size"))
    return StartedUpload(
        upload_id=upload_id,
        part_size=part_size,
        parallel_uploads=fields.flag("parallel_uploads") is not False,
        name=fields.text("name"),
        project=fields.text("project"),
        parent=fields.identifier("parent"),
        size=fields.whole("size", 0, LARGEST_FILE),
        href=fields.text("href"),
    )


def upload(answer: Answer, upload_id: str) -> Upload:
    """Read the answer to getUpload."""
    fields = Fields(answer.json)
    parts = fields.items("parts")
    return Upload(
        upload_id=upload_id,
        part_size=fields.whole("part_size", 1, LARGEST_PART),
        parallel_uploads=fields.flag("parallel_uploads") is not False,
        uploaded_parts_count=fields.whole("uploaded_parts_count", 0, MOST_PARTS),
        parts=None if parts is None else tuple(part for item in parts if (part := _part(item)) is not None),
        initiated=fields.moment("initiated"),
        name=fields.text("name"),
        project=fields.text("project"),
        parent=fields.identifier("parent"),
        size=fields.whole("size", 0, LARGEST_FILE),
        md5=fields.text("md5"),
        href=fields.text("href"),
    )


def _part(item: Any) -> ReportedPart | None:
    fields = Fields(item)
    number = fields.whole("part_number", 1, MOST_PARTS)
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
        initiated=fields.moment("initiated"),
        name=fields.text("name"),
        project=fields.text("project"),
        parent=fields.identifier("parent"),
        href=fields.text("href"),
    )


def part_url(answer: Answer) -> PartUrl:
    """Read the answer to getPartUrl.

    `success_codes` stand beside `report` or inside it; the platform's documentation has both.
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
        expires=fields.moment("expires"),
    )


def completed_file(answer: Answer) -> CompletedFile:
    """Read the answer to completeUpload: it is completed, whatever is in it."""
    fields = Fields(answer.json)
    return CompletedFile(
        id=fields.identifier("id"),
        name=fields.text("name"),
        project=fields.text("project"),
        parent=fields.identifier("parent"),
        size=fields.whole("size", 0, LARGEST_FILE),
        created_on=fields.moment("created_on"),
        modified_on=fields.moment("modified_on"),
        href=fields.text("href"),
    )


def file_page(answer: Answer) -> Page[FileDetails]:
    """Read the answer to listFiles and listFolder."""
    return page_of(answer, file_details)


def file_details(value: Any, file_id: str | None = None) -> FileDetails | None:
    """Read a file or a folder, which may be known to have this id; None if nobody says which one it is."""
    fields = Fields(value)
    found = fields.identifier("id") or file_id
    if found is None:
        return None
    tags = fields.items("tags")
    metadata = fields.values.get("metadata")
    return FileDetails(
        id=found,
        name=fields.text("name"),
        type_=fields.text("type"),
        size=fields.whole("size", 0, LARGEST_FILE),
        project=fields.text("project"),
        parent=fields.identifier("parent"),
        created_on=fields.moment("created_on"),
        modified_on=fields.moment("modified_on"),
        metadata=_metadata(metadata) if isinstance(metadata, dict) else None,
        tags=None if tags is None else tuple(tag for tag in tags if isinstance(tag, str)),
        href=fields.text("href"),
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
    """Read the answer to editFiles: for each file an error, None if it was done, UNCLEAR if nobody says.

    Outcomes come in the order asked; if some are missing, those that name their file count.
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
