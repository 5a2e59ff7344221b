"""Answers of the wrong shape: status, type, keys, error bodies, headers."""

import re
from typing import Any

import attrs

from tests.contract.mutants.proxy import Ask, Reply, Way, answer, behaviour, document


@answer("completeUpload", 201)
def undeclared_status(reply: Reply) -> Reply:
    """Completing answers 202."""
    return Reply(202, reply.headers, reply.body)


@answer(status=400)
def extra_error_status(reply: Reply, ask: Ask) -> Reply:
    """A bad body is answered with 422, as frameworks do."""
    return Reply(422, reply.headers, reply.body) if ask.method == "POST" else reply


@document("getUpload")
def missing_key(shown: Any) -> Any:
    """An upload's details lack uploaded_parts_count."""
    return {key: value for key, value in shown.items() if key != "uploaded_parts_count"}


@document("startUpload")
def renamed_key(shown: Any) -> Any:
    """A started upload has its id under another name."""
    return {key.replace("upload_id", "uploadId"): value for key, value in shown.items()}


@document("startUpload")
def wrong_type(shown: Any) -> Any:
    """The part size of a started upload is a string."""
    return {**shown, "part_size": str(shown["part_size"])}


@document("getUpload")
def null_for_a_list(shown: Any) -> Any:
    """An upload without parts lists null instead of an empty list."""
    return {**shown, "parts": None} if shown.get("parts") == [] else shown


@answer("listFiles")
def wrong_content_type(reply: Reply) -> Reply:
    """Lists of files claim to be plain text."""
    return reply.with_headers(content_type="text/plain")


@answer(status=404)
def html_errors(reply: Reply) -> Reply:
    """404 is answered in HTML."""
    return Reply(404, {**reply.headers, "content-type": "text/html"}, b"<html><body>Not found</body></html>")


@answer(status=404)
def error_status_lies(reply: Reply, ask: Ask) -> Reply:
    """The body of a 404 says 400."""
    return reply.with_json({**reply.json(), "status": 400}) if ask.operation else reply


@document(status=409)
def unknown_code(shown: Any) -> Any:
    """Conflicts have a code that is in no table."""
    return {**shown, "code": 9999}


@document("getUpload", 404)
def code_of_another_status(shown: Any) -> Any:
    """An unknown upload has the code of a bad request."""
    return {**shown, "code": 8013}


@answer("getPartUrl")
def missing_rate_header(reply: Reply) -> Reply:
    """Part URLs come without X-RateLimit-Remaining."""
    return reply.with_headers(x_ratelimit_remaining=None)


@answer()
def rate_stands_still(reply: Reply) -> Reply:
    """X-RateLimit-Remaining never changes."""
    return reply.with_headers(x_ratelimit_remaining="999") if "x-ratelimit-remaining" in reply.headers else reply


@answer()
def reset_in_milliseconds(reply: Reply) -> Reply:
    """X-RateLimit-Reset counts milliseconds."""
    reset = reply.headers.get("x-ratelimit-reset")
    return reply if reset is None else reply.with_headers(x_ratelimit_reset=reset + "000")


@behaviour("getRateLimit")
async def rate_limit_is_counted(ask: Ask, way: Way) -> Reply:
    """A call of getRateLimit is counted."""
    await way.on(Ask("GET", "/v2/upload/multipart", ask.headers))
    return await way.on(ask)


@document("getUpload")
def naive_dates(shown: Any) -> Any:
    """Times have no zone."""
    return {**shown, "initiated": shown["initiated"].rstrip("Z")}


@document("getPartUrl")
def expires_as_number(shown: Any) -> Any:
    """A part URL's expiry is a number."""
    return {**shown, "expires": 1795345200000}


@answer("reportUploadedParts", 200)
def body_where_there_is_none(reply: Reply) -> Reply:
    """A report in bulk is answered with a body, which the document does not have."""
    return reply.with_json({"parts": []})


@document("completeUpload", 201)
def ids_in_capitals(shown: Any) -> Any:
    """A new file's id is in capital letters."""
    return {**shown, "id": shown["id"].upper()}


@answer(status=404)
def token_in_an_error(reply: Reply, ask: Ask) -> Reply:
    """The message of an error quotes the token."""
    return reply.with_json({**reply.json(), "message": f"Nothing for {ask.token}."}) if ask.operation else reply


@answer()
def token_in_a_header(reply: Reply, ask: Ask) -> Reply:
    """Answers return the token."""
    return reply.with_headers(x_debug=f"token={ask.token}")


@document("getFile")
def relative_href(shown: Any) -> Any:
    """The href of a file has no host."""
    return {**shown, "href": f"/v2/files/{shown['id']}"}


@document("getUpload")
def href_of_another(shown: Any) -> Any:
    """The href of an upload leads nowhere."""
    return {**shown, "href": shown["href"] + "x"}


@answer("getUpload", 200)
def byte_order_mark(reply: Reply) -> Reply:
    """JSON begins with a byte order mark."""
    return attrs.evolve(reply, body=b"\xef\xbb\xbf" + reply.body)


@answer()
def limit_counts_down(reply: Reply, ask: Ask) -> Reply:
    """X-RateLimit-Limit falls with every call."""
    left = reply.headers.get("x-ratelimit-remaining")
    return reply if left is None or ask.operation == "getRateLimit" else reply.with_headers(x_ratelimit_limit=left)


@answer(status=200)
def project_of_uploads(reply: Reply, ask: Ask) -> Reply:
    """Started uploads show another project afterwards."""
    return _everywhere(reply, project="somebody/else") if ask.operation in ("getUpload", "listUploads") else reply


@answer()
def parent_of_another(reply: Reply, ask: Ask) -> Reply:
    """Files show another folder."""
    return _everywhere(reply, parent="e" * 24) if ask.operation in ("getFile", "completeUpload") else reply


@answer(status=200)
def folders_are_files(reply: Reply, ask: Ask) -> Reply:
    """In lists every folder is a file."""
    return _everywhere(reply, type="file") if ask.operation in ("listFiles", "listFolder") else reply


@answer()
def times_of_another_zone(reply: Reply, ask: Ask) -> Reply:
    """Times are local and called UTC."""
    if ask.operation in (None, "getPartUrl"):
        return reply
    return attrs.evolve(
        reply, body=re.sub(rb"T(\d\d):", lambda hour: b"T%02d:" % ((int(hour[1]) + 2) % 24), reply.body)
    )


@document("getProject")
def everything_may_be_written(shown: Any) -> Any:
    """A read-only project says that it can be written."""
    return {**shown, "permissions": {**shown["permissions"], "write": True}}


@document("getProject")
def root_folder_of_another(shown: Any) -> Any:
    """The top folder of a project does not exist."""
    return {**shown, "root_folder": "e" * 24}


def _everywhere(reply: Reply, **values: str) -> Reply:
    """The answer with other values, also in its items, for the keys that it has."""
    shown = reply.json()
    changed = [
        {**each, **{key: values[key] for key in values if key in each}} for each in (shown, *shown.get("items", ()))
    ]
    return reply.with_json({**changed[0], **({"items": changed[1:]} if "items" in shown else {})})


@answer(status=200)
def charset_that_lies(reply: Reply, ask: Ask) -> Reply:
    """JSON in UTF-8 claims to be Latin-1."""
    return reply.with_headers(content_type="application/json; charset=iso-8859-1") if ask.operation else reply


@answer(status=200)
def json_by_accept(reply: Reply, ask: Ask) -> Reply:
    """Only a request that accepts JSON in so many words is answered with it."""
    if ask.operation and reply.body and "json" not in ask.headers.get("accept", ""):
        return Reply(200, {**reply.headers, "content-type": "application/xml"}, b"<rate/>")
    return reply


@behaviour()
async def count_stands_in_a_moving_window(ask: Ask, way: Way) -> Reply:
    """X-RateLimit-Remaining never falls, and X-RateLimit-Reset moves with every call."""
    reply = await way.on(ask)
    if "x-ratelimit-reset" not in reply.headers or ask.operation == "getRateLimit":
        return reply
    way.memory["calls"] = way.memory.get("calls", 0) + 1
    reset = int(reply.headers["x-ratelimit-reset"]) + way.memory["calls"]
    return reply.with_headers(x_ratelimit_remaining="999", x_ratelimit_limit="1000", x_ratelimit_reset=str(reset))


@document("startUpload", 400)
def code_of_another_call(shown: Any) -> Any:
    """A bad start has the code of a bad report."""
    return {**shown, "code": 8014}


@document("getFile", 404)
def code_of_another_area(shown: Any) -> Any:
    """An unknown file has the code of an unknown upload."""
    return {**shown, "code": 8003}


@document("editFiles")
def code_in_an_outcome(shown: Any) -> Any:
    """The error of one edit among others has the code of another status."""
    return {"items": [{"error": {**i["error"], "code": 8013}} if "error" in i else i for i in shown["items"]]}


@behaviour("getUpload")
async def href_of_the_one_before(ask: Ask, way: Way) -> Reply:
    """The href of an upload leads to the one that was shown before."""
    reply = await way.on(ask)
    if reply.status != 200:
        return reply
    before, way.memory["href"] = way.memory.get("href"), reply.json()["href"]
    return reply.with_json({**reply.json(), "href": before or reply.json()["href"]})


@document("completeUpload", 201)
def href_of_nothing(shown: Any) -> Any:
    """The href of a completed file leads nowhere."""
    return {**shown, "href": shown["href"].replace("/files/", "/file/")}


@document("completeUpload", 201)
def modified_long_ago(shown: Any) -> Any:
    """A completed file was modified before it was created."""
    return {**shown, "modified_on": "2016-06-30T00:00:00Z"}


@document("startUpload")
def sizes_wrap(shown: Any) -> Any:
    """The size of a started upload is shown in 31 bits."""
    return {**shown, "size": shown["size"] % 2**31} if "size" in shown else shown
