"""Answers of the wrong shape: status, type, keys, error bodies, headers."""

from typing import Any

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
