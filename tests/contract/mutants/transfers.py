"""Bytes that go astray, and connections that do not hold."""

import re

import attrs

from tests.contract.mutants.proxy import Ask, Defect, Reply, Way, defect
from tests.contract.server import TOKEN

DEFECTS: dict[str, Defect] = {}


def _is_put(ask: Ask) -> bool:
    return ask.method == "PUT" and ask.target.startswith("/storage/")


@defect(DEFECTS)
async def slow_body(ask: Ask, way: Way) -> Reply:
    """The body of an upload's details trickles in byte by byte."""
    reply = await way.on(ask)
    return attrs.evolve(reply, manner="trickling") if ask.operation == "getUpload" else reply


@defect(DEFECTS)
async def cut_json(ask: Ask, way: Way) -> Reply:
    """A list of uploads breaks off in the middle."""
    reply = await way.on(ask)
    return attrs.evolve(reply, manner="cut") if ask.operation == "listUploads" else reply


@defect(DEFECTS)
async def half_json(ask: Ask, way: Way) -> Reply:
    """A part URL is half a JSON document, well delivered."""
    reply = await way.on(ask)
    return attrs.evolve(reply, body=reply.body[: len(reply.body) // 2]) if ask.operation == "getPartUrl" else reply


@defect(DEFECTS)
async def hangs_up(ask: Ask, way: Way) -> Reply:
    """The connection is closed instead of answering an abort."""
    reply = await way.on(ask)
    return attrs.evolve(reply, manner="nothing") if ask.operation == "abortUpload" else reply


@defect(DEFECTS)
async def url_of_another_part(ask: Ask, way: Way) -> Reply:
    """Every part has the URL of part 1."""
    if ask.operation == "getPartUrl" and (await way.on(ask)).status == 200:
        return await way.on(ask.with_target(re.sub(r"/part/\d+", "/part/1", ask.target)))
    return await way.on(ask)


@defect(DEFECTS)
async def expired_urls_work(ask: Ask, way: Way) -> Reply:
    """A signed URL works whatever was done to its expiry."""
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


@defect(DEFECTS)
async def unsigned_urls_work(ask: Ask, way: Way) -> Reply:
    """Storage does not look at signatures."""
    match = re.search(r"uploadId=([^&]+)&partNumber=(\d+)", ask.target)
    reply = await way.on(ask)
    if _is_put(ask) and match and reply.status == 403:
        headers = {"x-sbg-auth-token": TOKEN, "host": ask.headers.get("host", "")}
        grant = await way.on(Ask("GET", f"/v2/upload/multipart/{match[1]}/part/{match[2]}", headers))
        if grant.status == 200:
            return await way.on(ask.with_target("/storage/" + grant.json()["url"].partition("/storage/")[2]))
    return reply


@defect(DEFECTS)
async def expired_from_the_start(ask: Ask, way: Way) -> Reply:
    """A part URL says that it expired long ago."""
    reply = await way.on(ask)
    if ask.operation == "getPartUrl" and reply.status == 200:
        return reply.with_json({**reply.json(), "expires": "2016-06-30T00:00:00Z"})
    return reply


@defect(DEFECTS)
async def storage_flips_a_bit(ask: Ask, way: Way) -> Reply:
    """Storage keeps other bytes than it was given."""
    if _is_put(ask) and ask.body:
        return await way.on(attrs.evolve(ask, body=bytes((ask.body[0] ^ 1,)) + ask.body[1:]))
    return await way.on(ask)


@defect(DEFECTS)
async def etag_of_something(ask: Ask, way: Way) -> Reply:
    """The ETag is not the MD5."""
    reply = await way.on(ask)
    return reply.with_headers(etag='"' + "0" * 32 + '"') if _is_put(ask) and reply.status == 200 else reply


@defect(DEFECTS)
async def no_etag(ask: Ask, way: Way) -> Reply:
    """Storage answers without an ETag."""
    reply = await way.on(ask)
    return reply.with_headers(etag=None) if _is_put(ask) else reply


@defect(DEFECTS)
async def digests_ignored(ask: Ask, way: Way) -> Reply:
    """Storage does not look at Content-MD5."""
    return await way.on(ask.with_header("content-md5", None) if _is_put(ask) else ask)


@defect(DEFECTS)
async def bytes_after_the_end(ask: Ask, way: Way) -> Reply:
    """Storage takes parts of an upload that has ended."""
    reply = await way.on(ask)
    return Reply(200, {"etag": '"' + "0" * 32 + '"'}) if _is_put(ask) and reply.status == 404 else reply


@defect(DEFECTS)
async def downloads_are_cut(ask: Ask, way: Way) -> Reply:
    """A file lacks its last byte."""
    reply = await way.on(ask)
    if ask.method == "GET" and ask.target.startswith("/storage/") and reply.status == 200:
        return attrs.evolve(reply, body=reply.body[:-1])
    return reply
