"""Queries: doubled keys, odd booleans and numbers, keys that nobody declared."""

from urllib.parse import quote

from tests.contract.requests.client import Claim, RawClient, claim

CLAIMS: list[Claim] = []
ODD_BOOLEANS = ("yes", "1", "on", "0", "no", "off", "", "truee", "null", "%00", "true%20", "%20true", "t", "[]")
ODD_NUMBERS = (
    "", "one", "1.5", "1e1", "+1", "0x10", "%00", "NaN", "9" * 30, "-9223372036854775809", "1%20", "%D9%A3",
    "2147483648",
)  # fmt: skip


@claim(CLAIMS)
def odd_booleans(raw: RawClient) -> None:
    """`true` and `false` in any case are booleans; `yes`, `1`, `on` and nothing are not."""
    upload = raw.known.start()
    path = f"/upload/multipart/{upload.id}?list_parts="
    for spelling in ("true", "True", "TRUE", "false", "False", "FALSE"):
        answer = raw.api.send("GET", path + spelling).expect(200)
        if ("parts" in answer.json()) != (spelling.lower() == "true"):
            raise answer.broken("boolean", f"list_parts={spelling} was read the other way")
    answer = raw.api.call("getUpload", upload_id=upload.id).expect(200)
    if "parts" in answer.json():
        raise answer.broken("boolean", "parts are listed that nobody asked for")
    raw.refuse("GET", [path + odd for odd in ODD_BOOLEANS], 400)
    body = {"project": raw.target.project, "name": raw.known.next_name(), "size": 1}
    raw.refuse("POST", [f"/upload/multipart?overwrite={odd}" for odd in ODD_BOOLEANS], 400, json_body=body)


@claim(CLAIMS)
def overwrite_spellings(raw: RawClient) -> None:
    """`overwrite` lets a name be taken again, in each spelling that real clients send; `FALSE` does not."""
    file = raw.known.complete(5)
    body = {"project": raw.target.project, "name": file["name"], "size": 5}
    for spelling in ("true", "True", "TRUE"):
        raw.api.send("POST", f"/upload/multipart?overwrite={spelling}", json_body=body).expect(200)
    for spelling in ("false", "False", "FALSE"):
        raw.api.send("POST", f"/upload/multipart?overwrite={spelling}", json_body=body).expect(409)


@claim(CLAIMS)
def odd_numbers(raw: RawClient) -> None:
    """`limit` and `offset` are whole numbers within their bounds."""
    for name, bounds in (("limit", ("0", "-1", "101")), ("offset", ("-1",))):
        for odd in (*ODD_NUMBERS, *bounds):
            raw.refuse("GET", [f"/upload/multipart?{name}={odd}"], 400)
            raw.refuse("GET", [f"/files?project={quote(raw.target.project)}&{name}={odd}"], 400)
    for good in ("limit=1", "limit=100", "offset=0", "offset=2147483647"):
        raw.api.send("GET", f"/upload/multipart?{good}").expect(200)


@claim(CLAIMS, own=True)
def doubled_keys(raw: RawClient) -> None:
    """A key given twice is refused, if it is not repeatable: taking the first or the last would be a guess."""
    upload = raw.known.start()
    project = quote(raw.target.project)
    raw.refuse("GET", [
        "/upload/multipart?limit=1&limit=2",
        "/upload/multipart?offset=0&offset=0",
        f"/upload/multipart/{upload.id}?list_parts=true&list_parts=false",
        f"/files?project={project}&project={project}",
    ], 400)  # fmt: skip


@claim(CLAIMS)
def names_or(raw: RawClient) -> None:
    """`name` is repeatable: files that have any of the names are listed."""
    folder = raw.known.new_folder()
    for name in ("a", "b", "c"):
        raw.api.call("createFolder", body={"parent": folder, "name": name, "type": "folder"}).expect(200, 201)
    answer = raw.api.send("GET", f"/files?parent={folder}&name=c&name=a&name=x").expect(200)
    found = {item["name"] for item in answer.json()["items"]}
    if found != {"a", "c"}:
        raise answer.broken("names_or", f"of the names a and c, {sorted(found)} were listed")


@claim(CLAIMS)
def undeclared_keys(raw: RawClient) -> None:
    """Keys that the document does not have are passed over: clients send `fields=_all` with every call."""
    upload = raw.known.start()
    for path in ("/upload/multipart", f"/upload/multipart/{upload.id}", "/rate_limit"):
        raw.api.send("GET", f"{path}?fields=_all&x=1&x=2&y").expect(200)


@claim(CLAIMS)
def one_place(raw: RawClient) -> None:
    """Files are listed in exactly one place: a project or a folder, not both, not neither."""
    folder, project = raw.known.folder(), quote(raw.target.project)
    raw.refuse("GET", ["/files", "/files?name=x", f"/files?project={project}&parent={folder}"], 400)
    raw.api.send("GET", f"/files?project={project}").expect(200)
    raw.api.send("GET", f"/files?parent={folder}").expect(200)


@claim(CLAIMS)
def odd_projects(raw: RawClient) -> None:
    """A project is written owner/name, and only that."""
    odd = ("x", "/", "a/", "/b", "a/b/c", "", "%2F", "a%20b/c", "a/b%0A")
    raw.refuse("GET", [f"/files?project={each}" for each in odd], 400, 404)
    for each in ("x", "/", "a/b/c", "", None, 7, ["a/b"]):
        body = {"project": each, "name": raw.known.next_name(), "size": 1}
        raw.api.call("startUpload", body=body).expect(400)


@claim(CLAIMS)
def odd_encodings(raw: RawClient) -> None:
    """Bytes that are no UTF-8, NUL and broken percent signs in a query are refused or passed over, never a failure."""
    for odd in ("%ff", "%c3%28", "%00", "%", "%zz", "%u0041", "%ed%a0%80", "a" * 4000):
        raw.api.send("GET", f"/files?project={quote(raw.target.project)}&name={odd}").expect(200, 400)
        raw.api.send("GET", f"/rate_limit?{odd}={odd}").expect(200, 400)
