"""Who may do what: every operation without a token, with a bad one, and on what belongs to others."""

from typing import Any

from tests.contract import document, rules
from tests.contract.requests.client import Claim, RawClient, claim, valid_request

CLAIMS: list[Claim] = []


@claim(CLAIMS)
def nobody_without_a_token(raw: RawClient) -> None:
    """No operation answers without a token, or with one that is not good; and none of them has any effect."""
    for operation in document.operations().values():
        for token in ("", "0" * 32, raw.target.token[:-1], "x"):
            answer = raw.api.send(**valid_request(raw, operation), token=token)
            answer.expect(401, check="ignored_auth")
            if answer.code != 90001:
                raise answer.broken("error_code", f"code {answer.code}, and 90001 is right")
    upload = raw.known.open_upload()
    raw.api.call("getUpload", upload_id=upload.id).expect(200)


@claim(CLAIMS)
def good_requests(raw: RawClient) -> None:
    """Each of those requests is answered with success, or with a conflict, when the token is there."""
    for operation in document.operations().values():
        answer = raw.api.send(**valid_request(raw, operation))
        answer.expect(*((200, 201, 204) if operation.id != "completeUpload" else (200, 201, 409)))


@claim(CLAIMS)
def strangers_uploads(raw: RawClient) -> None:
    """Another user's upload can be neither seen nor touched, and is in no list."""
    if not raw.target.other_token:
        return
    upload = raw.known.start()
    raw.known.put(upload, 1)
    other = raw.target.other_token
    report = upload.report(1)
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("getUpload", {}), ("getPartUrl", {"part_number": 1}), ("reportUploadedPart", {"body": report}),
        ("reportUploadedParts", {"body": {"parts": [report]}}), ("completeUpload", {"body": None}), ("abortUpload", {}),
    ]  # fmt: skip
    for operation, arguments in attempts:
        answer = raw.api.call(operation, upload_id=upload.id, token=other, **arguments)
        answer.expect(403, 404, check="object_level_authorization")
    listed = raw.api.call("listUploads", token=other).expect(200)
    if upload.id in {item["upload_id"] for item in listed.json()["items"]}:
        raise listed.broken("object_level_authorization", "another user's upload is listed")
    answer = raw.api.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
    if answer.json()["uploaded_parts_count"]:
        raise answer.broken("object_level_authorization", "a stranger's report was taken")


@claim(CLAIMS)
def read_only_projects(raw: RawClient) -> None:
    """Nothing can be put into a project that may only be read."""
    project = raw.target.read_only_project
    if project is None:
        return
    body = {"project": project, "name": raw.known.next_name()}
    raw.api.call("startUpload", body={**body, "size": 1}).expect(403, check="read_only")
    raw.api.call("createFolder", body={**body, "type": "folder"}).expect(403, check="read_only")
    raw.api.call("listFiles", query={"project": project}).expect(200)
    owner, _, name = project.partition("/")
    raw.api.call("getProject", project_owner=owner, project_name=name).expect(200)


@claim(CLAIMS, own=True)
def unknown_projects(raw: RawClient) -> None:
    """A project that does not exist is not found, whatever is asked of it."""
    missing = "contract/is-not-there"
    raw.api.call("startUpload", body={"project": missing, "name": "x", "size": 1}).expect(404)
    raw.api.call("createFolder", body={"project": missing, "name": "x", "type": "folder"}).expect(404)
    raw.api.call("listFiles", query={"project": missing}).expect(404)
    raw.api.call("getProject", project_owner="contract", project_name="is-not-there").expect(404)


@claim(CLAIMS)
def after_the_end(raw: RawClient) -> None:
    """An upload that was aborted, and one that was completed, is not found by any operation."""
    aborted, completed = raw.known.start(), raw.known.start(5)
    raw.api.call("abortUpload", upload_id=aborted.id).expect(204)
    raw.known.put_all(completed)
    parts = [completed.report(number) for number in sorted(completed.etags)]
    raw.api.call("completeUpload", upload_id=completed.id, body={"parts": parts}).expect(200, 201)
    report = completed.report(1)
    for upload in (aborted, completed):
        attempts: list[tuple[str, dict[str, Any]]] = [
            ("getUpload", {}), ("getPartUrl", {"part_number": 1}), ("reportUploadedPart", {"body": report}),
            ("reportUploadedParts", {"body": {"parts": [report]}}), ("completeUpload", {"body": {"parts": [report]}}),
            ("abortUpload", {}),
        ]  # fmt: skip
        for operation, arguments in attempts:
            answer = raw.api.call(operation, upload_id=upload.id, **arguments)
            answer.expect(404, check="use_after_end")
            if answer.code != rules.NO_SUCH_UPLOAD:
                raise answer.broken("error_code", f"code {answer.code}, and {rules.NO_SUCH_UPLOAD} is right")
        listed = raw.api.call("listUploads", query={"limit": 100}).expect(200)
        if upload.id in {item["upload_id"] for item in listed.json()["items"]}:
            raise listed.broken("use_after_end", "an upload that has ended is listed")
        upload.ended = True
