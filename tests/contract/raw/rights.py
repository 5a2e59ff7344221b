"""Who may do what: every operation without a token, with a bad one, and on what belongs to others."""

from typing import Any

from tests.contract import codes, document
from tests.contract.raw import good
from tests.contract.raw.bench import Bench, Claim, claim

CLAIMS: list[Claim] = []


@claim(CLAIMS)
def nobody_without_a_token(bench: Bench) -> None:
    """No operation answers without a token, or with one that is not good; and none of them has any effect."""
    for operation in document.operations().values():
        for token in ("", "0" * 32, bench.target.token[:-1], "x"):
            answer = bench.wire.send(**good.request(bench, operation), token=token)
            answer.expect(401, check="ignored_auth")
            if answer.code != 90001:
                raise answer.broken("error_code", f"code {answer.code}, and 90001 is right")
    upload = bench.ledger.open_upload()
    bench.wire.call("getUpload", upload_id=upload.id).expect(200)


@claim(CLAIMS)
def good_requests(bench: Bench) -> None:
    """Each of those requests is answered with success, or with a conflict, when the token is there."""
    for operation in document.operations().values():
        answer = bench.wire.send(**good.request(bench, operation))
        answer.expect(*((200, 201, 204) if operation.id != "completeUpload" else (200, 201, 409)))


@claim(CLAIMS)
def strangers_uploads(bench: Bench) -> None:
    """Another user's upload can be neither seen nor touched, and is in no list."""
    if not bench.target.other_token:
        return
    upload = bench.ledger.start()
    bench.ledger.put(upload, 1)
    other = bench.target.other_token
    report = upload.report(1)
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("getUpload", {}), ("getPartUrl", {"part_number": 1}), ("reportUploadedPart", {"body": report}),
        ("reportUploadedParts", {"body": {"parts": [report]}}), ("completeUpload", {"body": None}), ("abortUpload", {}),
    ]  # fmt: skip
    for operation, arguments in attempts:
        answer = bench.wire.call(operation, upload_id=upload.id, token=other, **arguments)
        answer.expect(403, 404, check="object_level_authorization")
    listed = bench.wire.call("listUploads", token=other).expect(200)
    if upload.id in {item["upload_id"] for item in listed.json()["items"]}:
        raise listed.broken("object_level_authorization", "another user's upload is listed")
    answer = bench.wire.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
    if answer.json()["uploaded_parts_count"]:
        raise answer.broken("object_level_authorization", "a stranger's report was taken")


@claim(CLAIMS)
def read_only_projects(bench: Bench) -> None:
    """Nothing can be put into a project that may only be read."""
    project = bench.target.read_only_project
    if project is None:
        return
    body = {"project": project, "name": bench.ledger.next_name()}
    bench.wire.call("startUpload", body={**body, "size": 1}).expect(403, check="read_only")
    bench.wire.call("createFolder", body={**body, "type": "folder"}).expect(403, check="read_only")
    bench.wire.call("listFiles", query={"project": project}).expect(200)
    owner, _, name = project.partition("/")
    bench.wire.call("getProject", project_owner=owner, project_name=name).expect(200)


@claim(CLAIMS, own=True)
def unknown_projects(bench: Bench) -> None:
    """A project that does not exist is not found, whatever is asked of it."""
    missing = "contract/is-not-there"
    bench.wire.call("startUpload", body={"project": missing, "name": "x", "size": 1}).expect(404)
    bench.wire.call("createFolder", body={"project": missing, "name": "x", "type": "folder"}).expect(404)
    bench.wire.call("listFiles", query={"project": missing}).expect(404)
    bench.wire.call("getProject", project_owner="contract", project_name="is-not-there").expect(404)


@claim(CLAIMS)
def after_the_end(bench: Bench) -> None:
    """An upload that was aborted, and one that was completed, is not found by any operation."""
    aborted, completed = bench.ledger.start(), bench.ledger.start(5)
    bench.wire.call("abortUpload", upload_id=aborted.id).expect(204)
    bench.ledger.put_all(completed)
    parts = [completed.report(number) for number in sorted(completed.etags)]
    bench.wire.call("completeUpload", upload_id=completed.id, body={"parts": parts}).expect(200, 201)
    report = completed.report(1)
    for upload in (aborted, completed):
        attempts: list[tuple[str, dict[str, Any]]] = [
            ("getUpload", {}), ("getPartUrl", {"part_number": 1}), ("reportUploadedPart", {"body": report}),
            ("reportUploadedParts", {"body": {"parts": [report]}}), ("completeUpload", {"body": {"parts": [report]}}),
            ("abortUpload", {}),
        ]  # fmt: skip
        for operation, arguments in attempts:
            answer = bench.wire.call(operation, upload_id=upload.id, **arguments)
            answer.expect(404, check="use_after_end")
            if answer.code != codes.NO_SUCH_UPLOAD:
                raise answer.broken("error_code", f"code {answer.code}, and {codes.NO_SUCH_UPLOAD} is right")
        listed = bench.wire.call("listUploads", query={"limit": 100}).expect(200)
        if upload.id in {item["upload_id"] for item in listed.json()["items"]}:
            raise listed.broken("use_after_end", "an upload that has ended is listed")
        upload.ended = True
