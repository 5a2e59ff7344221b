"""Compares what a server shows with the model. Each function raises Broken if the two differ."""

import itertools
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.contract import rules
from tests.contract.answer import Answer
from tests.contract.client import ApiClient
from tests.contract.known_uploads import KnownUpload, bare
from tests.contract.model.model import File, Model


def same(answer: Answer, what: str, seen: object, right: object) -> None:
    """Demand that a value of the answer is that of the model."""
    if seen != right:
        raise answer.broken(what, f"got {seen!r:.200}, expected {right!r:.200}")


def refusal(answer: Answer, status: int | tuple[int, ...], allowed: Collection[int] | None = None) -> None:
    """Demand an error with one of these statuses and, if the code matters to clients, one of these codes."""
    answer.expect(*((status,) if isinstance(status, int) else status), check="refusal")
    if allowed is not None and answer.code not in allowed:
        raise answer.broken("error_code", f"code {answer.code}, expected one of {sorted(allowed)}")


def gone(answer: Answer) -> None:
    """Demand that an upload is not found."""
    refusal(answer, 404, {rules.NO_SUCH_UPLOAD})


def upload(api: ApiClient, known: KnownUpload, list_parts: object = "true") -> Answer:
    """Check the details of an upload, with its parts."""
    answer = api.call("getUpload", upload_id=known.id, query={"list_parts": list_parts}).expect(200)
    shown = answer.json()
    same(answer, "upload_id", shown["upload_id"], known.id)
    same(answer, "upload_name", shown["name"], known.name)
    same(answer, "upload_part_size", shown["part_size"], known.part_size)
    if "size" in shown:
        same(answer, "upload_size", shown["size"], known.size)
    same(answer, "uploaded_parts_count", shown["uploaded_parts_count"], len(known.reported))
    if str(list_parts).lower() == "true":
        same(answer, "list_parts", listed(shown), sorted(known.reported.items()))
    elif shown.get("parts"):
        raise answer.broken("list_parts", "parts are listed without list_parts")
    return answer


def pages(api: ApiClient, operation: str, limit: int, key: str, **arguments: Any) -> list[dict[str, Any]]:
    """All items of a list, page by page. Demands that sizes, totals, offsets and links agree."""
    found: list[dict[str, Any]] = []
    query = dict(arguments.pop("query", {}))
    for offset in itertools.count(0, limit):
        answer = api.call(operation, query={**query, "limit": limit, "offset": offset}, **arguments).expect(200)
        page = answer.json()
        total = int(answer.headers.get("x-total-matching-query", "-1"))
        found += page["items"]
        if total >= 0:
            same(answer, "page_size", len(page["items"]), max(0, min(limit, total - offset)))
        _check_links(answer, page, offset, limit, total)
        if len(page["items"]) < limit or (total >= 0 and offset + limit >= total):
            break
    ids = [item[key] for item in found]
    same(answer, "pages_overlap", sorted(set(ids)), sorted(ids))
    return found


def _check_links(answer: Answer, page: Mapping[str, Any], offset: int, limit: int, total: int) -> None:
    rels = {link["rel"].lower() for link in page.get("links", ())}
    if total >= 0 and "links" in page:
        same(answer, "next_link", "next" in rels, offset + limit < total)
        if offset == 0:
            same(answer, "prev_link", "prev" in rels, False)


def uploads(api: ApiClient, model: Model, limit: int, *, alone: bool) -> None:
    """The list of uploads has the open ones and, if nobody else uploads, no others."""
    found = {item["upload_id"]: item for item in pages(api, "listUploads", limit, "upload_id")}
    answer = api.call("listUploads", query={"limit": 100}).expect(200)
    missing = model.uploads.keys() - found.keys()
    extra = (found.keys() - model.uploads.keys()) if alone else found.keys() & set(model.ended)
    same(answer, "listed_uploads", (sorted(missing), sorted(extra)), ([], []))
    for upload_id, known in model.uploads.items():
        same(answer, "listed_name", found[upload_id]["name"], known.name)


def place(api: ApiClient, model: Model, where: str, query: Mapping[str, str], limit: int, *, alone: bool) -> None:
    """The files and folders of a place; a folder is listed in both ways."""
    walks = [pages(api, "listFiles", limit, "id", query=query)]
    if "parent" in query:
        walks.append(pages(api, "listFolder", limit, "id", file_id=query["parent"]))
    answer = api.call("listFiles", query=query).expect(200)
    right = {known.id: known.name for known in model.at(where)}
    for items in walks:
        seen = {item["id"]: item["name"] for item in items}
        if not alone:
            seen = {key: name for key, name in seen.items() if key in right or key in model.deleted}
        same(answer, "listed_files", seen, right)


def file(api: ApiClient, known: File) -> None:
    """Check the details of a file or folder."""
    answer = api.call("getFile", file_id=known.id).expect(200)
    shown = answer.json()
    same(answer, "file_id", shown["id"], known.id)
    same(answer, "file_name", shown["name"], known.name)
    if known.content is not None and "size" in shown:
        same(answer, "file_size", shown["size"], len(known.content))
    if known.content is not None and "metadata" in shown:
        kept = {key: value for key, value in shown["metadata"].items() if value is not None}
        same(answer, "file_metadata", kept, known.metadata)
    if known.content is not None and "tags" in shown:
        same(answer, "file_tags", shown["tags"], known.tags)


def content(api: ApiClient, known: File) -> None:
    """The file has the bytes that were put."""
    answer = api.call("getDownloadInfo", file_id=known.id).expect(200)
    fetched = api.fetch(answer.field("url"))
    same(fetched, "file_content", fetched.body, known.content)


def utc(answer: Answer, what: str, text: str) -> datetime:
    """A time of the answer, which has to be in UTC."""
    time = datetime.fromisoformat(text)
    same(answer, what, time.utcoffset(), timedelta(0))
    return time


def listed(shown: Mapping[str, Any]) -> list[tuple[int, Any]]:
    """The parts that an upload shows, each with its bare ETag."""
    parts = [(part["part_number"], part["response"]["headers"]) for part in shown.get("parts", ())]
    return sorted(
        (number, bare({key.lower(): headers[key] for key in headers}.get("etag"))) for number, headers in parts
    )
