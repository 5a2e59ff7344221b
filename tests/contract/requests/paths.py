"""Paths: a generator leaves out `..`, empty segments and encoded slashes, or a client tidies them up."""

from tests.contract import codes, document, rules
from tests.contract.answer import TOKEN_HEADER
from tests.contract.requests.client import Claim, RawClient, claim

CLAIMS: list[Claim] = []
ODD_SEGMENTS = (
    "..", ".", "%2e%2e", "%2E", "%2F", "..%2F..", "a%2Fb", "%00", "%0d%0a", "%", "%zz", "%ff", "{upload_id}", "~",
    "%20", "*",
)  # fmt: skip
ODD_PART_NUMBERS = (
    "0", "-1", "00", "1.0", "1e0", "+1", "0x1", "1_0", "%31%00", "10001", "2147483648", "9" * 40, "NaN", "%D9%A1",
    "1%20", "one", "1,2", "1;2",
)  # fmt: skip


@claim(CLAIMS)
def odd_ids(raw: RawClient) -> None:
    """An odd upload id is refused, whichever way it is written, and leads to no other resource."""
    for segment in ODD_SEGMENTS:
        raw.refuse("GET", [f"/upload/multipart/{segment}", f"/upload/multipart/{segment}/part/1"], 400, 404)
        raw.refuse("DELETE", [f"/upload/multipart/{segment}"], 400, 404)
        raw.refuse("GET", [f"/files/{segment}", f"/files/{segment}/list", f"/files/{segment}/download_info"], 400, 404)


@claim(CLAIMS)
def empty_ids(raw: RawClient) -> None:
    """An empty id is not the list of all: it is refused."""
    raw.known.start()
    raw.refuse("GET", ["/upload/multipart/", "/upload/multipart//part/1", "/files/", "/files//list", "/projects//x"])
    raw.refuse("GET", ["/files//download_info", "/projects/x/", "/upload//multipart", "//upload/multipart"])
    raw.refuse("DELETE", ["/upload/multipart/", "/files/", "/upload/multipart//"])
    raw.refuse("POST", ["/upload/multipart//part", "/upload/multipart//complete"], json_body={})


@claim(CLAIMS)
def climbing_paths(raw: RawClient) -> None:
    """No path climbs out of its resource: `..` is a name like any other, and never a step up."""
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


@claim(CLAIMS)
def encoded_ids(raw: RawClient) -> None:
    """A percent-encoded character stands for itself: an id written so is still the same id."""
    upload = raw.known.start()
    first, rest = upload.id[0], upload.id[1:]
    answer = raw.api.send("GET", f"/upload/multipart/%{ord(first):02X}{rest}").expect(200)
    if answer.json()["upload_id"] != upload.id:
        raise answer.broken("same_upload", "another upload is shown")


@claim(CLAIMS)
def part_numbers(raw: RawClient) -> None:
    """A part number is a whole number from 1 to the last part, and nothing that merely looks like one."""
    upload = raw.known.start()
    for number in ODD_PART_NUMBERS:
        answer = raw.api.send("GET", f"/upload/multipart/{upload.id}/part/{number}").expect(400, 404)
        if answer.status == 400 and answer.code not in codes.BAD_PART_NUMBER:
            raise answer.broken("error_code", f"code {answer.code} for a bad part number")
    beyond = raw.api.call("getPartUrl", upload_id=upload.id, part_number=upload.count + 1)
    beyond.expect(400, check="part_beyond")


@claim(CLAIMS)
def trailing_slash(raw: RawClient) -> None:
    """A report is taken at `part` and at `part/`, because real clients send either."""
    upload = raw.known.start()
    raw.known.put(upload, 1)
    for path in ("part", "part/"):
        answer = raw.api.send("POST", f"/upload/multipart/{upload.id}/{path}", json_body=upload.report(1))
        if answer.status != 200:
            raise answer.broken("trailing_slash", "200 is right with and without the slash")


@claim(CLAIMS)
def unknown_paths(raw: RawClient) -> None:
    """A path that the document does not know is not found."""
    upload = raw.known.start()
    raw.refuse(
        "GET", ["/", "/upload", "/uploads", "/Upload/multipart", "/upload/multipartx", "/rate_limit/x"], 401, 404
    )
    raw.refuse("GET", [f"/upload/multipart/{upload.id}/parts", f"/upload/multipart/{upload.id}/part/1/x"], 401, 404)


@claim(CLAIMS)
def other_methods(raw: RawClient) -> None:
    """A method that a path does not have is refused with 405 and `Allow`, on what is there and on what is not."""
    upload, file, folder = raw.known.start(), raw.known.file(), raw.known.folder()
    owner, _, name = raw.target.project.partition("/")
    filled = {"upload_id": upload.id, "part_number": 1, "project_owner": owner, "project_name": name}
    for operation in document.operations().values():
        path = operation.url(**filled, file_id=folder if operation.id == "listFolder" else file)
        declared = document.methods_of(path)
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - declared:
            answer = raw.api.send(method, path)
            if broken := rules.other_method(answer):
                raise answer.broken(*broken)


@claim(CLAIMS)
def every_error_is_json(raw: RawClient) -> None:
    """An error is the platform's JSON off the document's paths too, and without a token."""
    raw.api.send("GET", "/nothing").expect(401, 404)
    answer = raw.api.send("GET", "/nothing", token="", headers={"Accept": "text/html"}).expect(401, 404)
    if TOKEN_HEADER.lower() in answer.headers:
        raise answer.broken("token_in_answer", "an answer has no token header")
