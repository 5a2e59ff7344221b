"""Lists and limits: pages, filters, links, and sizes and names at their limits."""

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from tests.contract import rules
from tests.contract.answer import Answer
from tests.contract.model import asserts
from tests.contract.requests.client import RawClient, claim


@claim()
def pages_add_up(raw: RawClient) -> None:
    """The pages of a list, of any size, have each item once."""
    known = raw.known
    folder = known.new_folder()
    uploads = set()
    for _ in range(5):
        uploads.add(known.start().id)
        known.new_folder(folder)
    for limit in (1, 2, 4, 5, 100):
        seen = {item["upload_id"] for item in asserts.pages(raw.api, "listUploads", limit, "upload_id")}
        assert uploads <= seen, f"{len(uploads - seen)} open uploads are on no page of {limit} items"
        for operation, arguments in (("listFiles", {"query": {"parent": folder}}), ("listFolder", {"file_id": folder})):
            items = asserts.pages(raw.api, operation, limit, "id", **arguments)
            assert len(items) == 5, f"{operation}: {len(items)} items on all pages of {limit} items, expected 5"


@claim()
def totals(raw: RawClient) -> None:
    """A list that says its total says it on every page, and a page beyond the last is empty."""
    folder = raw.known.new_folder()
    for number in range(3):
        raw.known.new_folder(folder, f"f{number}")
    queries: tuple[dict[str, int], ...] = ({}, {"limit": 1}, {"offset": 2}, {"offset": 3}, {"offset": 2147483647})
    for query, whole in itertools.product(queries, (True, False)):
        if whole:
            answer = raw.api.call("listFolder", file_id=folder, query=query).expect(200)
        else:
            answer = raw.api.call("listFiles", query={**query, "parent": folder}).expect(200)
        if (total := answer.headers.get("x-total-matching-query", "3")) != "3":
            raise answer.broken("total", f"the total is {total}, expected 3")
        right = max(0, min(query.get("limit", 3), 3 - query.get("offset", 0)))
        asserts.same(answer, "page_size", len(answer.json()["items"]), right)


def _followed(raw: RawClient, target: str, rel: str) -> list[Answer]:
    """A page, and those that its links of one kind lead to."""
    answers = [raw.api.send("GET", target).expect(200)]
    while links := [link for link in answers[-1].json()["links"] if link["rel"].lower() == rel]:
        if len(answers) > 9:
            raise answers[-1].broken("page_links", f"the links `{rel}` lead in a circle")
        parts = urlsplit(links[0]["href"])
        answers.append(raw.api.send("GET", f"{parts.path.removeprefix(raw.api.prefix)}?{parts.query}").expect(200))
    return answers


@claim()
def page_links(raw: RawClient) -> None:
    """The links `next` lead to all items that were asked for, each once; the links `prev` lead back."""
    folder = raw.known.new_folder()
    for name in ("a", "b", "c", "d", "e"):
        raw.known.new_folder(folder, name)
    for target, right in (
        (f"/files?parent={folder}&name=a&name=b&name=c&limit=1", 3),
        (f"/files/{folder}/list?limit=2", 5),
    ):
        pages = _followed(raw, target, "next")
        last = pages[-1].request.target.removeprefix(raw.api.prefix)
        forth, back = (
            [[item["id"] for item in page.json()["items"]] for page in each]
            for each in (pages, _followed(raw, last, "prev"))
        )
        asserts.same(pages[-1], "page_links", len({each for page in forth for each in page}), right)
        asserts.same(pages[-1], "page_links", back[::-1], forth)


@claim()
def filters(raw: RawClient) -> None:
    """A list by name has exactly that name; a list of a folder has nothing of another."""
    known = raw.known
    one, two = known.new_folder(), known.new_folder()
    for parent, name in ((one, "a"), (one, "ab"), (one, "A"), (two, "a")):
        known.new_folder(parent, name)
    answer = raw.api.call("listFiles", query={"parent": one, "name": "a"}).expect(200)
    asserts.same(answer, "filter_by_name", [item["name"] for item in answer.json()["items"]], ["a"])
    asserts.same(answer, "total", answer.headers.get("x-total-matching-query", "1"), "1")
    answer = raw.api.call("listFiles", query={"parent": two}).expect(200)
    asserts.same(answer, "filter_by_place", len(answer.json()["items"]), 1)
    answer = raw.api.call("listFiles", query={"parent": one, "name": "nobody"}).expect(200)
    asserts.same(answer, "filter_by_name", answer.json()["items"], [])


@claim()
def hrefs_lead_back(raw: RawClient) -> None:
    """Every `href` is an absolute URL of this server and leads to its resource."""
    upload = raw.known.start()
    file = raw.known.complete(3)
    answers = [
        raw.api.call("getUpload", upload_id=upload.id).expect(200),
        raw.api.call("getFile", file_id=file["id"]).expect(200),
        raw.api.call("listUploads", query={"limit": 1}).expect(200),
        raw.api.call("listFiles", query={"project": raw.target.project, "limit": 1}).expect(200),
    ]
    for answer in answers:
        shown = answer.json()
        linked = [shown, *shown.get("items", ()), *shown.get("links", ())]
        hrefs = [each["href"] for each in linked if "href" in each]
        for href in hrefs:
            parts = urlsplit(href)
            if not raw.target.own and parts.netloc != urlsplit(raw.target.base_url).netloc:
                continue  # a real platform may stand behind another name
            path = parts.path.removeprefix(raw.api.prefix) + (f"?{parts.query}" if parts.query else "")
            followed = raw.api.send("GET", path)
            if followed.status != 200 or followed.operation is None:
                raise followed.broken("href", f"the href {href} leads nowhere")


@claim()
def free_call(raw: RawClient) -> None:
    """A call of getRateLimit is not counted, any other call counts once, and body and headers agree."""
    asked = [raw.api.call("getRateLimit").expect(200) for _ in range(3)]
    if len({answer.headers["x-ratelimit-remaining"] for answer in asked}) != 1:
        raise asked[-1].broken("free_call", "a call of getRateLimit was counted")
    rate, headers = asked[-1].json()["rate"], asked[-1].headers
    for key in ("limit", "remaining", "reset"):
        asserts.same(asked[-1], "rate_limit_body", str(rate[key]), headers[f"x-ratelimit-{key}"])
    if rules.unlimited(asked[-1]):
        return
    raw.api.call("listUploads").expect(200)
    left = raw.api.call("getRateLimit").expect(200).json()["rate"]["remaining"]
    asserts.same(asked[-1], "rate_limit_counts", left, rate["remaining"] - 1)


LASTING = (
    "upload_id", "id", "name", "project", "parent", "type", "size", "part_size", "md5", "initiated", "created_on",
)  # fmt: skip


def _agree(answer: Answer, check: str, *shown: dict[str, Any]) -> None:
    """Demand that what cannot change has one value everywhere. The case of a type may differ, as in the sources."""
    for key in LASTING:
        values = [each[key] for each in shown if each.get(key) is not None]
        values = [value.lower() for value in values] if key == "type" else values
        for value in values:
            asserts.same(answer, check, (key, value), (key, values[0]))


def _is_now(answer: Answer, key: str) -> None:
    """Demand that a time, if it is shown, is UTC and within five minutes of the server's clock."""
    shown = answer.json().get(key)
    if shown is None:
        return
    now = parsedate_to_datetime(answer.headers["date"]) if "date" in answer.headers else datetime.now(UTC)
    if abs(asserts.utc(answer, key, shown) - now) > timedelta(minutes=5):
        raise answer.broken(key, f"{key} is {shown}; the server's clock shows {now:%Y-%m-%dT%H:%M:%SZ}")


@claim()
def one_upload_everywhere(raw: RawClient) -> None:
    """An upload shows what was sent, the same in the answer to its start, in its details and in lists."""
    name, md5 = raw.known.next_name(), "9e107d9d372bb6826bd81d3542a419d6"
    sent = {"parent": raw.known.new_folder(), "name": name, "size": 7, "md5": md5}
    started = raw.api.call("startUpload", body=sent).expect(200)
    upload = raw.known.note_started(started)
    detail = raw.api.call("getUpload", upload_id=upload.id).expect(200)
    listed = asserts.pages(raw.api, "listUploads", 100, "upload_id")
    items = [item for item in listed if item["upload_id"] == upload.id]
    asserts.same(detail, "listed_uploads", len(items), 1)
    right = {**sent, "project": raw.target.project}
    _agree(detail, "one_upload", right, started.json(), detail.json(), *items)
    _is_now(detail, "initiated")


@claim()
def one_file_everywhere(raw: RawClient) -> None:
    """A file and its folder show the same in the answer that made them, in their details and in lists."""
    known = raw.known
    folder, name = known.new_folder(), known.next_name()
    upload = known.start(5, parent=folder, name=name)
    known.put_all(upload)
    made = known.finish(upload)
    detail = raw.api.call("getFile", file_id=made["id"]).expect(200)
    lists = [raw.api.call("listFiles", query={"parent": folder}), raw.api.call("listFolder", file_id=folder)]
    items = [item for answer in lists for item in answer.expect(200).json()["items"]]
    asserts.same(detail, "listed_files", [item["id"] for item in items], [made["id"]] * 2)
    right = {"parent": folder, "project": raw.target.project, "name": name, "type": "file", "size": 5}
    _agree(detail, "one_file", right, made, detail.json(), *items)
    _is_now(detail, "created_on")
    shown = raw.api.call("getFile", file_id=folder).expect(200)
    listed = raw.api.call("listFiles", query={**known.place, "name": shown.json()["name"]}).expect(200)
    _agree(listed, "one_folder", {"id": folder, "type": "folder"}, shown.json(), *listed.json()["items"])


@claim()
def names_are_free_again(raw: RawClient) -> None:
    """After an abort, a deletion or a rename nothing has the old name, and an upload of that name can start."""
    known, name = raw.known, raw.known.next_name()
    first, other = known.start(3, name=name), known.start(3, name=name)
    raw.api.call("abortUpload", upload_id=other.id).expect(204)
    other.ended = True
    known.put_all(first)
    file = known.finish(first)["id"]
    query = {**known.place, "name": name}
    for operation in ("editFiles", "deleteFile"):
        listed = raw.api.call("listFiles", query=query).expect(200)
        asserts.same(listed, "found_by_name", [each["id"] for each in listed.json()["items"]], [file])
        if operation == "deleteFile":
            raw.api.call(operation, file_id=file).expect(204)
        else:
            raw.api.call(operation, body={"items": [{"id": file, "name": known.next_name()}]}).expect(200)
        listed = raw.api.call("listFiles", query=query).expect(200)
        asserts.same(listed, "name_is_free", listed.json()["items"], [])
        again = known.start(3, name=name)
        known.put_all(again)
        file = known.finish(again)["id"]


ODD_NAMES = (
    " ", " x ", ".", "..", "a" * 255, "é" * 255, "a\x00b", "a\nb", "\u202e", "🧬", "con", "a\\b", "-rf", "a%2Fb", "é",
    "\ufeff", "\U0010ffff", "x;y", "~", "*", "a\tb", "'\"<>&",
)  # fmt: skip


@claim(own=True)
def odd_names(raw: RawClient) -> None:
    """Any name of 1 to 255 characters without a slash is kept unchanged, of a file and of a folder."""
    outer = raw.known.new_folder()
    for odd in ODD_NAMES:
        answer = raw.api.call("startUpload", body=raw.body(name=odd, size=4)).expect(200)
        started = answer.json()
        upload = raw.known.note_started(answer)
        raw.known.put_all(upload)
        file = raw.known.finish(upload)
        shown = raw.api.call("getFile", file_id=file["id"]).expect(200)
        folder = raw.api.call("getFile", file_id=raw.known.new_folder(outer, odd)).expect(200)
        for name in (started["name"], file["name"], shown.json()["name"], folder.json()["name"]):
            if name != odd:
                raise shown.broken("name_kept", f"{odd!r} became {name!r}")
        found = raw.api.call("listFiles", query={"project": raw.target.project, "name": odd}).expect(200)
        if [item["id"] for item in found.json()["items"]] != [file["id"]]:
            raise found.broken("name_found", f"the file {odd!r} is not found by its name")


@claim()
def bad_names(raw: RawClient) -> None:
    """A name with a slash, an empty name, one of 256 characters and one that is not text are refused."""
    project = raw.target.project
    names: tuple[Any, ...] = ("", "a/b", "/", "a" * 256, None, 7, [], {})
    for bad in names:
        raw.api.call("startUpload", body=raw.body(name=bad, size=1)).expect(400, check="bad_name")
    raw.api.call("startUpload", body={"project": project, "size": 1}).expect(400, check="missing_name")
    raw.api.call("createFolder", body={"project": project, "type": "folder"}).expect(400, check="missing_name")
    for bad in ("", "a/b", "__x", "a" * 256, None):
        body = raw.body(name=bad, type="folder")
        raw.api.call("createFolder", body=body).expect(400, check="bad_name")
    for bad in ("file", "folders", "", None):
        body = raw.body(type=bad)
        raw.api.call("createFolder", body=body).expect(400, check="bad_type")


@claim()
def sizes(raw: RawClient) -> None:
    """A file has 0 bytes to 5 TiB; other sizes, and sizes that are not integers, are refused."""
    for key, bad in (
        *(("size", bad) for bad in (-1, 5 * 2**40 + 1, 2**63, 1.5, "1", None, True)),
        *(("part_size", bad) for bad in (5242880.5, "5242880", None)),
        *(("md5", bad) for bad in ("", "x" * 32, "0" * 31, "0" * 33, 0, None)),
    ):
        body = {**raw.body(size=1), key: bad}
        raw.api.call("startUpload", body=body).expect(400, check="bad_size")


@claim()
def largest_files(raw: RawClient) -> None:
    """With the part size of the answer, a file of any size has at most 10,000 parts."""
    for size in (0, 1, 5 * 2**20, 10**12, 5 * 2**40):
        for part_size in (None, 5 * 2**20, 5 * 2**30, 0, -1, 2**20, 6 * 2**30):
            body = raw.body(size=size)
            answer = raw.api.call("startUpload", body=body if part_size is None else {**body, "part_size": part_size})
            started = answer.expect(200).json()
            if -(-size // started["part_size"]) > 10000:
                raise answer.broken(
                    "part_count", f"{size} bytes in parts of {started['part_size']} bytes are more than 10,000 parts"
                )
            raw.api.call("abortUpload", upload_id=started["upload_id"]).expect(204)


@claim()
def empty_files(raw: RawClient) -> None:
    """An empty file is one empty part."""
    file = raw.known.complete(0)
    assert file["size"] == 0, f"the size of an empty file is {file['size']}"


@claim()
def edits(raw: RawClient) -> None:
    """One call can edit 100 files and not 101; metadata keys and values have limits."""
    file = raw.known.file()
    items = [{"id": file, "metadata": {"k": str(number)}} for number in range(101)]
    raw.api.call("editFiles", body={"items": items[:100]}).expect(200)
    raw.api.call("editFiles", body={"items": items}).expect(400, check="edit_limit")
    raw.api.call("editFiles", body={"items": []}).expect(400, check="edit_limit")
    keys: tuple[dict[str, Any], ...] = ({"a.b": "1"}, {"$a": "1"}, {"": "1"}, {"a" * 101: "1"})
    values: tuple[dict[str, Any], ...] = ({"a": "1" * 301}, {"a": 1}, {"a": []})
    for bad in (*keys, *values):
        body = {"items": [{"id": file, "metadata": bad}]}
        raw.api.call("editFiles", body=body).expect(400, check="bad_metadata")
    body = {"items": [{"id": file, "metadata": {"é" * 50: "é" * 150}}]}
    outcome = raw.api.call("editFiles", body=body).expect(200)
    if "resource" not in outcome.json()["items"][0]:
        raise outcome.broken("metadata_limit", "a key of 100 bytes and a value of 300 bytes are within the limits")
