"""Answers of the wrong shape: status, type, keys, error bodies, headers."""

from tests.contract.mutants.proxy import Ask, Defect, Reply, Way, defect

DEFECTS: dict[str, Defect] = {}


@defect(DEFECTS)
async def undeclared_status(ask: Ask, way: Way) -> Reply:
    """Completing answers 202."""
    reply = await way.on(ask)
    if ask.operation == "completeUpload" and reply.status == 201:
        return Reply(202, reply.headers, reply.body)
    return reply


@defect(DEFECTS)
async def extra_error_status(ask: Ask, way: Way) -> Reply:
    """A bad body is answered 422, as frameworks do."""
    reply = await way.on(ask)
    return Reply(422, reply.headers, reply.body) if reply.status == 400 and ask.method == "POST" else reply


@defect(DEFECTS)
async def missing_key(ask: Ask, way: Way) -> Reply:
    """An upload's details lack uploaded_parts_count."""
    reply = await way.on(ask)
    if ask.operation == "getUpload" and reply.status == 200:
        return reply.with_json({key: value for key, value in reply.json().items() if key != "uploaded_parts_count"})
    return reply


@defect(DEFECTS)
async def renamed_key(ask: Ask, way: Way) -> Reply:
    """A started upload has its id under another name."""
    reply = await way.on(ask)
    if ask.operation == "startUpload" and reply.status == 200:
        return reply.with_json({key.replace("upload_id", "uploadId"): value for key, value in reply.json().items()})
    return reply


@defect(DEFECTS)
async def wrong_type(ask: Ask, way: Way) -> Reply:
    """The part size of a started upload is a string."""
    reply = await way.on(ask)
    if ask.operation == "startUpload" and reply.status == 200:
        document = reply.json()
        return reply.with_json({**document, "part_size": str(document["part_size"])})
    return reply


@defect(DEFECTS)
async def null_for_a_list(ask: Ask, way: Way) -> Reply:
    """An upload without parts lists null instead of an empty list."""
    reply = await way.on(ask)
    if ask.operation == "getUpload" and reply.status == 200 and reply.json().get("parts") == []:
        return reply.with_json({**reply.json(), "parts": None})
    return reply


@defect(DEFECTS)
async def wrong_content_type(ask: Ask, way: Way) -> Reply:
    """Lists of files say that they are plain text."""
    reply = await way.on(ask)
    return reply.with_headers(content_type="text/plain") if ask.operation == "listFiles" else reply


@defect(DEFECTS)
async def html_errors(ask: Ask, way: Way) -> Reply:
    """What is not found is told in HTML."""
    reply = await way.on(ask)
    if reply.status == 404:
        return Reply(404, {**reply.headers, "content-type": "text/html"}, b"<html><body>Not found</body></html>")
    return reply


@defect(DEFECTS)
async def error_status_lies(ask: Ask, way: Way) -> Reply:
    """The body of a 404 says 400."""
    reply = await way.on(ask)
    return reply.with_json({**reply.json(), "status": 400}) if reply.status == 404 and ask.operation else reply


@defect(DEFECTS)
async def unknown_code(ask: Ask, way: Way) -> Reply:
    """Conflicts have a code that is in no table."""
    reply = await way.on(ask)
    return reply.with_json({**reply.json(), "code": 9999}) if reply.status == 409 else reply


@defect(DEFECTS)
async def code_of_another_status(ask: Ask, way: Way) -> Reply:
    """An unknown upload has the code of a bad request."""
    reply = await way.on(ask)
    if reply.status == 404 and ask.operation == "getUpload":
        return reply.with_json({**reply.json(), "code": 8013})
    return reply


@defect(DEFECTS)
async def missing_rate_header(ask: Ask, way: Way) -> Reply:
    """Part URLs come without X-RateLimit-Remaining."""
    reply = await way.on(ask)
    return reply.with_headers(x_ratelimit_remaining=None) if ask.operation == "getPartUrl" else reply


@defect(DEFECTS)
async def rate_stands_still(ask: Ask, way: Way) -> Reply:
    """X-RateLimit-Remaining never changes."""
    reply = await way.on(ask)
    return reply.with_headers(x_ratelimit_remaining="999") if "x-ratelimit-remaining" in reply.headers else reply


@defect(DEFECTS)
async def reset_in_milliseconds(ask: Ask, way: Way) -> Reply:
    """X-RateLimit-Reset counts milliseconds."""
    reply = await way.on(ask)
    reset = reply.headers.get("x-ratelimit-reset")
    return reply if reset is None else reply.with_headers(x_ratelimit_reset=reset + "000")


@defect(DEFECTS)
async def rate_limit_is_counted(ask: Ask, way: Way) -> Reply:
    """Asking for the rate limit costs a call."""
    if ask.operation == "getRateLimit":
        await way.on(Ask("GET", "/v2/upload/multipart", ask.headers))
    return await way.on(ask)


@defect(DEFECTS)
async def naive_dates(ask: Ask, way: Way) -> Reply:
    """Times have no zone."""
    reply = await way.on(ask)
    if ask.operation == "getUpload" and reply.status == 200:
        document = reply.json()
        return reply.with_json({**document, "initiated": document["initiated"].rstrip("Z")})
    return reply


@defect(DEFECTS)
async def expires_as_number(ask: Ask, way: Way) -> Reply:
    """A part URL's expiry is a number."""
    reply = await way.on(ask)
    if ask.operation == "getPartUrl" and reply.status == 200:
        return reply.with_json({**reply.json(), "expires": 1795345200000})
    return reply


@defect(DEFECTS)
async def body_where_there_is_none(ask: Ask, way: Way) -> Reply:
    """A report in bulk is answered with a body, which the document does not have."""
    reply = await way.on(ask)
    if ask.operation == "reportUploadedParts" and reply.status == 200:
        return reply.with_json({"parts": []})
    return reply


@defect(DEFECTS)
async def ids_in_capitals(ask: Ask, way: Way) -> Reply:
    """A new file's id is in capital letters."""
    reply = await way.on(ask)
    if ask.operation == "completeUpload" and reply.status == 201:
        return reply.with_json({**reply.json(), "id": reply.json()["id"].upper()})
    return reply


@defect(DEFECTS)
async def token_in_an_error(ask: Ask, way: Way) -> Reply:
    """The message of an error quotes the token."""
    reply = await way.on(ask)
    if reply.status == 404 and ask.operation:
        return reply.with_json({**reply.json(), "message": f"Nothing for {ask.token}."})
    return reply


@defect(DEFECTS)
async def token_in_a_header(ask: Ask, way: Way) -> Reply:
    """Answers send the token back."""
    return (await way.on(ask)).with_headers(x_debug=f"token={ask.token}")


@defect(DEFECTS)
async def relative_href(ask: Ask, way: Way) -> Reply:
    """The href of a file has no host."""
    reply = await way.on(ask)
    if ask.operation == "getFile" and reply.status == 200:
        return reply.with_json({**reply.json(), "href": f"/v2/files/{reply.json()['id']}"})
    return reply


@defect(DEFECTS)
async def href_of_another(ask: Ask, way: Way) -> Reply:
    """The href of an upload leads nowhere."""
    reply = await way.on(ask)
    if ask.operation == "getUpload" and reply.status == 200:
        document = reply.json()
        return reply.with_json({**document, "href": document["href"] + "x"})
    return reply
