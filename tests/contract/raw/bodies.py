"""Bodies: what is no JSON, what only looks like it, and what real clients send all the same."""

from typing import Any

from tests.contract import document
from tests.contract.model import looks
from tests.contract.raw.bench import Bench, Claim, claim

CLAIMS: list[Claim] = []
JSON = {"Content-Type": "application/json"}
NOT_JSON = (
    b"", b" ", b"{", b"}", b"[", b"{]", b'{"a":1}x', b"{'a': 1}", b'{"a":NaN}', b'{"a":Infinity}', b"\xff", b"\x00",
    b"nul", b'{"a": "\xed\xa0\x80"}', b'{"a":1,}', b"// x", b"\xef\xbb\xbf{}x", b"[" * 100_000, b'{"parts": [' * 5000,
)  # fmt: skip


def body_operations() -> list[document.Operation]:
    return [operation for operation in document.operations().values() if operation.takes_body]


def _path(bench: Bench, operation: document.Operation) -> str:
    upload = bench.ledger.open_upload()
    return operation.url(upload_id=upload.id)


@claim(CLAIMS)
def broken_json(bench: Bench) -> None:
    """What is not JSON is refused with 400 by every operation that takes a body."""
    for operation in body_operations():
        for data in NOT_JSON:
            if not data and operation.id == "completeUpload":
                continue
            answer = bench.wire.send(operation.method, _path(bench, operation), data=data, headers=JSON)
            answer.expect(400, check="broken_json")


@claim(CLAIMS)
def wrong_shapes(bench: Bench) -> None:
    """JSON that is no object, or one without what is required, is refused with 400."""
    shapes: list[Any] = [[], "x", 1, True, 1.5, [{}], {"parts": {}}, {"parts": None}, {"parts": [1]}, {"parts": [[]]}]
    for operation in body_operations():
        for shape in shapes:
            answer = bench.wire.send(operation.method, _path(bench, operation), json_body=shape)
            answer.expect(400, check="wrong_shape")
        if operation.id != "completeUpload":
            for shape in ({}, None):
                bench.wire.send(operation.method, _path(bench, operation), json_body=shape).expect(400)


@claim(CLAIMS)
def media_types(bench: Bench) -> None:
    """A body whose content type is not JSON is refused with 415; with parameters JSON stays JSON."""
    upload = bench.ledger.start()
    bench.ledger.put(upload, 1)
    for operation in body_operations():
        path = operation.url(upload_id=upload.id)
        for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "text/json", "x"):
            answer = bench.wire.send(operation.method, path, data=b"{}", headers={"Content-Type": kind})
            answer.expect(415, check="unsupported_media_type")
    path = f"/upload/multipart/{upload.id}/part"
    for kind in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON"):
        bench.wire.send("POST", path, json_body=upload.report(1), headers={"Content-Type": kind}).expect(200)


@claim(CLAIMS)
def complete_bodies(bench: Bench) -> None:
    """Every body that real clients complete with is taken: none, `null`, `{}`, an empty list, all parts again."""
    for body in (None, b"", b"null", b"{}", b'{"parts": []}'):
        upload = bench.ledger.start()
        bench.ledger.put_all(upload)
        reports = [upload.report(number) for number in sorted(upload.etags)]
        bench.wire.call("reportUploadedParts", upload_id=upload.id, body={"parts": reports}).expect(200)
        path = f"/upload/multipart/{upload.id}/complete"
        answer = bench.wire.send("POST", path, data=body, headers=JSON if body is not None else None)
        answer.expect(200, 201, check="complete_body")
    upload = bench.ledger.start()
    bench.ledger.put_all(upload)
    reports = [upload.report(number) for number in sorted(upload.etags)]
    for _ in range(2):
        bench.wire.call("reportUploadedParts", upload_id=upload.id, body={"parts": reports}).expect(200)
    bench.wire.call("completeUpload", upload_id=upload.id, body={"parts": reports}).expect(200, 201)


@claim(CLAIMS)
def bodies_nobody_asked_for(bench: Bench) -> None:
    """A body with GET or DELETE does no harm: the vendor's client sends `null` and `{}` there."""
    upload = bench.ledger.start()
    bench.wire.send("GET", f"/upload/multipart/{upload.id}", data=b"null", headers=JSON).expect(200)
    bench.wire.send("GET", "/rate_limit", data=b"null", headers=JSON).expect(200)
    bench.wire.send("DELETE", f"/upload/multipart/{upload.id}", data=b"{}", headers=JSON).expect(204)


@claim(CLAIMS)
def numbers_in_bodies(bench: Bench) -> None:
    """7.0 is a whole number in JSON and 1.5, true, "1" and 1e400 are none."""
    upload = bench.ledger.start()
    bench.ledger.put(upload, 1)
    path = f"/upload/multipart/{upload.id}/part"
    report = '{"part_number": %s, "response": {"headers": {"ETag": "%s"}}}'
    etag = upload.etags[1].strip('"')
    bench.wire.send("POST", path, data=(report % ("1.0", etag)).encode(), headers=JSON).expect(200)
    for odd in ("1.5", "true", '"1"', "1e400", "-1", "0", "10001", "null", "[1]", "9" * 400):
        answer = bench.wire.send("POST", path, data=(report % (odd, etag)).encode(), headers=JSON)
        answer.expect(400, check="part_number")


@claim(CLAIMS)
def destinations(bench: Bench) -> None:
    """An upload and a folder go to exactly one place: `project` and `parent` together, or neither, are refused."""
    folder, project = bench.ledger.folder(), bench.target.project
    for operation, extra in (("startUpload", {"size": 1}), ("createFolder", {"type": "folder"})):
        for place in (
            {},
            {"project": project, "parent": folder},
            {"parent": ""},
            {"parent": "x" * 24},
            {"parent": None},
        ):
            body = {"name": bench.ledger.next_name(), **extra, **place}
            bench.wire.call(operation, body=body).expect(400, check="destination")
        body = {"name": bench.ledger.next_name(), **extra, "parent": bench.ledger.file()}
        bench.wire.call(operation, body=body).expect(400, 404, check="destination")
        body = {"name": bench.ledger.next_name(), **extra, "parent": "f" * 24}
        if bench.target.own:
            bench.wire.call(operation, body=body).expect(404, check="destination")


@claim(CLAIMS)
def etag_quotes(bench: Bench) -> None:
    """An ETag is the same with its quotes and without: real clients send either."""
    for quote in ('"', ""):
        upload = bench.ledger.start()
        bench.ledger.put_all(upload)
        reports = []
        for number in sorted(upload.etags):
            etag = quote + upload.etags[number].strip('"') + quote
            reports.append({"part_number": number, "response": {"headers": {"ETag": etag}}})
        bench.wire.call("completeUpload", upload_id=upload.id, body={"parts": reports}).expect(200, 201)


@claim(CLAIMS, own=True)
def bulk_is_whole_or_nothing(bench: Bench) -> None:
    """Of a list with one bad report none is taken, wherever in it the bad one stands."""
    good = {"part_number": 1, "response": {"headers": {"ETag": "d41d8cd98f00b204e9800998ecf8427e"}}}
    for bad in (
        {"part_number": 0, "response": good["response"]},
        {"part_number": 1},
        {},
        {**good, "part_number": 9999},
    ):
        for parts in ([good, bad], [bad, good]):
            upload = bench.ledger.start()
            bench.wire.call("reportUploadedParts", upload_id=upload.id, body={"parts": parts}).expect(400)
            answer = bench.wire.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
            if answer.json()["uploaded_parts_count"] or answer.json().get("parts"):
                raise answer.broken("bulk_atomic", "a part of a refused list was taken")


@claim(CLAIMS)
def bulk_equals_one_by_one(bench: Bench) -> None:
    """A report in bulk leaves the same behind as the same reports one by one."""
    shown = []
    for bulk in (True, False):
        upload = bench.ledger.start()
        bench.ledger.put_all(upload)
        reports = [upload.report(number) for number in sorted(upload.etags)]
        if bulk:
            bench.wire.call("reportUploadedParts", upload_id=upload.id, body={"parts": reports}).expect(200)
        else:
            for report in reports:
                bench.wire.call("reportUploadedPart", upload_id=upload.id, body=report).expect(200)
        answer = bench.wire.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
        document = answer.json()
        shown.append(
            (document["uploaded_parts_count"], sorted(document["parts"], key=lambda part: part["part_number"]))
        )
    if shown[0] != shown[1]:
        raise answer.broken("bulk_equals_single", f"{shown[0]} in bulk, {shown[1]} one by one")


@claim(CLAIMS)
def last_report_counts(bench: Bench) -> None:
    """A part may be reported again: the last report counts, and it is still one part."""
    upload = bench.ledger.start()
    bench.ledger.put(upload, 1)
    right = upload.report(1)
    wrong = {"part_number": 1, "response": {"headers": {"ETag": "0" * 32}}}
    for report in (wrong, right, right):
        bench.wire.call("reportUploadedPart", upload_id=upload.id, body=report).expect(200)
    answer = bench.wire.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
    looks.same(answer, "uploaded_parts_count", answer.json()["uploaded_parts_count"], 1)
    etags = [looks.bare(part["response"]["headers"]["ETag"]) for part in answer.json()["parts"]]
    looks.same(answer, "last_report", etags, [right["response"]["headers"]["ETag"]])
