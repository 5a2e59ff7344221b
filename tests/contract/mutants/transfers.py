"""Bytes that get lost, signed URLs that are not checked, and connections that break."""

import re
from typing import Any

import attrs

from tests.contract.mutants.proxy import Ask, Reply, Way, answer, behaviour, document, request
from tests.contract.server import TOKEN


def _is_put(ask: Ask) -> bool:
    return ask.method == "PUT" and ask.target.startswith("/storage/")


@answer("getUpload")
def slow_body(reply: Reply) -> Reply:
    """The body of an upload's details trickles in byte by byte."""
    return attrs.evolve(reply, manner="trickling")


@answer("listUploads")
def cut_json(reply: Reply) -> Reply:
    """A list of uploads breaks off in the middle."""
    return attrs.evolve(reply, manner="cut")


@answer("getPartUrl")
def half_json(reply: Reply) -> Reply:
    """The body of a part URL is half a JSON document."""
    return attrs.evolve(reply, body=reply.body[: len(reply.body) // 2])


@answer("abortUpload")
def hangs_up(reply: Reply) -> Reply:
    """The connection is closed instead of answering an abort."""
    return attrs.evolve(reply, manner="nothing")


@behaviour("getPartUrl")
async def url_of_another_part(ask: Ask, way: Way) -> Reply:
    """Every part has the URL of part 1."""
    reply = await way.on(ask)
    if reply.status == 200:
        return await way.on(ask.with_target(re.sub(r"/part/\d+", "/part/1", ask.target)))
    return reply


@behaviour()
async def expired_urls_work(ask: Ask, way: Way) -> Reply:
    """A signed URL works with any expiry."""
    if ask.target.startswith("/storage/"):
        match = re.search(r"uploadId=([^&]+)&partNumber=(\d+)", ask.target)
        signature = re.search(r"Signature=([^&]+)", ask.target)
        if match and signature and _is_put(ask):
            known = way.memory.get(signature[1])
            if known:
                return await way.on(ask.with_target(known))
    reply = await way.on(ask)
    if ask.operation == "getPartUrl" and reply.status == 200:
        url = reply.json()["url"]
        way.memory[re.search(r"Signature=([^&]+)", url)[1]] = "/storage/" + url.partition("/storage/")[2]  # type: ignore[index]
    return reply


@behaviour()
async def unsigned_urls_work(ask: Ask, way: Way) -> Reply:
    """Storage does not check signatures."""
    match = re.search(r"uploadId=([^&]+)&partNumber=(\d+)", ask.target)
    reply = await way.on(ask)
    if _is_put(ask) and match and reply.status == 403:
        headers = {"x-sbg-auth-token": TOKEN, "host": ask.headers.get("host", "")}
        grant = await way.on(Ask("GET", f"/v2/upload/multipart/{match[1]}/part/{match[2]}", headers))
        if grant.status == 200:
            return await way.on(ask.with_target("/storage/" + grant.json()["url"].partition("/storage/")[2]))
    return reply


@document("getPartUrl")
def expired_from_the_start(shown: Any) -> Any:
    """A part URL has expired when it is made."""
    return {**shown, "expires": "2016-06-30T00:00:00Z"}


@document("getPartUrl")
def success_of_another_status(shown: Any) -> Any:
    """A part URL names a success code that storage does not answer."""
    return {**shown, "success_codes": [201]}


@document("getPartUrl")
def nothing_to_report(shown: Any) -> Any:
    """A part URL does not say that the ETag has to be reported."""
    return {**shown, "report": {**shown["report"], "headers": []}}


@document("getPartUrl")
def more_to_report(shown: Any) -> Any:
    """A part URL names a header that storage does not send."""
    return {**shown, "report": {**shown["report"], "headers": ["ETag", "x-amz-version-id"]}}


@request()
def storage_flips_a_bit(ask: Ask) -> Ask:
    """Storage keeps other bytes than it received."""
    if _is_put(ask) and ask.body:
        return attrs.evolve(ask, body=bytes((ask.body[0] ^ 1,)) + ask.body[1:])
    return ask


@answer(status=200)
def etag_of_something(reply: Reply, ask: Ask) -> Reply:
    """The ETag is not the MD5."""
    return reply.with_headers(etag='"' + "0" * 32 + '"') if _is_put(ask) else reply


@answer()
def no_etag(reply: Reply, ask: Ask) -> Reply:
    """Storage answers without an ETag."""
    return reply.with_headers(etag=None) if _is_put(ask) else reply


@request()
def digests_ignored(ask: Ask) -> Ask:
    """Storage does not check Content-MD5."""
    return ask.with_header("content-md5", None) if _is_put(ask) else ask


@answer(status=404)
def bytes_after_the_end(reply: Reply, ask: Ask) -> Reply:
    """Storage accepts parts of an upload that has ended."""
    return Reply(200, {"etag": '"' + "0" * 32 + '"'}) if _is_put(ask) else reply


@answer(status=200)
def downloads_are_cut(reply: Reply, ask: Ask) -> Reply:
    """A file lacks its last byte."""
    if ask.method == "GET" and ask.target.startswith("/storage/"):
        return attrs.evolve(reply, body=reply.body[:-1])
    return reply


@behaviour("getPartUrl")
async def two_urls_a_part(ask: Ask, way: Way) -> Reply:
    """A part gets at most two URLs."""
    reply = await way.on(ask)
    way.memory[ask.path] = way.memory.get(ask.path, 0) + (reply.status == 200)
    if way.memory[ask.path] > 2:
        return reply.refused(409, 8008)
    return reply


@behaviour("getDownloadInfo")
async def downloads_of_the_first(ask: Ask, way: Way) -> Reply:
    """Of files of one size the first is downloaded."""
    reply = await way.on(ask)
    if reply.status == 200:
        size = (await way.get(ask, ask.path.removesuffix("/download_info")))["size"]
        first = await way.on(ask.with_target(way.memory.setdefault(size, ask.target)))
        return attrs.evolve(reply, body=first.body) if first.status == 200 else reply
    return reply


@behaviour()
async def bytes_after_completion(ask: Ask, way: Way) -> Reply:
    """Storage accepts parts of an upload that was completed."""
    reply = await way.on(ask)
    if ask.operation == "completeUpload" and reply.status == 201:
        way.memory[ask.upload_id] = True
    known = re.search(r"uploadId=([^&]+)", ask.target)
    if _is_put(ask) and reply.status == 404 and known and known[1] in way.memory:
        return Reply(200, {"etag": '"' + "0" * 32 + '"'})
    return reply


@behaviour()
async def urls_work_once(ask: Ask, way: Way) -> Reply:
    """A part URL works once, though it has not expired."""
    reply = await way.on(ask)
    used = way.memory.setdefault(ask.target, 0)
    way.memory[ask.target] += reply.status == 200
    return Reply(403, {"content-type": "application/xml"}, b"<Error/>") if _is_put(ask) and used else reply


@answer()
def downloads_can_be_written(reply: Reply, ask: Ask) -> Reply:
    """The URL of a download accepts a PUT."""
    return Reply(200, {"etag": '"' + "0" * 32 + '"'}) if _is_put(ask) and "/storage/files/" in ask.target else reply


@answer("getDownloadInfo", 404)
def folders_have_downloads(reply: Reply) -> Reply:
    """What is no file has a download URL, too."""
    return attrs.evolve(reply, status=200).with_json({"url": "http://127.0.0.1/folder.zip"})


@behaviour()
async def parts_in_order_of_reports(ask: Ask, way: Way) -> Reply:
    """A file has its parts in the order in which they were reported."""
    reply = await way.on(ask)
    sent = ask.json()
    if ask.operation == "completeUpload" and reply.status == 201 and isinstance(sent, dict):
        way.memory[reply.json()["id"]] = [str(report["part_number"]) for report in sent.get("parts", ())]
    if ask.operation == "getDownloadInfo" and reply.status == 200:
        way.memory["/storage/" + reply.json()["url"].partition("/storage/")[2]] = ask.path.split("/")[2]
    order = way.memory.get(way.memory.get(ask.target), [])
    if ask.target.startswith("/storage/files/") and reply.status == 200 and order != sorted(order):
        return attrs.evolve(reply, body=reply.body[::-1])
    return reply
