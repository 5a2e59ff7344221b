"""Bodies: what is not JSON, what only looks like JSON, and unusual bodies that real clients send."""

from typing import Any

from tests.contract import document, rules
from tests.contract.known_uploads import part_report
from tests.contract.model import asserts
from tests.contract.requests.client import RawClient, claim

JSON = {"Content-Type": "application/json"}
NOT_JSON = (
    b"", b" ", b"{", b"}", b"[", b"{]", b'{"a":1}x', b"{'a': 1}", b'{"a":NaN}', b'{"a":Infinity}', b"\xff", b"\x00",
    b"nul", b'{"a": "\xed\xa0\x80"}', b'{"a":1,}', b"// x", b"\xef\xbb\xbf{}x", b"[" * 100_000, b'{"parts": [' * 5000,
)  # fmt: skip


def body_operations() -> list[document.Operation]:
    return [operation for operation in document.operations().values() if operation.takes_body]


def _path(raw: RawClient, operation: document.Operation) -> str:
    upload = raw.known.open_upload()
    return operation.url(upload_id=upload.id)


@claim()
def broken_json(raw: RawClient) -> None:
    """Every operation that takes a body refuses what is not JSON, with 400, or as the vendor's table of codes says."""
    for operation in body_operations():
        for data in NOT_JSON:
            if not data and operation.id == "completeUpload":
                continue
            answer = raw.api.send(operation.method, _path(raw, operation), data=data, headers=JSON)
            as_in_the_table = answer.code == rules.NOT_DECODED and not raw.target.own
            answer.expect(500 if as_in_the_table else 400, check="broken_json")


@claim()
def wrong_shapes(raw: RawClient) -> None:
    """JSON that is not an object, or lacks what is required, is refused with 400."""
    shapes: list[Any] = [[], "x", 1, True, 1.5, [{}], {"parts": {}}, {"parts": None}, {"parts": [1]}, {"parts": [[]]}]
    for operation in body_operations():
        for shape in shapes:
            answer = raw.api.send(operation.method, _path(raw, operation), json_body=shape)
            answer.expect(400, check="wrong_shape")
        if operation.id != "completeUpload":
            for shape in ({}, None):
                raw.api.send(operation.method, _path(raw, operation), json_body=shape).expect(400)


@claim()
def media_types(raw: RawClient) -> None:
    """A body whose content type is not JSON is refused with 415. JSON may have parameters, such as a charset."""
    upload = raw.known.start()
    raw.known.put(upload, 1)
    for operation in body_operations():
        path = operation.url(upload_id=upload.id)
        for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "text/json", "x"):
            answer = raw.api.send(operation.method, path, data=b"{}", headers={"Content-Type": kind})
            answer.expect(415, check="unsupported_media_type")
    path = f"/upload/multipart/{upload.id}/part"
    for kind in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON"):
        raw.api.send("POST", path, json_body=upload.report(1), headers={"Content-Type": kind}).expect(200)


@claim()
def complete_bodies(raw: RawClient) -> None:
    """A completion accepts every body that real clients send: none, `null`, `{}`, an empty list, all parts again."""
    for body in (None, b"", b"null", b"{}", b'{"parts": []}'):
        upload = raw.known.start()
        raw.known.put_all(upload)
        raw.api.call("reportUploadedParts", upload_id=upload.id, body={"parts": upload.reports}).expect(200)
        path = f"/upload/multipart/{upload.id}/complete"
        answer = raw.api.send("POST", path, data=body, headers=JSON if body is not None else None)
        answer.expect(200, 201, check="complete_body")
    upload = raw.known.start()
    raw.known.put_all(upload)
    for _ in range(2):
        raw.api.call("reportUploadedParts", upload_id=upload.id, body={"parts": upload.reports}).expect(200)
    raw.known.finish(upload)


@claim()
def bodies_nobody_asked_for(raw: RawClient) -> None:
    """A body with GET or DELETE is ignored: the vendor's client sends `null` and `{}` there."""
    upload = raw.known.start()
    raw.api.send("GET", f"/upload/multipart/{upload.id}", data=b"null", headers=JSON).expect(200)
    raw.api.send("GET", "/rate_limit", data=b"null", headers=JSON).expect(200)
    raw.api.send("DELETE", f"/upload/multipart/{upload.id}", data=b"{}", headers=JSON).expect(204)


@claim()
def numbers_in_bodies(raw: RawClient) -> None:
    """7.0 is an integer in JSON; 1.5, true, "1" and 1e400 are not."""
    upload = raw.known.start()
    raw.known.put(upload, 1)
    path = f"/upload/multipart/{upload.id}/part"
    report = '{"part_number": %s, "response": {"headers": {"ETag": "%s"}}}'
    etag = upload.etags[1]
    raw.api.send("POST", path, data=(report % ("1.0", etag)).encode(), headers=JSON).expect(200)
    for odd in ("1.5", "true", '"1"', "1e400", "-1", "0", "10001", "null", "[1]", "9" * 400):
        answer = raw.api.send("POST", path, data=(report % (odd, etag)).encode(), headers=JSON)
        answer.expect(400, check="part_number")


@claim()
def destinations(raw: RawClient) -> None:
    """An upload and a folder go to exactly one place: `project` and `parent` together, or neither, are refused."""
    folder, project = raw.known.folder(), raw.target.project
    for operation, extra in (("startUpload", {"size": 1}), ("createFolder", {"type": "folder"})):
        for place in (
            {},
            {"project": project, "parent": folder},
            {"parent": ""},
            {"parent": "x" * 24},
            {"parent": None},
        ):
            body = {"name": raw.known.next_name(), **extra, **place}
            raw.api.call(operation, body=body).expect(400, check="destination")
        body = {"name": raw.known.next_name(), **extra, "parent": raw.known.file()}
        raw.api.call(operation, body=body).expect(400, 404, check="destination")
        body = {"name": raw.known.next_name(), **extra, "parent": "f" * 24}
        if raw.target.own:
            raw.api.call(operation, body=body).expect(404, check="destination")


@claim()
def etag_quotes(raw: RawClient) -> None:
    """An ETag is the same with its quotes and without: real clients send either."""
    for quote in ('"', ""):
        upload = raw.known.start()
        raw.known.put_all(upload)
        reports = [part_report(number, f"{quote}{etag}{quote}") for number, etag in upload.etags.items()]
        raw.api.call("completeUpload", upload_id=upload.id, body={"parts": reports}).expect(200, 201)


@claim(own=True)
def bulk_is_whole_or_nothing(raw: RawClient) -> None:
    """A list with a bad report is refused as a whole, whatever the place of the bad one."""
    good = part_report(1, "d41d8cd98f00b204e9800998ecf8427e")
    for bad in ({**good, "part_number": 0}, {"part_number": 1}, {}, {**good, "part_number": 9999}):
        for parts in ([good, bad], [bad, good]):
            upload = raw.known.start()
            raw.api.call("reportUploadedParts", upload_id=upload.id, body={"parts": parts}).expect(400)
            answer = raw.api.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
            if answer.json()["uploaded_parts_count"] or answer.json().get("parts"):
                raise answer.broken("bulk_atomic", "a report of a refused list was accepted")


@claim()
def bulk_equals_one_by_one(raw: RawClient) -> None:
    """A bulk report has the same effect as its reports one by one."""
    for bulk in (True, False):
        upload = raw.known.start()
        raw.known.put_all(upload)
        if bulk:
            raw.api.call("reportUploadedParts", upload_id=upload.id, body={"parts": upload.reports}).expect(200)
        else:
            for report in upload.reports:
                raw.api.call("reportUploadedPart", upload_id=upload.id, body=report).expect(200)
        answer = raw.api.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
        asserts.same(answer, "uploaded_parts_count", answer.json()["uploaded_parts_count"], upload.count)
        asserts.same(answer, "bulk_equals_single", asserts.listed(answer.json()), sorted(upload.etags.items()))


@claim()
def long_lists(raw: RawClient) -> None:
    """A list of 2,000 reports is accepted whole, and shown whole."""
    known = raw.known
    upload = known.start(2000 * known.start(1).part_size)
    reports = {number: f"{number:032x}" for number in range(1, upload.count + 1)}
    body = {"parts": [part_report(number, etag) for number, etag in reports.items()]}
    raw.api.call("reportUploadedParts", upload_id=upload.id, body=body).expect(200)
    answer = raw.api.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
    asserts.same(answer, "uploaded_parts_count", answer.json()["uploaded_parts_count"], upload.count)
    asserts.same(answer, "long_list", asserts.listed(answer.json()) == sorted(reports.items()), True)


@claim()
def last_report_counts(raw: RawClient) -> None:
    """A part may be reported again: the last report counts, and the part counts once."""
    upload = raw.known.start()
    raw.known.put(upload, 1)
    right = upload.report(1)
    wrong = part_report(1, "0" * 32)
    for report in (wrong, right, right):
        raw.api.call("reportUploadedPart", upload_id=upload.id, body=report).expect(200)
    answer = raw.api.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
    asserts.same(answer, "uploaded_parts_count", answer.json()["uploaded_parts_count"], 1)
    asserts.same(answer, "last_report", asserts.listed(answer.json()), [(1, upload.etags[1])])
