"""Answers of the wrong shape: status, type, keys, error bodies, headers."""

from tests.contract.mutants.proxy import Ask, Reply, Way, answer, behaviour


@answer("completeUpload", 201)
def undeclared_status(reply: Reply) -> Reply:
    """Completing answers 202."""
    return Reply(202, reply.headers, reply.body)


@answer(status=400)
def extra_error_status(reply: Reply, ask: Ask) -> Reply:
    """A bad body is answered 422, as frameworks do."""
    return Reply(422, reply.headers, reply.body) if ask.method == "POST" else reply


@answer("getUpload", 200)
def missing_key(reply: Reply) -> Reply:
    """An upload's details lack uploaded_parts_count."""
    return reply.with_json({key: value for key, value in reply.json().items() if key != "uploaded_parts_count"})


@answer("startUpload", 200)
def renamed_key(reply: Reply) -> Reply:
    """A started upload has its id under another name."""
    return reply.with_json({key.replace("upload_id", "uploadId"): value for key, value in reply.json().items()})


@answer("startUpload", 200)
def wrong_type(reply: Reply) -> Reply:
    """The part size of a started upload is a string."""
    document = reply.json()
    return reply.with_json({**document, "part_size": str(document["part_size"])})


@answer("getUpload", 200)
def null_for_a_list(reply: Reply) -> Reply:
    """An upload without parts lists null instead of an empty list."""
    if reply.json().get("parts") == []:
        return reply.with_json({**reply.json(), "parts": None})
    return reply


@answer("listFiles")
def wrong_content_type(reply: Reply) -> Reply:
    """Lists of files say that they are plain text."""
    return reply.with_headers(content_type="text/plain")


@answer(status=404)
def html_errors(reply: Reply) -> Reply:
    """What is not found is told in HTML."""
    return Reply(404, {**reply.headers, "content-type": "text/html"}, b"<html><body>Not found</body></html>")


@answer(status=404)
def error_status_lies(reply: Reply, ask: Ask) -> Reply:
    """The body of a 404 says 400."""
    return reply.with_json({**reply.json(), "status": 400}) if ask.operation else reply


@answer(status=409)
def unknown_code(reply: Reply) -> Reply:
    """Conflicts have a code that is in no table."""
    return reply.with_json({**reply.json(), "code": 9999})


@answer("getUpload", 404)
def code_of_another_status(reply: Reply) -> Reply:
    """An unknown upload has the code of a bad request."""
    return reply.with_json({**reply.json(), "code": 8013})


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


@behaviour
async def rate_limit_is_counted(ask: Ask, way: Way) -> Reply:
    """Asking for the rate limit costs a call."""
    if ask.operation == "getRateLimit":
        await way.on(Ask("GET", "/v2/upload/multipart", ask.headers))
    return await way.on(ask)


@answer("getUpload", 200)
def naive_dates(reply: Reply) -> Reply:
    """Times have no zone."""
    document = reply.json()
    return reply.with_json({**document, "initiated": document["initiated"].rstrip("Z")})


@answer("getPartUrl", 200)
def expires_as_number(reply: Reply) -> Reply:
    """A part URL's expiry is a number."""
    return reply.with_json({**reply.json(), "expires": 1795345200000})


@answer("reportUploadedParts", 200)
def body_where_there_is_none(reply: Reply) -> Reply:
    """A report in bulk is answered with a body, which the document does not have."""
    return reply.with_json({"parts": []})


@answer("completeUpload", 201)
def ids_in_capitals(reply: Reply) -> Reply:
    """A new file's id is in capital letters."""
    return reply.with_json({**reply.json(), "id": reply.json()["id"].upper()})


@answer(status=404)
def token_in_an_error(reply: Reply, ask: Ask) -> Reply:
    """The message of an error quotes the token."""
    if ask.operation:
        return reply.with_json({**reply.json(), "message": f"Nothing for {ask.token}."})
    return reply


@behaviour
async def token_in_a_header(ask: Ask, way: Way) -> Reply:
    """Answers send the token back."""
    return (await way.on(ask)).with_headers(x_debug=f"token={ask.token}")


@answer("getFile", 200)
def relative_href(reply: Reply) -> Reply:
    """The href of a file has no host."""
    return reply.with_json({**reply.json(), "href": f"/v2/files/{reply.json()['id']}"})


@answer("getUpload", 200)
def href_of_another(reply: Reply) -> Reply:
    """The href of an upload leads nowhere."""
    document = reply.json()
    return reply.with_json({**document, "href": document["href"] + "x"})
