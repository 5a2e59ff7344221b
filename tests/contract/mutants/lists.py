"""Lists that do not add up, and files that are not what they were."""

import re

from tests.contract.mutants.patches import answer, behaviour, request
from tests.contract.mutants.proxy import Ask, Reply, Way

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
