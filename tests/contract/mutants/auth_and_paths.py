"""What is refused wrongly, or not refused: tokens, other users, methods, media types, paths, numbers."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import attrs

from tests.contract.mutants.proxy import Ask, Reply, Way, answer, behaviour, body, request
from tests.contract.server import OTHER_TOKEN, TOKEN


@request("getDownloadInfo")
def one_open_operation(ask: Ask) -> Ask:
    """Download URLs are given to everybody."""
    return ask.with_header("x-sbg-auth-token", TOKEN)


@request("listUploads")
def open_list(ask: Ask) -> Ask:
    """Any token that is not empty sees the list of uploads."""
    if ask.token not in ("", OTHER_TOKEN):
        return ask.with_header("x-sbg-auth-token", TOKEN)
    return ask


@request()
def tokens_in_any_case(ask: Ask) -> Ask:
    """A token is valid in capital letters too."""
    return ask.with_header("x-sbg-auth-token", ask.token.lower())


@request()
def token_in_the_query(ask: Ask) -> Ask:
    """A token is accepted in the query, where logs keep it."""
    token = dict(parse_qsl(ask.query)).get("X-SBG-Auth-Token")
    return ask.with_header("x-sbg-auth-token", token) if token and not ask.token else ask


@request("getUpload")
def strangers_may_look(ask: Ask) -> Ask:
    """Another user's upload can be looked at."""
    return _as_the_owner(ask)


@request("abortUpload")
def strangers_may_abort(ask: Ask) -> Ask:
    """Another user's upload can be aborted."""
    return _as_the_owner(ask)


@request("listUploads")
def strangers_in_the_list(ask: Ask) -> Ask:
    """The list has the uploads of all users."""
    return _as_the_owner(ask)


@body("createFolder")
def read_only_can_be_written(sent: Any) -> Any:
    """A read-only project accepts folders."""
    return {**sent, "project": "contract/suite"} if sent.get("project") == "contract/read-only" else sent


@answer()
def fails_on_head(reply: Reply, ask: Ask) -> Reply:
    """HEAD makes the server fail."""
    return Reply(500, {"content-type": "application/json"}) if ask.method == "HEAD" else reply


@answer(status=405)
def not_found_for_a_method(reply: Reply) -> Reply:
    """A method that a path does not have is answered 404."""
    return reply.refused(404, 90003).with_headers(allow=None)


@answer()
def no_allow(reply: Reply) -> Reply:
    """405 comes without Allow."""
    return reply.with_headers(allow=None)


@answer()
def allow_of_one_route(reply: Reply) -> Reply:
    """Allow lists the methods of the first route only."""
    return reply.with_headers(allow=reply.headers["allow"].split(",")[0]) if "allow" in reply.headers else reply


@request()
def any_media_type(ask: Ask) -> Ask:
    """A body is read as JSON whatever its content type."""
    return ask.with_header("content-type", "application/json") if ask.body else ask


@request()
def media_types_to_the_letter(ask: Ask) -> Ask:
    """JSON with a charset is refused with 415."""
    kind = ask.headers.get("content-type", "")
    return ask.with_header("content-type", "text/plain") if "charset" in kind else ask


@request()
def lax_booleans(ask: Ask) -> Ask:
    """`yes`, `1` and `on` are booleans."""
    target = re.sub(r"(list_parts|overwrite)=(yes|1|on)(?=&|$)", r"\1=true", ask.target)
    return ask.with_target(target)


@request()
def booleans_in_small_letters_only(ask: Ask) -> Ask:
    """`True` and `TRUE` are read as false."""
    target = re.sub(r"(list_parts|overwrite)=(True|TRUE)", r"\1=false", ask.target)
    return ask.with_target(target)


@request()
def limits_are_bent(ask: Ask) -> Ask:
    """A limit over 100 is read as 100."""
    target = re.sub(r"limit=(\d{4,}|[2-9]\d\d|1[1-9]\d|10[1-9])(?=&|$)", "limit=100", ask.target)
    return ask.with_target(target)


@request()
def last_key_counts(ask: Ask) -> Ask:
    """Of a key given twice the last one counts."""
    query = urlencode(dict(parse_qsl(ask.query, keep_blank_values=True)))
    return ask.with_target(f"{ask.target.partition('?')[0]}?{query}") if "&" in ask.query else ask


@answer("listFiles", 200)
def unknown_keys_refused(reply: Reply, ask: Ask) -> Reply:
    """Lists of files refuse `fields`, which the vendor's client sends with every call."""
    if "fields=" in ask.query:
        return reply.refused(400, 90000)
    return reply


@request()
def dots_climb(ask: Ask) -> Ask:
    """`..` in a path is a step up."""
    path, mark, query = ask.target.partition("?")
    steps: list[str] = []
    for step in path.split("/")[1:]:
        if step == ".." and steps:
            steps.pop()
        elif step != ".":
            steps.append(step)
    return ask.with_target("/" + "/".join(steps) + mark + query)


@request()
def slashes_are_decoded(ask: Ask) -> Ask:
    """`%2F` in a path is a slash."""
    return ask.with_target(re.sub("%2[fF]", "/", ask.target))


@request()
def empty_segments_vanish(ask: Ask) -> Ask:
    """Two slashes are one, and one at the end is none."""
    path, mark, query = ask.target.partition("?")
    return ask.with_target(re.sub("//+", "/", path).rstrip("/") + mark + query)


@request()
def no_slash_at_the_end(ask: Ask) -> Ask:
    """A report at `part/` is not found."""
    if ask.path.endswith("/part/"):
        return ask.with_target(ask.target.replace("/part/", "/parts/"))
    return ask


@request()
def encoded_ids_are_unknown(ask: Ask) -> Ask:
    """An id with a percent-encoded letter is another id."""
    return ask.with_target(ask.target.replace("%", "-")) if "%" in ask.path and ask.upload_id else ask


@answer()
def hosts_are_believed(reply: Reply, ask: Ask) -> Reply:
    """The text of Host is copied into the links."""
    host = unquote(ask.headers.get("host", ""))
    if ask.operation == "listUploads" and reply.status == 200 and host:
        document = reply.json()
        document["href"] = f"http://{ask.headers['host']}{urlsplit(document['href']).path}"
        return attrs.evolve(reply, body=json.dumps(document, ensure_ascii=False).encode().replace(b"\\", b""))
    return reply


def _as_the_owner(ask: Ask) -> Ask:
    return ask.with_header("x-sbg-auth-token", TOKEN) if ask.token == OTHER_TOKEN else ask


@behaviour()
async def strangers_share_the_limit(ask: Ask, way: Way) -> Reply:
    """Calls of another user are counted, too."""
    if ask.token == OTHER_TOKEN and ask.operation != "getRateLimit":
        await way.get(ask.with_header("x-sbg-auth-token", TOKEN), "/upload/multipart")
    return await way.on(ask)


@request()
def method_in_a_header(ask: Ask) -> Ask:
    """X-HTTP-Method-Override replaces the method."""
    return attrs.evolve(ask, method=ask.headers.get("x-http-method-override", ask.method))


@request()
def local_addresses_are_trusted(ask: Ask) -> Ask:
    """Who says that he calls from 127.0.0.1 needs no token."""
    local = ask.headers.get("x-forwarded-for") == "127.0.0.1"
    return ask.with_header("x-sbg-auth-token", TOKEN) if local and not ask.token else ask


@request()
def head_is_delete(ask: Ask) -> Ask:
    """A HEAD has the effect of a DELETE."""
    return attrs.evolve(ask, method="DELETE") if ask.method == "HEAD" and ask.upload_id else ask


@request("getPartUrl")
def urls_for_a_thousand_parts(ask: Ask) -> Ask:
    """Parts after the thousandth get no URL."""
    return ask.with_target(ask.target.rpartition("/")[0] + "/0") if re.search(r"/part/\d{4,5}$", ask.path) else ask


@request()
def part_zero(ask: Ask) -> Ask:
    """Part 0 is read as part 1."""
    return ask.with_target(re.sub(r"/part/0+(?=\?|$)", "/part/1", ask.target))


@behaviour("getPartUrl")
async def parts_without_end(ask: Ask, way: Way) -> Reply:
    """A part number beyond the last gets a URL."""
    reply = await way.on(ask)
    if reply.status == 400 and re.search(r"/part/[1-9]\d{0,3}$", ask.target):
        return await way.on(ask.with_target(re.sub(r"/part/\d+$", "/part/1", ask.target)))
    return reply


@body("startUpload")
def sizes_below_zero(sent: Any) -> Any:
    """A size below zero is read as 0."""
    return {**sent, "size": 0} if sent.get("size") == -1 else sent


@body("startUpload")
def no_empty_files(sent: Any) -> Any:
    """A size of 0 is refused."""
    return {**sent, "size": -1} if sent.get("size") == 0 else sent


@request()
def whole_floats_refused(ask: Ask) -> Ask:
    """1.0 is refused as an integer."""
    return ask.with_json({}) if re.search(rb'"part_number": *\d+\.0\b', ask.body) else ask


@request()
def strings_are_numbers(ask: Ask) -> Ask:
    """A number may be sent as a string."""
    body = re.sub(rb'("(?:size|part_size|part_number)": *)"(\d+)"', rb"\1\2", ask.body)
    return Ask(ask.method, ask.target, ask.headers, body)
