"""Queries: doubled keys, odd booleans and numbers, keys that nobody declared."""

from urllib.parse import quote

from tests.contract.raw.bench import Bench, Claim, claim

CLAIMS: list[Claim] = []
ODD_BOOLEANS = ("yes", "1", "on", "0", "no", "off", "", "truee", "null", "%00", "true%20", "%20true", "t", "[]")
ODD_NUMBERS = (
    "", "one", "1.5", "1e1", "+1", "0x10", "%00", "NaN", "9" * 30, "-9223372036854775809", "1%20", "%D9%A3",
    "2147483648",
)  # fmt: skip


@claim(CLAIMS)
def odd_booleans(bench: Bench) -> None:
    """`true` and `false` in any case are booleans; `yes`, `1`, `on` and nothing are not."""
    upload = bench.ledger.start()
    path = f"/upload/multipart/{upload.id}?list_parts="
    for spelling in ("true", "True", "TRUE", "false", "False", "FALSE"):
        answer = bench.wire.send("GET", path + spelling).expect(200)
        if ("parts" in answer.json()) != (spelling.lower() == "true"):
            raise answer.broken("boolean", f"list_parts={spelling} was read the other way")
    answer = bench.wire.call("getUpload", upload_id=upload.id).expect(200)
    if "parts" in answer.json():
        raise answer.broken("boolean", "parts are listed that nobody asked for")
    bench.refuse("GET", [path + odd for odd in ODD_BOOLEANS], 400)
    body = {"project": bench.target.project, "name": bench.ledger.next_name(), "size": 1}
    bench.refuse("POST", [f"/upload/multipart?overwrite={odd}" for odd in ODD_BOOLEANS], 400, json_body=body)


@claim(CLAIMS)
def overwrite_spellings(bench: Bench) -> None:
    """`overwrite` lets a name be taken again, in each spelling that real clients send; `FALSE` does not."""
    file = bench.ledger.complete(5)
    body = {"project": bench.target.project, "name": file["name"], "size": 5}
    for spelling in ("true", "True", "TRUE"):
        bench.wire.send("POST", f"/upload/multipart?overwrite={spelling}", json_body=body).expect(200)
    for spelling in ("false", "False", "FALSE"):
        bench.wire.send("POST", f"/upload/multipart?overwrite={spelling}", json_body=body).expect(409)


@claim(CLAIMS)
def odd_numbers(bench: Bench) -> None:
    """`limit` and `offset` are whole numbers within their bounds."""
    for name, bounds in (("limit", ("0", "-1", "101")), ("offset", ("-1",))):
        for odd in (*ODD_NUMBERS, *bounds):
            bench.refuse("GET", [f"/upload/multipart?{name}={odd}"], 400)
            bench.refuse("GET", [f"/files?project={quote(bench.target.project)}&{name}={odd}"], 400)
    for good in ("limit=1", "limit=100", "offset=0", "offset=2147483647"):
        bench.wire.send("GET", f"/upload/multipart?{good}").expect(200)


@claim(CLAIMS, own=True)
def doubled_keys(bench: Bench) -> None:
    """A key given twice is refused: taking the first or the last would be a guess."""
    upload = bench.ledger.start()
    project = quote(bench.target.project)
    bench.refuse("GET", [
        "/upload/multipart?limit=1&limit=2",
        "/upload/multipart?offset=0&offset=0",
        f"/upload/multipart/{upload.id}?list_parts=true&list_parts=false",
        f"/files?project={project}&name=a&name=b",
        f"/files?project={project}&project={project}",
    ], 400)  # fmt: skip


@claim(CLAIMS)
def undeclared_keys(bench: Bench) -> None:
    """Keys that the document does not have are passed over: clients send `fields=_all` with every call."""
    upload = bench.ledger.start()
    for path in ("/upload/multipart", f"/upload/multipart/{upload.id}", "/rate_limit"):
        bench.wire.send("GET", f"{path}?fields=_all&x=1&x=2&y").expect(200)


@claim(CLAIMS)
def one_place(bench: Bench) -> None:
    """Files are listed in exactly one place: a project or a folder, not both, not neither."""
    folder, project = bench.ledger.folder(), quote(bench.target.project)
    bench.refuse("GET", ["/files", "/files?name=x", f"/files?project={project}&parent={folder}"], 400)
    bench.wire.send("GET", f"/files?project={project}").expect(200)
    bench.wire.send("GET", f"/files?parent={folder}").expect(200)


@claim(CLAIMS)
def odd_projects(bench: Bench) -> None:
    """A project is written owner/name, and only that."""
    odd = ("x", "/", "a/", "/b", "a/b/c", "", "%2F", "a%20b/c", "a/b%0A")
    bench.refuse("GET", [f"/files?project={each}" for each in odd], 400, 404)
    for each in ("x", "/", "a/b/c", "", None, 7, ["a/b"]):
        body = {"project": each, "name": bench.ledger.next_name(), "size": 1}
        bench.wire.call("startUpload", body=body).expect(400)


@claim(CLAIMS)
def odd_encodings(bench: Bench) -> None:
    """Bytes that are no UTF-8, NUL and broken percent signs in a query are refused or passed over, never a failure."""
    for odd in ("%ff", "%c3%28", "%00", "%", "%zz", "%u0041", "%ed%a0%80", "a" * 4000):
        bench.wire.send("GET", f"/files?project={quote(bench.target.project)}&name={odd}").expect(200, 400)
        bench.wire.send("GET", f"/rate_limit?{odd}={odd}").expect(200, 400)
