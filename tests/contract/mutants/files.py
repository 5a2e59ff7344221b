"""Files and folders: names, metadata and lists that are not what they should be."""

import json
import re

from tests.contract.mutants.proxy import Ask, Reply, Way, answer, behaviour, request

LISTS = {"listUploads", "listFiles", "listFolder"}
TOTAL = "x-total-matching-query"


@answer()
def total_off_by_one(reply: Reply) -> Reply:
    """A list says that there is one more."""
    return (
        reply.with_headers(x_total_matching_query=str(int(reply.headers[TOTAL]) + 1))
        if TOTAL in reply.headers
        else reply
    )


@answer()
def total_of_the_page(reply: Reply) -> Reply:
    """A list says how many there are on this page."""
    return (
        reply.with_headers(x_total_matching_query=str(len(reply.json()["items"]))) if TOTAL in reply.headers else reply
    )


@request()
def limit_ignored(ask: Ask) -> Ask:
    """A page has as many items as there are."""
    target = re.sub(r"limit=\d{1,2}(?=&|$)", "limit=100", ask.target) if ask.operation in LISTS else ask.target
    return ask.with_target(target)


@request()
def offset_off_by_one(ask: Ask) -> Ask:
    """An offset is one too far."""
    target = re.sub(r"offset=([1-9]\d{0,3})(?=&|$)", lambda match: f"offset={int(match[1]) + 1}", ask.target)
    return ask.with_target(target)


@request()
def pages_overlap(ask: Ask) -> Ask:
    """An offset is one too near."""
    target = re.sub(r"offset=([1-9]\d{0,3})(?=&|$)", lambda match: f"offset={int(match[1]) - 1}", ask.target)
    return ask.with_target(target)


@answer(status=200)
def no_next_link(reply: Reply, ask: Ask) -> Reply:
    """A page does not say that there is another."""
    if ask.operation in LISTS:
        links = [link for link in reply.json()["links"] if link["rel"] != "next"]
        return reply.with_json({**reply.json(), "links": links})
    return reply


@request()
def filter_by_beginning(ask: Ask) -> Ask:
    """A list by name has whatever else is there."""
    return ask.with_target(re.sub(r"&name=[^&]*", "", ask.target)) if ask.operation == "listFiles" else ask


@request()
def folders_not_kept_apart(ask: Ask) -> Ask:
    """A list of a folder is that of the project."""
    target = re.sub(r"parent=[0-9a-f]{24}", "project=contract/suite", ask.target)
    return ask.with_target(target) if ask.operation == "listFiles" and "project=" not in ask.query else ask


@behaviour
async def deleted_files_stay(ask: Ask, way: Way) -> Reply:
    """A deleted file is still there."""
    if ask.operation == "deleteFile":
        shown = await way.on(Ask("GET", ask.target, ask.headers))
        return Reply(204, shown.headers).with_headers(content_type=None) if shown.status == 200 else shown
    return await way.on(ask)


@answer("deleteFile", 409)
def full_folders_vanish(reply: Reply) -> Reply:
    """A folder that is not empty can be deleted; the server says so at least."""
    return Reply(204, reply.headers).with_headers(content_type=None)


@behaviour
async def metadata_replaced(ask: Ask, way: Way) -> Reply:
    """New metadata take the place of the old instead of joining them."""
    body = ask.json()
    if ask.operation == "editFiles" and isinstance(body, dict) and isinstance(body.get("items"), list):
        for item in body["items"]:
            if isinstance(item, dict) and isinstance(item.get("metadata"), dict) and isinstance(item.get("id"), str):
                old = await way.get(ask, f"/files/{item['id']}")
                if old and "metadata" in old:
                    item["metadata"] = {**dict.fromkeys(old["metadata"]), **item["metadata"]}
        return await way.on(ask.with_json(body))
    return await way.on(ask)


@answer("editFiles", 200)
def edits_in_any_order(reply: Reply) -> Reply:
    """The outcomes of edits are not in the order asked."""
    return reply.with_json({"items": reply.json()["items"][::-1]})


@behaviour
async def renames_are_refused_in_silence(ask: Ask, way: Way) -> Reply:
    """A rename says that it was done, and was not."""
    body = ask.json()
    if ask.operation == "editFiles" and isinstance(body, dict):
        names = [item.pop("name", None) if isinstance(item, dict) else None for item in body.get("items") or ()]
        if any(isinstance(name, str) and name for name in names):
            reply = await way.on(ask.with_json(body))
            if reply.status == 200:
                document = reply.json()
                for name, outcome in zip(names, document["items"], strict=True):
                    if name and "resource" in outcome:
                        outcome["resource"]["name"] = name
                return reply.with_json(document)
    return await way.on(ask)


@answer("completeUpload", 201)
def sizes_are_rounded(reply: Reply) -> Reply:
    """A completed file's size is that of whole parts."""
    return reply.with_json({**reply.json(), "size": -(-reply.json()["size"] // 16) * 16})


def _failure(reply: Reply) -> Reply:
    headers = {**reply.headers, "content-type": "application/json"}
    body = {"status": 500, "code": 90009, "message": "The request could not be decoded."}
    return Reply(500, headers, json.dumps(body).encode())


@answer()
def fails_on_odd_names(reply: Reply, ask: Ask) -> Reply:
    """A name that is not ASCII makes the server fail."""
    body = ask.json()
    name = body.get("name") if isinstance(body, dict) else ""
    return _failure(reply) if isinstance(name, str) and not name.isascii() else reply


@answer()
def fails_on_deep_json(reply: Reply, ask: Ask) -> Reply:
    """Deeply nested JSON makes the server fail."""
    return _failure(reply) if ask.body.count(b"[") > 1000 else reply


@answer(status=400)
def fails_on_wrong_shapes(reply: Reply, ask: Ask) -> Reply:
    """A list where an object is right makes the server fail."""
    return _failure(reply) if isinstance(ask.json(), list) else reply


@request()
def part_zero(ask: Ask) -> Ask:
    """Part 0 is taken for part 1."""
    return ask.with_target(re.sub(r"/part/0+(?=\?|$)", "/part/1", ask.target))


@behaviour
async def parts_without_end(ask: Ask, way: Way) -> Reply:
    """A part number beyond the last is given a URL."""
    reply = await way.on(ask)
    if ask.operation == "getPartUrl" and reply.status == 400 and re.search(r"/part/[1-9]\d{0,3}$", ask.target):
        return await way.on(ask.with_target(re.sub(r"/part/\d+$", "/part/1", ask.target)))
    return reply


@request("startUpload")
def sizes_below_zero(ask: Ask) -> Ask:
    """A size below zero is taken for none."""
    body = ask.json()
    if isinstance(body, dict) and body.get("size") == -1:
        return ask.with_json({**body, "size": 0})
    return ask


@request("startUpload")
def no_empty_files(ask: Ask) -> Ask:
    """A size of 0 is refused."""
    body = ask.json()
    if isinstance(body, dict) and body.get("size") == 0:
        return ask.with_json({**body, "size": -1})
    return ask


@request()
def whole_floats_refused(ask: Ask) -> Ask:
    """1.0 is no whole number."""
    if re.search(rb'"part_number": *\d+\.0\b', ask.body):
        return ask.with_json({})
    return ask


@request()
def strings_are_numbers(ask: Ask) -> Ask:
    """A number may be given as a string."""
    body = re.sub(rb'("(?:size|part_size|part_number)": *)"(\d+)"', rb"\1\2", ask.body)
    return Ask(ask.method, ask.target, ask.headers, body)


@behaviour
async def names_may_be_missing(ask: Ask, way: Way) -> Reply:
    """An upload without a name is given one."""
    body = ask.json()
    is_json = ask.headers.get("content-type", "").startswith("application/json")
    if ask.operation == "startUpload" and is_json and isinstance(body, dict) and "name" not in body:
        return await way.on(ask.with_json({**body, "name": f"unnamed-{len(way.memory)}"}))
    return await way.on(ask)


@request("startUpload")
def long_names_are_cut(ask: Ask) -> Ask:
    """A name that is too long is cut."""
    body = ask.json()
    if isinstance(body, dict) and len(str(body.get("name"))) > 255:
        return ask.with_json({**body, "name": str(body["name"])[:255]})
    return ask


@request("startUpload")
def names_are_trimmed(ask: Ask) -> Ask:
    """White space at the ends of a name is lost."""
    body = ask.json()
    if isinstance(body, dict) and isinstance(body.get("name"), str):
        return ask.with_json({**body, "name": body["name"].strip() or body["name"]})
    return ask


@request("startUpload")
def both_places(ask: Ask) -> Ask:
    """Of project and parent together the parent counts."""
    body = ask.json()
    if isinstance(body, dict) and "project" in body and "parent" in body:
        return ask.with_json({key: value for key, value in body.items() if key != "project"})
    return ask


@request("completeUpload")
def no_null_body(ask: Ask) -> Ask:
    """Completing with `null`, as the vendor's client does, is refused."""
    if ask.body == b"null":
        return ask.with_json([])
    return ask


@request()
def no_extra_body(ask: Ask) -> Ask:
    """A body with GET, as the vendor's client sends it, is refused."""
    if ask.method == "GET" and ask.body and ask.operation == "getUpload":
        return ask.with_target(f"/v2/upload/multipart/{ask.upload_id}?list_parts=x")
    return ask


@request()
def broken_json_is_mended(ask: Ask) -> Ask:
    """A trailing comma is passed over."""
    body = re.sub(rb",\s*([}\]])", rb"\1", ask.body)
    if ask.body.endswith(b"}x"):
        body = body[:-1]
    return ask.with_json({"parts": []}) if ask.operation == "completeUpload" and body != ask.body else ask


@request()
def a_hundred_and_one_edits(ask: Ask) -> Ask:
    """More than 100 files can be edited in one call."""
    body = ask.json()
    if ask.operation == "editFiles" and isinstance(body, dict) and len(body.get("items") or ()) == 101:
        return ask.with_json({"items": body["items"][:100]})
    return ask
