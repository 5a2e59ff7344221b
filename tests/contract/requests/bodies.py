"""Bodies: what is not JSON or only looks so, unusual ones of real clients, and names and sizes at their limits."""

import itertools
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
    """A list with a bad report is refused as a whole, whatever the place of the bad one, also with a completion."""
    good = part_report(1, "d41d8cd98f00b204e9800998ecf8427e")
    bads: tuple[Any, ...] = ({**good, "part_number": 0}, {"part_number": 1}, {}, {**good, "part_number": 9999})
    for bad, operation in itertools.product(bads, ("reportUploadedParts", "completeUpload")):
        for parts in ([good, bad], [bad, good], [good, bad, good]):
            upload = raw.known.start()
            raw.api.call(operation, upload_id=upload.id, body={"parts": parts}).expect(400)
            answer = raw.api.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
            if answer.json()["uploaded_parts_count"] or answer.json().get("parts"):
                raise answer.broken("bulk_atomic", "a report of a refused list was accepted")


@claim()
def bulk_equals_one_by_one(raw: RawClient) -> None:
    """A bulk report has the same effect as its reports one by one, in any order."""
    for bulk in (True, False):
        upload = raw.known.start()
        raw.known.put_all(upload)
        if bulk:
            raw.api.call("reportUploadedParts", upload_id=upload.id, body={"parts": upload.reports[::-1]}).expect(200)
        else:
            for report in upload.reports:
                raw.api.call("reportUploadedPart", upload_id=upload.id, body=report).expect(200)
        answer = raw.api.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
        asserts.same(answer, "uploaded_parts_count", answer.json()["uploaded_parts_count"], upload.count)
        asserts.same(answer, "bulk_equals_single", asserts.listed(answer.json()), sorted(upload.etags.items()))


@claim()
def long_lists(raw: RawClient) -> None:
    """2,000 reports in a list, up to the last of 10,000 parts, are accepted and shown whole; no part comes after."""
    known = raw.known
    upload = known.start(min(10_000 * known.start(1).part_size, 5 * 2**40))
    reports = {number: f"{number:032x}" for number in range(max(1, upload.count - 1999), upload.count + 1)}
    body = {"parts": [part_report(number, etag) for number, etag in reports.items()]}
    raw.api.call("reportUploadedParts", upload_id=upload.id, body=body).expect(200)
    answer = raw.api.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
    asserts.same(answer, "uploaded_parts_count", answer.json()["uploaded_parts_count"], len(reports))
    asserts.same(answer, "long_list", asserts.listed(answer.json()) == sorted(reports.items()), True)
    raw.api.call("getPartUrl", upload_id=upload.id, part_number=upload.count).expect(200)
    last = part_report(upload.count, reports[upload.count])
    raw.api.call("reportUploadedPart", upload_id=upload.id, body=last).expect(200)
    raw.api.call("getPartUrl", upload_id=upload.id, part_number=upload.count + 1).expect(400, check="part_beyond")


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


ODD_NAMES = (
    " ", " x ", ".", "..", "a" * 255, "é" * 255, "a\x00b", "a\nb", "\u202e", "🧬", "con", "a\\b", "-rf", "a%2Fb", "é",
    "\ufeff", "\U0010ffff", "x;y", "~", "*", "a\tb", "'\"<>&",
)  # fmt: skip


@claim(own=True)
def odd_names(raw: RawClient) -> None:
    """Any name of 1 to 255 characters without a slash is kept unchanged, of a file and of a folder."""
    outer = raw.known.new_folder()
    for odd in ODD_NAMES:
        answer = raw.api.call("startUpload", body=raw.body(name=odd, size=4)).expect(200)
        started = answer.json()
        upload = raw.known.note_started(answer)
        raw.known.put_all(upload)
        file = raw.known.finish(upload)
        shown = raw.api.call("getFile", file_id=file["id"]).expect(200)
        folder = raw.api.call("getFile", file_id=raw.known.new_folder(outer, odd)).expect(200)
        for name in (started["name"], file["name"], shown.json()["name"], folder.json()["name"]):
            if name != odd:
                raise shown.broken("name_kept", f"{odd!r} became {name!r}")
        found = raw.api.call("listFiles", query={"project": raw.target.project, "name": odd}).expect(200)
        if [item["id"] for item in found.json()["items"]] != [file["id"]]:
            raise found.broken("name_found", f"the file {odd!r} is not found by its name")


@claim()
def bad_names(raw: RawClient) -> None:
    """A name with a slash, an empty name, one of 256 characters and one that is not text are refused."""
    project = raw.target.project
    names: tuple[Any, ...] = ("", "a/b", "/", "a" * 256, None, 7, [], {})
    for bad in names:
        raw.api.call("startUpload", body=raw.body(name=bad, size=1)).expect(400, check="bad_name")
    raw.api.call("startUpload", body={"project": project, "size": 1}).expect(400, check="missing_name")
    raw.api.call("createFolder", body={"project": project, "type": "folder"}).expect(400, check="missing_name")
    for bad in ("", "a/b", "__x", "a" * 256, None):
        body = raw.body(name=bad, type="folder")
        raw.api.call("createFolder", body=body).expect(400, check="bad_name")
    for bad in ("file", "folders", "", None):
        body = raw.body(type=bad)
        raw.api.call("createFolder", body=body).expect(400, check="bad_type")


@claim()
def sizes(raw: RawClient) -> None:
    """A file has 0 bytes to 5 TiB; other sizes, and sizes that are not integers, are refused."""
    for key, bad in (
        *(("size", bad) for bad in (-1, 5 * 2**40 + 1, 2**63, 1.5, "1", None, True)),
        *(("part_size", bad) for bad in (5242880.5, "5242880", None)),
        *(("md5", bad) for bad in ("", "x" * 32, "0" * 31, "0" * 33, 0, None)),
    ):
        body = {**raw.body(size=1), key: bad}
        raw.api.call("startUpload", body=body).expect(400, check="bad_size")
    raw.api.call("startUpload", body=raw.body(size=1, md5="9E107D9D" * 4)).expect(200, check="md5")


@claim()
def largest_files(raw: RawClient) -> None:
    """With the part size of the answer, a file of any size has at most 10,000 parts."""
    for size in (0, 1, 5 * 2**20, 10**12, 5 * 2**40):
        for part_size in (None, 5 * 2**20, 5 * 2**30, 0, -1, 2**20, 6 * 2**30):
            body = raw.body(size=size)
            answer = raw.api.call("startUpload", body=body if part_size is None else {**body, "part_size": part_size})
            started = answer.expect(200).json()
            asserts.same(answer, "upload_size", started.get("size", size), size)
            if -(-size // started["part_size"]) > 10000:
                raise answer.broken(
                    "part_count", f"{size} bytes in parts of {started['part_size']} bytes are more than 10,000 parts"
                )
            raw.api.call("abortUpload", upload_id=started["upload_id"]).expect(204)


@claim()
def empty_files(raw: RawClient) -> None:
    """An empty file is one empty part."""
    file = raw.known.complete(0)
    assert file["size"] == 0, f"the size of an empty file is {file['size']}"
