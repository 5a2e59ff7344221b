"""Paths and queries: what a generator leaves out or a client tidies up, doubled keys, odd booleans and numbers."""

import contextlib
from urllib.parse import quote

from tests.contract import document, rules
from tests.contract.answer import TOKEN_HEADER
from tests.contract.requests.client import RawClient, claim, valid_request

ODD_SEGMENTS = (
    "..", ".", "%2e%2e", "%2E", "%2F", "..%2F..", "a%2Fb", "%00", "%0d%0a", "%", "%zz", "%ff", "{upload_id}", "~",
    "%20", "*",
)  # fmt: skip
ODD_PART_NUMBERS = (
    "0", "-1", "00", "1.0", "1e0", "+1", "0x1", "1_0", "%31%00", "10001", "2147483648", "9" * 40, "NaN", "%D9%A1",
    "1%20", "one", "1,2", "1;2",
)  # fmt: skip


@claim()
def odd_ids(raw: RawClient) -> None:
    """An odd upload id is refused in any encoding and leads to no other resource."""
    for segment in ODD_SEGMENTS:
        raw.refuse("GET", [f"/upload/multipart/{segment}", f"/upload/multipart/{segment}/part/1"], 400, 404)
        raw.refuse("DELETE", [f"/upload/multipart/{segment}"], 400, 404)
        raw.refuse("GET", [f"/files/{segment}", f"/files/{segment}/list", f"/files/{segment}/download_info"], 400, 404)


@claim()
def empty_ids(raw: RawClient) -> None:
    """An empty id is refused; it is not the list of all."""
    raw.known.start()
    raw.refuse("GET", ["/upload/multipart/", "/upload/multipart//part/1", "/files/", "/files//list", "/projects//x"])
    raw.refuse("GET", ["/files//download_info", "/projects/x/", "/upload//multipart", "//upload/multipart"])
    raw.refuse("DELETE", ["/upload/multipart/", "/files/", "/upload/multipart//"])
    raw.refuse("POST", ["/upload/multipart//part", "/upload/multipart//complete"], json_body={})


@claim()
def climbing_paths(raw: RawClient) -> None:
    """No path leaves its resource: `..` is a name like any other, not a step up."""
    upload = raw.known.start()
    raw.refuse("GET", [
        f"/upload/multipart/x/../{upload.id}",
        f"/upload/multipart/{upload.id}/part/../../{upload.id}",
        f"/upload/../upload/multipart/{upload.id}",
        f"/./upload/multipart/{upload.id}",
        f"/upload/multipart/{upload.id}/.",
        f"/upload/multipart/{upload.id}/..",
        f"/upload/multipart%2F{upload.id}",
        f"/upload%2Fmultipart/{upload.id}",
    ])  # fmt: skip


@claim()
def encoded_ids(raw: RawClient) -> None:
    """An id with a percent-encoded character is the same id."""
    upload = raw.known.start()
    first, rest = upload.id[0], upload.id[1:]
    answer = raw.api.send("GET", f"/upload/multipart/%{ord(first):02X}{rest}").expect(200)
    if answer.json()["upload_id"] != upload.id:
        raise answer.broken("same_upload", "the answer shows another upload")


@claim()
def part_numbers(raw: RawClient) -> None:
    """A part number is an integer from 1 to the last part; whatever only looks like one is refused."""
    upload = raw.known.start()
    for number in ODD_PART_NUMBERS:
        answer = raw.api.send("GET", f"/upload/multipart/{upload.id}/part/{number}").expect(400, 404)
        if answer.status == 400 and answer.code not in rules.BAD_PART_NUMBER:
            raise answer.broken("error_code", f"code {answer.code} is not that of a bad part number")
    beyond = raw.api.call("getPartUrl", upload_id=upload.id, part_number=upload.count + 1)
    beyond.expect(400, check="part_beyond")


@claim()
def trailing_slash(raw: RawClient) -> None:
    """A report is accepted at `part` and at `part/`, because real clients send either."""
    upload = raw.known.start()
    raw.known.put(upload, 1)
    for path in ("part", "part/"):
        answer = raw.api.send("POST", f"/upload/multipart/{upload.id}/{path}", json_body=upload.report(1))
        if answer.status != 200:
            raise answer.broken("trailing_slash", "expected 200 with and without the slash")


@claim()
def unknown_paths(raw: RawClient) -> None:
    """A path that the document does not have is not found."""
    upload = raw.known.start()
    raw.refuse(
        "GET", ["/", "/upload", "/uploads", "/Upload/multipart", "/upload/multipartx", "/rate_limit/x"], 401, 404
    )
    raw.refuse("GET", [f"/upload/multipart/{upload.id}/parts", f"/upload/multipart/{upload.id}/part/1/x"], 401, 404)


@claim()
def other_methods(raw: RawClient) -> None:
    """A method that a path does not have is refused with 405 and `Allow`."""
    for operation in document.operations().values():
        path = valid_request(raw, operation)["target"].partition("?")[0]
        declared = document.methods_of(path)
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - declared:
            answer = raw.api.send(method, path)
            if broken := rules.other_method(answer):
                raise answer.broken(*broken)


@claim()
def methods_without_effect(raw: RawClient) -> None:
    """HEAD and OPTIONS change nothing and do not make a server fail, whether it knows them or not."""
    upload = raw.known.start()
    quiet = raw.target.api(judge=False, trace=raw.api.trace)  # no rule is for an answer without its body
    with contextlib.closing(quiet):
        for method in ("HEAD", "OPTIONS"):
            answer = quiet.send(method, f"/upload/multipart/{upload.id}")
            failed = answer.status >= 500 and answer.status != 501  # not implemented
            if failed and (raw.target.own or not answer.by_gateway):
                raise answer.broken("other_method", f"{method} makes the server fail")
    raw.api.call("getUpload", upload_id=upload.id).expect(200)


@claim()
def every_error_is_json(raw: RawClient) -> None:
    """An error has the platform's JSON on any path, and without a token."""
    raw.api.send("GET", "/nothing").expect(401, 404)
    answer = raw.api.send("GET", "/nothing", token="", headers={"Accept": "text/html"}).expect(401, 404)
    if TOKEN_HEADER.lower() in answer.headers:
        raise answer.broken("token_in_answer", "an answer must not have a token header")


ODD_BOOLEANS = ("yes", "1", "on", "0", "no", "off", "", "truee", "null", "%00", "true%20", "%20true", "t", "[]")
ODD_NUMBERS = (
    "", "one", "1.5", "1e1", "+1", "0x10", "%00", "NaN", "9" * 30, "-9223372036854775809", "1%20", "%D9%A3",
    "2147483648",
)  # fmt: skip


@claim()
def odd_booleans(raw: RawClient) -> None:
    """`true` and `false` are booleans in any case; `yes`, `1`, `on` and an empty value are not."""
    upload = raw.known.start()
    path = f"/upload/multipart/{upload.id}?list_parts="
    for spelling in ("true", "True", "TRUE", "false", "False", "FALSE"):
        answer = raw.api.send("GET", path + spelling).expect(200)
        if ("parts" in answer.json()) != (spelling.lower() == "true"):
            raise answer.broken("boolean", f"list_parts={spelling} was read as its opposite")
    answer = raw.api.call("getUpload", upload_id=upload.id).expect(200)
    if "parts" in answer.json():
        raise answer.broken("boolean", "parts are listed without list_parts")
    raw.refuse("GET", [path + odd for odd in ODD_BOOLEANS], 400)
    body = raw.body(size=1)
    raw.refuse("POST", [f"/upload/multipart?overwrite={odd}" for odd in ODD_BOOLEANS], 400, json_body=body)


@claim()
def overwrite_spellings(raw: RawClient) -> None:
    """`overwrite` permits a name that exists, in each spelling that real clients send; `FALSE` does not."""
    file = raw.known.complete(5)
    body = raw.body(name=file["name"], size=5)
    for spelling in ("true", "True", "TRUE"):
        raw.api.send("POST", f"/upload/multipart?overwrite={spelling}", json_body=body).expect(200)
    for spelling in ("false", "False", "FALSE"):
        raw.api.send("POST", f"/upload/multipart?overwrite={spelling}", json_body=body).expect(409)


@claim()
def odd_numbers(raw: RawClient) -> None:
    """`limit` and `offset` are integers within their limits."""
    for name, bounds in (("limit", ("0", "-1", "101")), ("offset", ("-1",))):
        for odd in (*ODD_NUMBERS, *bounds):
            raw.refuse("GET", [f"/upload/multipart?{name}={odd}"], 400)
            raw.refuse("GET", [f"/files?project={quote(raw.target.project)}&{name}={odd}"], 400)
    for good in ("limit=1", "limit=100", "offset=0", "offset=2147483647"):
        raw.api.send("GET", f"/upload/multipart?{good}").expect(200)


@claim(own=True)
def doubled_keys(raw: RawClient) -> None:
    """A key that is given twice and is not repeatable is refused: to use one of the values would be a guess."""
    upload = raw.known.start()
    project = quote(raw.target.project)
    raw.refuse("GET", [
        "/upload/multipart?limit=1&limit=2",
        "/upload/multipart?offset=0&offset=0",
        f"/upload/multipart/{upload.id}?list_parts=true&list_parts=false",
        f"/files?project={project}&project={project}",
    ], 400)  # fmt: skip


@claim()
def names_or(raw: RawClient) -> None:
    """`name` is repeatable: files with any of the names are listed."""
    folder = raw.known.new_folder()
    for name in ("a", "b", "c"):
        raw.known.new_folder(folder, name)
    answer = raw.api.send("GET", f"/files?parent={folder}&name=c&name=a&name=x").expect(200)
    found = {item["name"] for item in answer.json()["items"]}
    if found != {"a", "c"}:
        raise answer.broken("names_or", f"{sorted(found)} are listed for the names a and c")


@claim(own=True)
def names_in_another_case(raw: RawClient) -> None:
    """A name in another case is another name."""
    folder = raw.known.new_folder()
    for name in ("a", "A"):
        raw.known.new_folder(folder, name)
        answer = raw.api.call("listFiles", query={"parent": folder, "name": name}).expect(200)
        if [item["name"] for item in answer.json()["items"]] != [name]:
            raise answer.broken("filter_by_name", f"expected only the folder {name}")
    file = raw.known.complete(5)
    raw.api.call("startUpload", body=raw.body(name=file["name"].swapcase(), size=5)).expect(200)


@claim()
def undeclared_keys(raw: RawClient) -> None:
    """Keys that the document does not have are ignored: clients send `fields=_all` with every call."""
    for operation in document.operations().values():
        request = valid_request(raw, operation)
        request["target"] += ("&" if "?" in request["target"] else "?") + "fields=_all&x=1&x=2&y"
        raw.api.send(**request).expect(200, 201, 204, 409)


@claim()
def one_place(raw: RawClient) -> None:
    """A list of files needs a project or a folder; both and neither are refused."""
    folder, project = raw.known.folder(), quote(raw.target.project)
    raw.refuse("GET", ["/files", "/files?name=x", f"/files?project={project}&parent={folder}"], 400)
    raw.api.send("GET", f"/files?project={project}").expect(200)
    raw.api.send("GET", f"/files?parent={folder}").expect(200)


@claim()
def odd_projects(raw: RawClient) -> None:
    """A project has the form owner/name; any other is refused."""
    odd = ("x", "/", "a/", "/b", "a/b/c", "", "%2F", "a%20b/c", "a/b%0A")
    raw.refuse("GET", [f"/files?project={each}" for each in odd], 400, 404)
    for each in ("x", "/", "a/b/c", "", None, 7, ["a/b"]):
        body = {**raw.body(size=1), "project": each}
        raw.api.call("startUpload", body=body).expect(400)


@claim()
def odd_encodings(raw: RawClient) -> None:
    """Invalid UTF-8, NUL and broken percent signs in a query are refused or ignored; they do not make a server fail."""
    for odd in ("%ff", "%c3%28", "%00", "%", "%zz", "%u0041", "%ed%a0%80", "a" * 4000):
        raw.api.send("GET", f"/files?project={quote(raw.target.project)}&name={odd}").expect(200, 400)
        raw.api.send("GET", f"/rate_limit?{odd}={odd}").expect(200, 400)
