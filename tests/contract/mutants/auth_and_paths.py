"""Doors that stand open: tokens, other users, methods, media types, paths."""

import json
import re
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import attrs

from tests.contract.mutants.proxy import Ask, Defect, Reply, Way, defect
from tests.contract.server import OTHER_TOKEN, TOKEN

DEFECTS: dict[str, Defect] = {}


@defect(DEFECTS)
async def one_open_operation(ask: Ask, way: Way) -> Reply:
    """Download URLs are given to everybody."""
    return await way.on(ask.with_header("x-sbg-auth-token", TOKEN) if ask.operation == "getDownloadInfo" else ask)


@defect(DEFECTS)
async def open_list(ask: Ask, way: Way) -> Reply:
    """Any token that is not empty sees the list of uploads."""
    if ask.operation == "listUploads" and ask.token not in ("", OTHER_TOKEN):
        return await way.on(ask.with_header("x-sbg-auth-token", TOKEN))
    return await way.on(ask)


@defect(DEFECTS)
async def tokens_in_any_case(ask: Ask, way: Way) -> Reply:
    """A token is good in capital letters too."""
    return await way.on(ask.with_header("x-sbg-auth-token", ask.token.lower()))


@defect(DEFECTS)
async def token_in_the_query(ask: Ask, way: Way) -> Reply:
    """A token is taken from the query, where logs keep it."""
    token = dict(parse_qsl(ask.query)).get("X-SBG-Auth-Token")
    return await way.on(ask.with_header("x-sbg-auth-token", token) if token and not ask.token else ask)


@defect(DEFECTS)
async def strangers_may_look(ask: Ask, way: Way) -> Reply:
    """Another user's upload can be looked at."""
    if ask.operation == "getUpload" and ask.token == OTHER_TOKEN:
        return await way.on(ask.with_header("x-sbg-auth-token", TOKEN))
    return await way.on(ask)


@defect(DEFECTS)
async def strangers_may_abort(ask: Ask, way: Way) -> Reply:
    """Another user's upload can be aborted."""
    if ask.operation == "abortUpload" and ask.token == OTHER_TOKEN:
        return await way.on(ask.with_header("x-sbg-auth-token", TOKEN))
    return await way.on(ask)


@defect(DEFECTS)
async def strangers_in_the_list(ask: Ask, way: Way) -> Reply:
    """The list has the uploads of all users."""
    if ask.operation == "listUploads" and ask.token == OTHER_TOKEN:
        return await way.on(ask.with_header("x-sbg-auth-token", TOKEN))
    return await way.on(ask)


@defect(DEFECTS)
async def read_only_can_be_written(ask: Ask, way: Way) -> Reply:
    """A project that may only be read takes folders."""
    body = ask.json()
    if ask.operation == "createFolder" and isinstance(body, dict) and body.get("project") == "contract/read-only":
        return await way.on(ask.with_json({**body, "project": "contract/suite"}))
    return await way.on(ask)


@defect(DEFECTS)
async def not_found_for_a_method(ask: Ask, way: Way) -> Reply:
    """A method that a path does not have is answered 404."""
    reply = await way.on(ask)
    if reply.status == 405:
        body = {"status": 404, "code": 90003, "message": "Not found."}
        return Reply(404, reply.headers, json.dumps(body).encode()).with_headers(allow=None)
    return reply


@defect(DEFECTS)
async def no_allow(ask: Ask, way: Way) -> Reply:
    """405 comes without Allow."""
    return (await way.on(ask)).with_headers(allow=None)


@defect(DEFECTS)
async def allow_of_one_route(ask: Ask, way: Way) -> Reply:
    """Allow lists the methods of the first route only."""
    reply = await way.on(ask)
    return reply.with_headers(allow=reply.headers["allow"].split(",")[0]) if "allow" in reply.headers else reply


@defect(DEFECTS)
async def any_media_type(ask: Ask, way: Way) -> Reply:
    """A body is taken for JSON whatever its content type."""
    return await way.on(ask.with_header("content-type", "application/json") if ask.body else ask)


@defect(DEFECTS)
async def media_types_to_the_letter(ask: Ask, way: Way) -> Reply:
    """JSON with a charset is refused with 415."""
    kind = ask.headers.get("content-type", "")
    return await way.on(ask.with_header("content-type", "text/plain") if "charset" in kind else ask)


@defect(DEFECTS)
async def lax_booleans(ask: Ask, way: Way) -> Reply:
    """`yes`, `1` and `on` are booleans."""
    target = re.sub(r"(list_parts|overwrite)=(yes|1|on)(?=&|$)", r"\1=true", ask.target)
    return await way.on(ask.with_target(target))


@defect(DEFECTS)
async def booleans_in_small_letters_only(ask: Ask, way: Way) -> Reply:
    """`True` and `TRUE` are read as false."""
    target = re.sub(r"(list_parts|overwrite)=(True|TRUE)", r"\1=false", ask.target)
    return await way.on(ask.with_target(target))


@defect(DEFECTS)
async def limits_are_bent(ask: Ask, way: Way) -> Reply:
    """A limit over 100 is taken for 100."""
    target = re.sub(r"limit=(\d{4,}|[2-9]\d\d|1[1-9]\d|10[1-9])(?=&|$)", "limit=100", ask.target)
    return await way.on(ask.with_target(target))


@defect(DEFECTS)
async def last_key_counts(ask: Ask, way: Way) -> Reply:
    """Of a key given twice the last one counts."""
    query = urlencode(dict(parse_qsl(ask.query, keep_blank_values=True)))
    return await way.on(ask.with_target(f"{ask.target.partition('?')[0]}?{query}") if "&" in ask.query else ask)


@defect(DEFECTS)
async def dots_climb(ask: Ask, way: Way) -> Reply:
    """`..` in a path is a step up."""
    path, mark, query = ask.target.partition("?")
    steps: list[str] = []
    for step in path.split("/")[1:]:
        if step == ".." and steps:
            steps.pop()
        elif step != ".":
            steps.append(step)
    return await way.on(ask.with_target("/" + "/".join(steps) + mark + query))


@defect(DEFECTS)
async def slashes_are_decoded(ask: Ask, way: Way) -> Reply:
    """`%2F` in a path is a slash."""
    return await way.on(ask.with_target(re.sub("%2[fF]", "/", ask.target)))


@defect(DEFECTS)
async def empty_segments_vanish(ask: Ask, way: Way) -> Reply:
    """Two slashes are one, and one at the end is none."""
    path, mark, query = ask.target.partition("?")
    return await way.on(ask.with_target(re.sub("//+", "/", path).rstrip("/") + mark + query))


@defect(DEFECTS)
async def no_slash_at_the_end(ask: Ask, way: Way) -> Reply:
    """A report at `part/` is not found."""
    if ask.path.endswith("/part/"):
        return await way.on(ask.with_target(ask.target.replace("/part/", "/parts/")))
    return await way.on(ask)


@defect(DEFECTS)
async def encoded_ids_are_unknown(ask: Ask, way: Way) -> Reply:
    """An id with a percent-encoded letter is another id."""
    return await way.on(ask.with_target(ask.target.replace("%", "-")) if "%" in ask.path and ask.upload_id else ask)


@defect(DEFECTS)
async def hosts_are_believed(ask: Ask, way: Way) -> Reply:
    """Whatever stands in Host gets into the links."""
    reply = await way.on(ask)
    host = unquote(ask.headers.get("host", ""))
    if ask.operation == "listUploads" and reply.status == 200 and host:
        document = reply.json()
        document["href"] = f"http://{ask.headers['host']}{urlsplit(document['href']).path}"
        return attrs.evolve(reply, body=json.dumps(document, ensure_ascii=False).encode().replace(b"\\", b""))
    return reply
