"""Tokens, headers and the lines of HTTP itself, partly over a raw socket: what client libraries refuse to send."""

import base64
from typing import Any

from tests.contract import document, rules
from tests.contract.answer import TOKEN_HEADER, TRANSPORT, Answer
from tests.contract.known_uploads import upload_calls
from tests.contract.model import asserts
from tests.contract.requests.client import RawClient, claim, valid_request

GET = "GET {v2}/rate_limit HTTP/1.1\nHost: {host}"


def _refused(answer: Answer, what: str) -> None:
    """Demand a refusal or a closed connection. 505 refuses a version of HTTP."""
    if answer.status and not 400 <= answer.status < 500 and answer.status not in (501, 505):
        raise answer.broken("malformed_http", f"expected a refusal of {what}, or a closed connection")


@claim()
def header_names_in_any_case(raw: RawClient) -> None:
    """Header names are the same in any case."""
    for name in (TOKEN_HEADER.lower(), TOKEN_HEADER.upper(), "X-Sbg-Auth-Token"):
        raw.speak(f"{GET}\n{name}: {raw.target.token}", token=False).expect(200, check="header_case")


@claim()
def bad_tokens(raw: RawClient) -> None:
    """A token that is wrong, cut, doubled, in another case or in another header is refused."""
    token = raw.target.token
    for line in (
        f"{TOKEN_HEADER}: {token[:-1]}", f"{TOKEN_HEADER}: {token}0", f"{TOKEN_HEADER}: {token.swapcase()}",
        f"{TOKEN_HEADER}:",
        f"{TOKEN_HEADER}: {token},{token}", f"{TOKEN_HEADER}: {token} {token}", f"Authorization: Basic {token}",
        f"Authorization: Basic {base64.b64encode(f'{token}:'.encode()).decode()}",
        f"X-SBG-Auth_Token: {token}", f"X-Auth-Token: {token}", f"Cookie: {TOKEN_HEADER}={token}", f"{TOKEN_HEADER}: %",
    ):  # fmt: skip
        if line != f"{TOKEN_HEADER}: {token}":  # a token without letters has no other case
            raw.speak(f"{GET}\n{line}", token=False).expect(401, check="bad_tokens")
    head = f"GET {{v2}}/rate_limit?{TOKEN_HEADER}={token} HTTP/1.1\nHost: {{host}}"
    raw.speak(head, token=False).expect(401, check="bad_tokens")


@claim()
def accepted_kinds(raw: RawClient) -> None:
    """The API answers in JSON, whatever else a client accepts: curl sends `*/*`, some clients send no `Accept`."""
    rules.judge(raw.speak(f"{GET}\nAccept-Encoding: identity").expect(200))
    for kinds in ("*/*", "application/*;q=0.5", "text/html, */*;q=0.1"):
        raw.api.call("getRateLimit", headers={"Accept": kinds}).expect(200)


@claim()
def undeclared_headers(raw: RawClient) -> None:
    """Headers that the document does not have change neither the method nor who is asking."""
    upload = raw.known.start()
    path = f"/upload/multipart/{upload.id}"
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        raw.api.send("GET", path, headers={name: "DELETE"}).expect(200)
    raw.api.call("getUpload", upload_id=upload.id).expect(200)
    for line in ("X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1"):
        raw.speak(f"{GET}\n{line}", token=False).expect(401, check="bad_tokens")


@claim(layer=TRANSPORT)
def two_tokens(raw: RawClient) -> None:
    """Two token headers, a valid and an invalid one, do not make a server fail."""
    for pair in ((raw.target.token, "bad"), ("bad", raw.target.token)):
        answer = raw.speak("\n".join((GET, *(f"{TOKEN_HEADER}: {each}" for each in pair))), token=False)
        if answer.status >= 500:
            raise answer.broken("malformed_http", "two token headers make the server fail")


@claim(layer=TRANSPORT)
def control_characters(raw: RawClient) -> None:
    """NUL, bare carriage returns and other control characters in head or target are refused."""
    _refused(raw.speak(GET + "\nX-Odd: a\x00b"), "NUL in a header")
    _refused(raw.speak("GET {v2}/rate_limit\x00 HTTP/1.1\nHost: {host}"), "NUL in the target")
    _refused(raw.speak("GET {v2}/rate\tlimit HTTP/1.1\nHost: {host}"), "a tab in the target")
    _refused(raw.speak("GET {v2}/rate_limit\x01 HTTP/1.1\nHost: {host}"), "a control character in the target")


@claim(layer=TRANSPORT)
def odd_header_names(raw: RawClient) -> None:
    """A header with a space in its name, or without a name, is refused."""
    _refused(raw.speak(GET + "\nX Odd: 1"), "a space in a header's name")
    _refused(raw.speak(GET + "\n: 1"), "a header without a name")


@claim(layer=TRANSPORT)
def odd_request_lines(raw: RawClient) -> None:
    """A request line that is not HTTP is refused."""
    for line in (
        "GET", "GET  HTTP/1.1", "G T {v2}/rate_limit HTTP/1.1", "\x16\x03\x01", "GET {v2}/rate_limit HTTP/1.1x",
    ):  # fmt: skip
        _refused(raw.speak(f"{line}\nHost: {{host}}"), repr(line))


@claim(layer=TRANSPORT)
def unknown_version(raw: RawClient) -> None:
    """An unknown version of HTTP is refused."""
    _refused(raw.speak("GET {v2}/rate_limit HTTP/9.9\nHost: {host}"), "HTTP/9.9")


@claim(layer=TRANSPORT)
def lengths_that_contradict(raw: RawClient) -> None:
    """A body with two lengths, or with a length and chunks, is refused: either could smuggle a request in."""
    head = "POST {v2}/upload/multipart HTTP/1.1\nHost: {host}\nContent-Type: application/json"
    _refused(raw.speak(f"{head}\nContent-Length: 2\nContent-Length: 3", b"{} "), "two lengths")
    _refused(raw.speak(f"{head}\nContent-Length: 5\nTransfer-Encoding: chunked", b"0\r\n\r\n"), "a length and chunks")
    for odd in ("-1", "+2", "0x2", "2, 2", "two", "9" * 40):
        _refused(raw.speak(f"{head}\nContent-Length: {odd}", b"{}"), f"the length {odd}")


@claim(layer=TRANSPORT)
def chunks_without_a_size(raw: RawClient) -> None:
    """A chunk without a size is refused."""
    head = "POST {v2}/upload/multipart HTTP/1.1\nHost: {host}\nContent-Type: application/json"
    _refused(raw.speak(f"{head}\nTransfer-Encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n"), "a chunk without a size")


@claim()
def chunked_bodies(raw: RawClient) -> None:
    """A body in chunks is read like any other, or a gateway demands its length."""
    upload = raw.known.start()
    head = f"POST {{v2}}/upload/multipart/{upload.id} HTTP/1.1\nHost: {{host}}\nContent-Type: application/json"
    answer = raw.speak(f"{head}\nTransfer-Encoding: chunked", b'5\r\n{"par\r\n8\r\nts": []}\r\n0\r\n\r\n')
    answer.expect(200, 411, check="chunked_bodies")


@claim(layer=TRANSPORT)
def huge_heads(raw: RawClient) -> None:
    """A head that is far too large is refused, and the server continues."""
    _refused(raw.speak(f"{GET}\nX-Odd: {'a' * 200_000}"), "a header of 200 kB")
    _refused(raw.speak(f"GET {{v2}}/rate_limit?{'a' * 200_000} HTTP/1.1\nHost: {{host}}"), "a target of 200 kB")
    raw.api.call("getRateLimit").expect(200)


@claim()
def hosts_that_lie(raw: RawClient) -> None:
    """A `Host` header with markup or line breaks is not copied into the links of an answer."""
    for host in ('x"><script>', "x/../y", "x%0d%0aSet-Cookie:a=b", "a b", ""):
        answer = raw.speak(f"GET {{v2}}/upload/multipart HTTP/1.1\nHost: {host}")
        if answer.status == 200 and host and host.encode() in answer.body:
            raise answer.broken("host_header", f"the answer contains the host {host!r}")
        if answer.status >= 500 and (raw.target.own or not answer.by_gateway):
            raise answer.broken("host_header", "a Host header makes the server fail")


@claim()
def empty_posts(raw: RawClient) -> None:
    """A POST without a length and a body is answered immediately."""
    upload = raw.known.start()
    answer = raw.speak(f"POST {{v2}}/upload/multipart/{upload.id}/complete HTTP/1.1\nHost: {{host}}")
    answer.expect(409, 411, check="empty_posts")


@claim()
def nobody_without_a_token(raw: RawClient) -> None:
    """Every operation refuses a missing or invalid token, and then has no effect."""
    for operation in document.operations().values():
        for token in ("", "0" * 32, raw.target.token[:-1], "x"):
            answer = raw.api.send(**valid_request(raw, operation), token=token)
            answer.expect(401, check="ignored_auth")
            if answer.code != 90001:
                raise answer.broken("error_code", f"code {answer.code}, expected 90001")
    upload = raw.known.open_upload()
    raw.api.call("getUpload", upload_id=upload.id).expect(200)


@claim()
def good_requests(raw: RawClient) -> None:
    """With a valid token, each of those requests succeeds, or is answered with a conflict."""
    for operation in document.operations().values():
        answer = raw.api.send(**valid_request(raw, operation))
        answer.expect(*((200, 201, 204) if operation.id != "completeUpload" else (200, 201, 409)))


@claim()
def strangers_uploads(raw: RawClient) -> None:
    """Another user's upload can be neither read nor changed, and is in no list."""
    if not raw.target.other_token:
        return
    upload = raw.known.start()
    raw.known.put(upload, 1)
    other = raw.target.other_token
    for operation, arguments in upload_calls(upload.report(1)):
        answer = raw.api.call(operation, upload_id=upload.id, token=other, **arguments)
        answer.expect(403, 404, check="object_level_authorization")
    listed = raw.api.call("listUploads", token=other).expect(200)
    if upload.id in {item["upload_id"] for item in listed.json()["items"]}:
        raise listed.broken("object_level_authorization", "another user's upload is listed")
    answer = raw.api.call("getUpload", upload_id=upload.id, query={"list_parts": True}).expect(200)
    if answer.json()["uploaded_parts_count"]:
        raise answer.broken("object_level_authorization", "another user's report was accepted")


@claim()
def read_only_projects(raw: RawClient) -> None:
    """A read-only project accepts nothing new."""
    project = raw.target.read_only_project
    if project is None:
        return
    body = {"project": project, "name": raw.known.next_name()}
    raw.api.call("startUpload", body={**body, "size": 1}).expect(403, check="read_only")
    raw.api.call("createFolder", body={**body, "type": "folder"}).expect(403, check="read_only")
    raw.api.call("listFiles", query={"project": project}).expect(200)
    _project(raw, project, writable=False)


@claim()
def the_project(raw: RawClient) -> None:
    """A project shows its id, that it can be written, and the folder that is its top level."""
    shown = _project(raw, raw.target.project, writable=True)
    if shown.get("root_folder") is not None:
        raw.api.call("listFolder", file_id=shown["root_folder"], query={"limit": 1}).expect(200)


def _project(raw: RawClient, project: str, *, writable: bool) -> dict[str, Any]:
    owner, _, name = project.partition("/")
    answer = raw.api.call("getProject", project_owner=owner, project_name=name).expect(200)
    shown: dict[str, Any] = answer.json()
    asserts.same(answer, "project_id", shown["id"], project)
    asserts.same(answer, "permissions", shown.get("permissions", {}).get("write", writable), writable)
    return shown


@claim(own=True)
def unknown_projects(raw: RawClient) -> None:
    """No operation finds a project that does not exist."""
    missing = "contract/is-not-there"
    raw.api.call("startUpload", body={"project": missing, "name": "x", "size": 1}).expect(404)
    raw.api.call("createFolder", body={"project": missing, "name": "x", "type": "folder"}).expect(404)
    raw.api.call("listFiles", query={"project": missing}).expect(404)
    raw.api.call("getProject", project_owner="contract", project_name="is-not-there").expect(404)


@claim()
def after_the_end(raw: RawClient) -> None:
    """No operation finds an upload that was aborted or completed."""
    aborted, completed = raw.known.start(), raw.known.start(5)
    raw.api.call("abortUpload", upload_id=aborted.id).expect(204)
    raw.known.put_all(completed)
    raw.known.finish(completed)
    for upload in (aborted, completed):
        for operation, arguments in upload_calls(completed.report(1)):
            answer = raw.api.call(operation, upload_id=upload.id, **arguments)
            answer.expect(404, check="use_after_end")
            if answer.code != rules.NO_SUCH_UPLOAD:
                raise answer.broken("error_code", f"code {answer.code}, expected {rules.NO_SUCH_UPLOAD}")
        listed = raw.api.call("listUploads", query={"limit": 100}).expect(200)
        if upload.id in {item["upload_id"] for item in listed.json()["items"]}:
            raise listed.broken("use_after_end", "an upload that has ended is listed")
        upload.ended = True
