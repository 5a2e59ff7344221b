"""Lists and details: pages, filters, links, and what files and uploads show."""

import itertools
from datetime import datetime, timedelta
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
        asserts.same(answers[-1], "page_links", [link["method"] for link in links], ["GET"])
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
def long_pages(raw: RawClient) -> None:
    """A page has as many items as `limit` says; without it 50, or 25 as on older pages."""
    folder = raw.known.new_folder()
    for number in range(51):
        raw.known.new_folder(folder, str(number))
    items = asserts.pages(raw.api, "listFiles", 51, "id", query={"parent": folder})
    answer = raw.api.call("listFolder", file_id=folder).expect(200)
    asserts.same(answer, "page_size", len(items), 51)
    if len(answer.json()["items"]) not in rules.DEFAULT_LIMITS:
        raise answer.broken("page_size", f"{len(answer.json()['items'])} of 51 items are on a page without `limit`")


@claim()
def filters(raw: RawClient) -> None:
    """A list by name has exactly that name; a list of a folder has nothing of another, nor of those in it."""
    known = raw.known
    one, two = known.new_folder(), known.new_folder()
    for parent, name in ((one, "a"), (one, "ab"), (one, "c"), (two, "a")):
        known.new_folder(parent, name)
    known.new_folder(known.new_folder(one, "b"), "deep")
    answer = raw.api.call("listFiles", query={"parent": one, "name": "a"}).expect(200)
    asserts.same(answer, "filter_by_name", [item["name"] for item in answer.json()["items"]], ["a"])
    asserts.same(answer, "total", answer.headers.get("x-total-matching-query", "1"), "1")
    for folder, count in ((one, 4), (two, 1)):
        answer = raw.api.call("listFiles", query={"parent": folder}).expect(200)
        asserts.same(answer, "filter_by_place", len(answer.json()["items"]), count)
    raw.api.call("deleteFile", file_id=answer.json()["items"][0]["id"]).expect(204)
    for name in ("nobody", "%", "_", "*", "a%", "a*", "?"):
        answer = raw.api.call("listFiles", query={"parent": one, "name": name}).expect(200)
        asserts.same(answer, "filter_by_name", answer.json()["items"], [])
    answer = raw.api.call("listFiles", query={"parent": one, "name": "a"}).expect(200)
    asserts.same(answer, "filter_by_place", len(answer.json()["items"]), 1)  # its namesake was deleted


@claim()
def hrefs_lead_back(raw: RawClient) -> None:
    """Every `href` is an absolute URL of this server and leads to the resource that has it."""
    known, call = raw.known, raw.api.call
    owner, _, name = raw.target.project.partition("/")
    other, folder = known.start(), known.new_folder()
    started = call("startUpload", body=raw.body(size=3)).expect(200)
    upload = known.note_started(started)
    known.put_all(upload)
    details = call("getUpload", upload_id=upload.id).expect(200)
    _lead_back(raw, started, details, call("getUpload", upload_id=other.id), call("listUploads", query={"limit": 1}))
    made = call("createFolder", body={"name": "f", "type": "FOLDER", "parent": folder}).expect(200, 201)
    known.note_folder(made.field("id"))
    shown = call("getFile", file_id=made.field("id")).expect(200).json()
    _agree(made, "one_folder", {"name": "f", "type": "folder", "parent": folder}, shown, made.json())
    completed = call("completeUpload", upload_id=upload.id, body={"parts": upload.reports}).expect(200, 201)
    known.note_file(completed.field("id"))
    upload.ended = True
    edited = call("editFiles", body={"items": [{"id": file_id, "tags": ["x"]} for file_id in known.files]})
    _lead_back(
        raw, made, completed, edited, call("getFile", file_id=known.complete(4)["id"]), call("getFile", file_id=folder),
        call("getProject", project_owner=owner, project_name=name), call("listFolder", file_id=folder),
        call("listFiles", query={"project": raw.target.project, "limit": 1}),
    )  # fmt: skip


def _lead_back(raw: RawClient, *answers: Answer) -> None:
    """Follow each `href` of the answers: what it leads to has the same id, or the same items."""
    for answer in answers:
        shown = answer.expect(200, 201).json()
        items = [each.get("resource", each) for each in shown.get("items", ())]
        for each in (shown, *items):
            parts = urlsplit(each.get("href", ""))
            if not parts.netloc or (not raw.target.own and parts.netloc != urlsplit(raw.target.base_url).netloc):
                continue  # a real platform may stand behind another name
            path = parts.path.removeprefix(raw.api.prefix) + (f"?{parts.query}" if parts.query else "")
            followed = raw.api.send("GET", path)
            if followed.status != 200 or followed.operation is None:
                raise followed.broken("href", f"the href {each['href']} leads nowhere")
            asserts.same(followed, "href", _identity(followed.json()), _identity(each))


def _identity(shown: dict[str, Any]) -> object:
    if "items" in shown:
        return [_identity(each) for each in shown["items"]]
    return shown.get("upload_id") or shown.get("id")


@claim()
def free_call(raw: RawClient) -> None:
    """Any call counts once for its token, getRateLimit not at all, and its body and headers agree."""
    asked = [raw.api.call("getRateLimit").expect(200) for _ in range(3)]
    first, rate, headers = asked[0].json()["rate"], asked[-1].json()["rate"], asked[-1].headers
    if rate["reset"] == first["reset"] and len({answer.headers["x-ratelimit-remaining"] for answer in asked}) != 1:
        raise asked[-1].broken("free_call", "a call of getRateLimit was counted")
    for key in ("limit", "remaining", "reset"):
        asserts.same(asked[-1], "rate_limit_body", str(rate[key]), headers[f"x-ratelimit-{key}"])
    counted = raw.api.call("listUploads").expect(200)
    if raw.target.other_token:
        raw.api.call("listUploads", token=raw.target.other_token).expect(200)
    last = raw.api.call("getRateLimit").expect(200)
    left = last.json()["rate"]
    if rules.unlimited(last) or left["reset"] != first["reset"]:
        return  # no limit, or a new window began meanwhile
    asserts.same(counted, "rate_limit_counts", counted.headers["x-ratelimit-remaining"], str(rate["remaining"] - 1))
    asserts.same(last, "rate_limit_counts", left["remaining"], rate["remaining"] - 1)


LASTING = (
    "upload_id", "id", "name", "project", "parent", "type", "size", "part_size", "md5", "initiated", "created_on",
    "parallel_uploads",
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
    now = answer.clock
    if abs(asserts.utc(answer, key, shown) - now) > timedelta(minutes=5):
        raise answer.broken(key, f"{key} is {shown}; the server's clock shows {now:%Y-%m-%dT%H:%M:%SZ}")


@claim()
def one_upload_everywhere(raw: RawClient) -> None:
    """An upload shows what was sent, the same in the answer to its start, in its details and in lists.

    The MD5 is kept and not checked.
    """
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
    raw.known.put_all(upload)
    raw.known.finish(upload)


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
    for key in ("created_on", "modified_on"):
        _is_now(detail, key)
    created, modified = (datetime.fromisoformat(made[key]) for key in ("created_on", "modified_on"))
    asserts.same(detail, "modified_on", modified >= created, True)
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


@claim()
def details(raw: RawClient) -> None:
    """Metadata are added and removed by key, tags are replaced, for a file that is named by `id` or `file_id`.

    The outcome shows the file as it is afterwards, and the same as its details and lists.
    """
    known, folder = raw.known, raw.known.new_folder()
    upload = known.start(3, parent=folder)
    known.put_all(upload)
    file = known.finish(upload)["id"]
    for key, metadata, tags, right in (
        ("id", {"a": "1", "b": "2"}, ["x", "y"], {"a": "1", "b": "2"}),
        ("file_id", {"b": None, "c": "3"}, ["z"], {"a": "1", "c": "3"}),
        ("id", {"a": None, "c": None}, [], {}),
    ):
        edited = raw.api.call("editFiles", body={"items": [{key: file, "metadata": metadata, "tags": tags}]}).expect(
            200
        )
        detail = raw.api.call("getFile", file_id=file).expect(200)
        listed = raw.api.call("listFiles", query={"parent": folder}).expect(200)
        for answer, shown in (
            (edited, edited.json()["items"][0].get("resource", {})),
            (detail, detail.json()),
            (listed, listed.json()["items"][0]),
        ):
            kept = {name: value for name, value in shown.get("metadata", right).items() if value is not None}
            asserts.same(answer, "file_metadata", kept, right)
            asserts.same(answer, "file_tags", shown.get("tags", tags), tags)
            _agree(answer, "one_file", detail.json(), shown)


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
