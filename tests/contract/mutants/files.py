"""Files, folders and bodies: wrong names, metadata and lists, and bodies that are read wrongly."""

import json
import re
from typing import Any

import attrs

from tests.contract.mutants.proxy import Ask, Reply, Way, answer, behaviour, body, document, request

LISTS = {"listUploads", "listFiles", "listFolder"}
TOTAL = "x-total-matching-query"


@answer()
def total_off_by_one(reply: Reply) -> Reply:
    """A list says that there is one more."""
    total = reply.headers.get(TOTAL)
    return reply if total is None else reply.with_headers(x_total_matching_query=str(int(total) + 1))


@answer()
def total_of_the_page(reply: Reply) -> Reply:
    """A list says how many there are on this page."""
    items = reply.json()["items"] if TOTAL in reply.headers else ()
    return reply.with_headers(x_total_matching_query=str(len(items))) if TOTAL in reply.headers else reply


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


@request("listFiles")
def filter_by_beginning(ask: Ask) -> Ask:
    """A list by name also has other names."""
    return ask.with_target(re.sub(r"&name=[^&]*", "", ask.target))


@request("listFiles")
def folders_not_kept_apart(ask: Ask) -> Ask:
    """A list of a folder is that of the project."""
    target = re.sub(r"parent=[0-9a-f]{24}", "project=contract/suite", ask.target)
    return ask.with_target(target) if "project=" not in ask.query else ask


@behaviour("deleteFile")
async def deleted_files_stay(ask: Ask, way: Way) -> Reply:
    """A deleted file is still there."""
    shown = await way.on(Ask("GET", ask.target, ask.headers))
    return Reply(204, shown.headers).with_headers(content_type=None) if shown.status == 200 else shown


@answer("deleteFile", 409)
def full_folders_vanish(reply: Reply) -> Reply:
    """Deleting a folder that is not empty is answered with success."""
    return Reply(204, reply.headers).with_headers(content_type=None)


@behaviour("editFiles")
async def metadata_replaced(ask: Ask, way: Way) -> Reply:
    """New metadata replace the old instead of being merged."""
    body = ask.json()
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        for item in body["items"]:
            if isinstance(item, dict) and isinstance(item.get("metadata"), dict) and isinstance(item.get("id"), str):
                old = await way.get(ask, f"/files/{item['id']}")
                if old and "metadata" in old:
                    item["metadata"] = {**dict.fromkeys(old["metadata"]), **item["metadata"]}
        return await way.on(ask.with_json(body))
    return await way.on(ask)


@document("editFiles")
def edits_in_any_order(shown: Any) -> Any:
    """The outcomes of edits are not in the order of the request."""
    return {"items": shown["items"][::-1]}


@behaviour("editFiles")
async def renames_are_refused_in_silence(ask: Ask, way: Way) -> Reply:
    """A rename is answered with success and not done."""
    body = ask.json()
    if isinstance(body, dict):
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


@document("completeUpload", 201)
def sizes_are_rounded(shown: Any) -> Any:
    """A completed file's size is that of whole parts."""
    return {**shown, "size": -(-shown["size"] // 16) * 16}


@answer()
def fails_on_odd_names(reply: Reply, ask: Ask) -> Reply:
    """A name that is not ASCII makes the server fail."""
    body = ask.json()
    name = body.get("name") if isinstance(body, dict) else ""
    return reply.refused(500, 90009) if isinstance(name, str) and not name.isascii() else reply


@answer()
def fails_on_deep_json(reply: Reply, ask: Ask) -> Reply:
    """Deeply nested JSON makes the server fail."""
    return reply.refused(500, 90009) if ask.body.count(b"[") > 1000 else reply


@answer(status=400)
def fails_on_wrong_shapes(reply: Reply, ask: Ask) -> Reply:
    """A list instead of an object makes the server fail."""
    return reply.refused(500, 90009) if isinstance(ask.json(), list) else reply


@behaviour("startUpload")
async def names_may_be_missing(ask: Ask, way: Way) -> Reply:
    """An upload without a name gets one."""
    body = ask.json()
    is_json = ask.headers.get("content-type", "").startswith("application/json")
    if is_json and isinstance(body, dict) and "name" not in body:
        return await way.on(ask.with_json({**body, "name": f"unnamed-{len(way.memory)}"}))
    return await way.on(ask)


@body("startUpload")
def long_names_are_cut(sent: Any) -> Any:
    """A name that is too long is cut."""
    return {**sent, "name": str(sent["name"])[:255]} if len(str(sent.get("name"))) > 255 else sent


@body("startUpload")
def names_are_trimmed(sent: Any) -> Any:
    """White space at the ends of a name is lost."""
    name = sent.get("name")
    return {**sent, "name": name.strip() or name} if isinstance(name, str) else sent


@body("startUpload")
def both_places(sent: Any) -> Any:
    """Of project and parent together the parent counts."""
    return {key: value for key, value in sent.items() if key != "project"} if "parent" in sent else sent


@request("completeUpload")
def no_null_body(ask: Ask) -> Ask:
    """Completing with `null`, as the vendor's client does, is refused."""
    return ask.with_json([]) if ask.body == b"null" else ask


@request("getUpload")
def no_extra_body(ask: Ask) -> Ask:
    """A body with GET, as the vendor's client sends it, is refused."""
    if ask.body:
        return ask.with_target(f"/v2/upload/multipart/{ask.upload_id}?list_parts=x")
    return ask


@request("completeUpload")
def broken_json_is_mended(ask: Ask) -> Ask:
    """A trailing comma is ignored."""
    body = re.sub(rb",\s*([}\]])", rb"\1", ask.body)
    if ask.body.endswith(b"}x"):
        body = body[:-1]
    return ask.with_json({"parts": []}) if body != ask.body else ask


@body("editFiles")
def a_hundred_and_one_edits(sent: Any) -> Any:
    """More than 100 files can be edited in one call."""
    return {"items": sent["items"][:100]} if len(sent.get("items") or ()) == 101 else sent


@document("getFile")
def project_of_another(shown: Any) -> Any:
    """The details of a file name another project."""
    return {**shown, "project": "somebody/else"} if shown.get("project") else shown


@document("completeUpload", 201)
def created_long_ago(shown: Any) -> Any:
    """A completed file is said to be from 2016."""
    return {**shown, "created_on": "2016-06-30T00:00:00Z"}


@answer(status=200)
def next_page_is_this_page(reply: Reply, ask: Ask) -> Reply:
    """The link to the next page leads to the same page."""
    if ask.operation not in LISTS:
        return reply
    here = re.search(r"offset=\d+", ask.query)
    return attrs.evolve(reply, body=re.sub(rb"offset=\d+", (here[0] if here else "offset=0").encode(), reply.body))


@answer(status=200)
def no_prev_link(reply: Reply, ask: Ask) -> Reply:
    """A page does not say that there is one before."""
    if ask.operation not in LISTS:
        return reply
    links = [link for link in reply.json()["links"] if link["rel"] != "prev"]
    return reply.with_json({**reply.json(), "links": links})


@behaviour("listFiles")
async def first_page_again(ask: Ask, way: Way) -> Reply:
    """Beyond the last page is the first one."""
    reply = await way.on(ask)
    if reply.status == 200 and not reply.json()["items"]:
        return await way.on(ask.with_target(re.sub(r"offset=\d+", "offset=0", ask.target)))
    return reply


@behaviour("listFiles")
async def old_names_are_listed(ask: Ask, way: Way) -> Reply:
    """A list by name still has files that were renamed or deleted."""
    reply = await way.on(ask)
    if reply.status == 200 and "name=" in ask.query:
        if reply.json()["items"]:
            way.memory[ask.target] = reply.body
        return attrs.evolve(reply, body=way.memory.get(ask.target, reply.body))
    return reply


@behaviour("editFiles")
async def edits_after_an_error_are_lost(ask: Ask, way: Way) -> Reply:
    """After a file that cannot be changed the others are not changed either."""
    reply = (
        await way.on(ask.with_json({"items": [{"id": item["id"]} for item in _edits(ask)]})) if _edits(ask) else None
    )
    errors = ["error" in outcome for outcome in reply.json()["items"]] if reply and reply.status == 200 else [False]
    if True in errors:
        items = _edits(ask)
        first = errors.index(True)
        return await way.on(ask.with_json({"items": [*items[:first], *({"id": item["id"]} for item in items[first:])]}))
    return await way.on(ask)


def _edits(ask: Ask) -> list[dict[str, Any]]:
    sent = ask.json()
    items = sent.get("items") if isinstance(sent, dict) else None
    whole = isinstance(items, list) and all(
        isinstance(item, dict) and isinstance(item.get("id"), str) for item in items
    )
    return items if whole else []  # type: ignore[return-value]


@body("startUpload")
def names_in_small_letters(sent: Any) -> Any:
    """The name of an upload loses its capital letters."""
    return {**sent, "name": sent["name"].lower()} if isinstance(sent.get("name"), str) else sent


@body("createFolder")
def folder_names_in_html(sent: Any) -> Any:
    """The name of a folder is escaped."""
    return {**sent, "name": str(sent["name"]).replace("&", "&amp;")} if "&" in str(sent.get("name")) else sent


@request()
def pages_of_fifty(ask: Ask) -> Ask:
    """A page has at most 50 items, whatever its limit."""
    return ask.with_target(re.sub(r"limit=(5[1-9]|[6-9]\d|100)(?=&|$)", "limit=50", ask.target))


@answer(status=200)
def links_are_posts(reply: Reply, ask: Ask) -> Reply:
    """The links to other pages name the method POST."""
    if ask.operation not in LISTS:
        return reply
    return reply.with_json({**reply.json(), "links": [{**link, "method": "POST"} for link in reply.json()["links"]]})


@behaviour("listFiles")
async def lists_are_recursive(ask: Ask, way: Way) -> Reply:
    """A list of a place also has what is in its folders."""
    reply = await way.on(ask)
    if reply.status != 200 or "name=" in ask.query or "limit=" in ask.query:
        return reply
    items = reply.json()["items"]
    for folder in [item for item in items if item["type"] == "folder"]:
        items += (await way.get(ask, f"/files/{folder['id']}/list"))["items"]
    return reply.with_json({**reply.json(), "items": items}).with_headers(x_total_matching_query=str(len(items)))


@behaviour("deleteFile")
async def deletion_takes_namesakes(ask: Ask, way: Way) -> Reply:
    """A deletion takes what has the same name in other places with it."""
    shown = await way.get(ask, ask.path)
    reply = await way.on(ask)
    if reply.status == 204:
        top = (await way.get(ask, "/files?project=contract/suite"))["items"]
        inner = [(await way.get(ask, f"/files/{item['id']}/list")).get("items", ()) for item in top]
        for item in (*top, *(item for items in inner for item in items)):
            if item["name"] == shown["name"]:
                await way.on(Ask("DELETE", f"/v2/files/{item['id']}", ask.headers))
    return reply


@behaviour("editFiles")
async def outcomes_show_what_was(ask: Ask, way: Way) -> Reply:
    """The outcome of an edit shows the tags before it."""
    before = {item["id"]: (await way.get(ask, f"/files/{item['id']}")).get("tags") for item in _edits(ask)}
    reply = await way.on(ask)
    shown = reply.json()
    for outcome in shown["items"] if reply.status == 200 else ():
        if "resource" in outcome and outcome["resource"]["id"] in before:
            outcome["resource"]["tags"] = before[outcome["resource"]["id"]]
    return reply.with_json(shown)


@body("editFiles")
def null_removes_nothing(sent: Any) -> Any:
    """A key of the metadata is not removed by null."""
    text = json.dumps(sent)
    return json.loads(re.sub(r'"[bc]": null(, )?', "", text).replace(", }", "}"))


@body("editFiles")
def file_id_is_unknown(sent: Any) -> Any:
    """A file that is named by `file_id` is refused."""
    return {"items": 0} if "file_id" in json.dumps(sent) else sent
