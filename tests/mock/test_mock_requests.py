"""Invalid requests, and unusual ones that real clients send."""

import copy
import json
import socket
from typing import Any

import httpx
import pytest
from mock_client import Client, code, md5, report

from cavatica_mock import MockServer
from cavatica_mock.contract import Contract, load
from cavatica_mock.handlers import HANDLERS
from cavatica_mock.settings import DEFAULT_PART_SIZE


def raw(server: MockServer, method: str, target: str, *headers: str) -> tuple[int, dict[str, str], Any]:
    """Send a request target exactly as it is written; status, headers in lower case, JSON or bytes."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"X-SBG-Auth-Token: {server.token}",
        *headers,
    ]
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    values = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return int(status.split()[1]), values, json.loads(content) if content else None


def test_every_operation_of_the_document_has_a_handler_and_no_other() -> None:
    """The contract and the mock name the same operations."""
    assert set(HANDLERS) == set(load().operations), "change HANDLERS in src/cavatica_mock/handlers.py"


@pytest.mark.parametrize(
    "target",
    [
        "/", "/v2", "/v2/", "/v3/rate_limit", "/v2/nothing", "/v2//rate_limit", "/v2/upload", "/v2/upload//multipart",
        "/v2/rate_limit//", "/v2/upload/multipart/", "/v2/upload/multipart//part/1", "/v2/../v2/rate_limit",
        "/v2/upload/multipart/../../rate_limit", "/v2/upload/multipart/x/part/1/2", "/v2/%ff", "/v2/Rate_Limit",
        "/etc/passwd", "/storage/../state.sqlite", "/storage/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/_mock/../v2/rate_limit",
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere(server: MockServer, target: str) -> None:
    """404, or 403 of storage without a signature. An empty id does not lead to the list of all."""
    with socket.create_connection((server.host, server.port)) as connection:
        head = (
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-SBG-Auth-Token: {server.token}\r\n\r\n"
        )
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    expected = b" 403 " if target.startswith("/storage") else b" 404 "
    assert expected in answer.split(b"\r\n")[0]
    if target.startswith(("/v2", "/v3", "/e")) and expected == b" 404 ":
        body = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert body["status"] in ("NOT_FOUND", 404)


@pytest.mark.parametrize(
    "upload_id", ["..", ".", "%2e%2e", "", "a%2Fb", "%2F", "a%00b", "x" * 5000, "%E2%82%AC", "a b", "{upload_id}"]
)
def test_ids_that_are_no_ids(server: MockServer, upload_id: str) -> None:
    """They reach their operation or none, and never another one."""
    status, _, body = raw(server, "GET", f"/v2/upload/multipart/{upload_id.replace(' ', '%20')}/part/1")
    assert status == 404
    assert body.get("code") in (8003, None)
    status, _, body = raw(server, "GET", f"/v2/files/{upload_id.replace(' ', '%20')}/download_info")
    assert status == 404
    assert body.get("code") in (5002, None)


@pytest.mark.parametrize(("owner", "name"), [("..", "x"), ("x", ".."), ("a%20b", "x"), ("a%2Fb", "x"), ("x", "%09")])
def test_projects_that_are_no_projects(server: MockServer, owner: str, name: str) -> None:
    """A project is owner and name, without spaces and slashes."""
    status, _, body = raw(server, "GET", f"/v2/projects/{owner}/{name}")
    assert (status, body["code"]) == (400, 3012)


def test_a_target_with_a_host_in_it(server: MockServer) -> None:
    """Proxies may send the absolute form."""
    assert raw(server, "GET", f"{server.base_url}/rate_limit")[0] == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "POST", "HEAD"])
def test_wrong_methods_are_told_the_right_ones(server: MockServer, method: str) -> None:
    """405 with `Allow`, whatever the token."""
    for path, allow in (("rate_limit", "GET"), ("upload/multipart/x", "DELETE, GET, POST")):
        if method in allow:
            continue
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(f"{method} /v2/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        assert answer.startswith("HTTP/1.1 405 ")
        assert f"\r\nAllow: {allow}\r\n" in answer
        assert ('"code": 90006' in answer) == (method != "HEAD")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-SBG-Auth-Token": "wrong"},
        {"X-SBG-Auth-Token": ""},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic Zmlyc3Q6"},
        {"Authorization": "first-token"},
    ],
)
def test_nobody_comes_in_without_a_token(server: MockServer, headers: dict[str, str]) -> None:
    """Every operation answers 401/90001, without rate-limit headers, and does nothing."""
    for operation in load().operations.values():
        path = (
            operation.template.replace("{part_number}", "1").replace("{upload_id}", "x").replace("{file_id}", "0" * 24)
        )
        path = path.replace("{project_owner}", "a").replace("{project_name}", "b")
        answer = httpx.request(operation.method, server.base_url + path, headers=headers, verify=False)
        assert code(answer) == (401, 90001)
        assert "X-RateLimit-Limit" not in answer.headers
        assert "first-token" not in answer.text


def test_a_bearer_token_comes_in_too(server: MockServer) -> None:
    """The vendor's clients send it instead of the token header."""
    for header in (
        {"Authorization": "Bearer first-token"},
        {"authorization": "bearer first-token"},
        {"x-sbg-auth-token": "first-token"},
    ):
        assert httpx.get(f"{server.base_url}/upload/multipart", headers=header, verify=False).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application", "", "multipart/form-data", "application/jsonx"],
)
def test_bodies_of_another_type(client: Client, content_type: str) -> None:
    """Every operation with a body answers 415/90008."""
    upload_id = client.start(size=3)["upload_id"]
    for path in (
        "upload/multipart",
        f"upload/multipart/{upload_id}",
        f"upload/multipart/{upload_id}/part",
        f"upload/multipart/{upload_id}/complete",
        "files",
        "bulk/files/edit",
    ):
        answer = client.post(path, content=b"{}", headers={"Content-Type": content_type})
        assert code(answer) == (415, 90008)


BODIES = [
    b"",
    b" ",
    b"{",
    b"[",
    b"\xff\xfe",
    b'{"name": "\xff"}',
    b"NaN",
    b'{"size": Infinity}',
    b'{"name": "\\ud800"}',
    b"[" * 100_000,
    b'{"size": ' + b"9" * 5000 + b"}",
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_bodies_that_cannot_be_decoded(client: Client, body: bytes) -> None:
    """400 with the code of the operation, never a server error."""
    upload_id = client.start(size=3)["upload_id"]
    headers = {"Content-Type": "application/json"}
    expected = {
        "upload/multipart": {8013, 5029},
        f"upload/multipart/{upload_id}": {8015},
        f"upload/multipart/{upload_id}/part": {8014},
        "files": {5033, 5029},
        "bulk/files/edit": {5033},
    }
    for path, codes in expected.items():
        status, number = code(client.post(path, content=body, headers=headers))
        assert status == 400
        assert number in codes


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "x"}, (400, 5029)),
        ({"name": "x", "project": "a/b", "parent": "0" * 24}, (400, 5031)),
        ({"project": "a/b"}, (400, 8013)),
        ({"name": "", "project": "a/b"}, (400, 8013)),
        ({"name": "a/b", "project": "a/b"}, (400, 8013)),
        ({"name": "x" * 256, "project": "a/b"}, (400, 8013)),
        ({"name": "x", "project": "ab"}, (400, 8010)),
        ({"name": "x", "project": "a/b/c"}, (400, 8010)),
        ({"name": "x", "project": "a /b"}, (400, 8010)),
        ({"name": "x", "project": 7}, (400, 8010)),
        ({"name": "x", "parent": "xyz"}, (400, 8013)),
        ({"name": "x", "project": "a/b", "size": -1}, (400, 8013)),
        ({"name": "x", "project": "a/b", "size": 5 * 2**40 + 1}, (400, 8013)),
        ({"name": "x", "project": "a/b", "size": 1.5}, (400, 8013)),
        ({"name": "x", "project": "a/b", "size": "1"}, (400, 8013)),
        ({"name": "x", "project": "a/b", "size": True}, (400, 8013)),
        ({"name": "x", "project": "a/b", "part_size": 5242880.5}, (400, 8013)),
        ({"name": "x", "project": "a/b", "part_size": "5242880"}, (400, 8013)),
        ({"name": "x", "project": "a/b", "md5": "short"}, (400, 8013)),
        ({"name": "x", "project": None}, (400, 8010)),
        ([], (400, 8013)),
        (None, (400, 8013)),
        ("name", (400, 8013)),
    ],
)
def test_starts_that_are_refused(client: Client, body: Any, expected: tuple[int, int]) -> None:
    """Each with its code, and nothing is started."""
    assert code(client.post("upload/multipart", json=body)) == expected
    assert client.server.uploads() == []


@pytest.mark.parametrize("asked", [-1, 0, 1, 2**20, 5 * 2**20 - 1, 5 * 2**30 + 1, 6 * 2**30, 2**63])
def test_a_part_size_that_storage_cannot_use_is_replaced(asked: int) -> None:
    """The server uses its default, as the vendor's page says; a valid part size is kept."""
    with MockServer() as server:
        client = Client(server)
        assert client.start(size=1, part_size=asked)["part_size"] == DEFAULT_PART_SIZE
        assert client.start(size=1, part_size=5 * 2**20)["part_size"] == 5 * 2**20
        client.close()


@pytest.mark.parametrize(
    "query", ["overwrite=yes", "overwrite=1", "overwrite=", "overwrite=true&overwrite=true", "overwrite=%ff"]
)
def test_booleans_that_are_none(client: Client, query: str) -> None:
    """Only true and false, once, in any case."""
    answer = client.post(f"upload/multipart?{query}", json={"project": "a/b", "name": "x"})
    assert code(answer) == (400, 90000)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1.0",
        "limit=1e1",
        "limit=%2B5",
        "limit=%D9%A1",
        "offset=-1",
        "offset=99999999999999999999",
        "limit=1&limit=2",
        "offset=0&offset=0",
    ],
)
def test_pages_that_cannot_be(client: Client, query: str) -> None:
    """Limits and offsets are integers within their limits, each given once."""
    assert code(client.get(f"upload/multipart?{query}")) == (400, 90000)


def test_what_is_not_declared_is_passed_over(client: Client) -> None:
    """Clients send limit, offset and more with every call; bodies come with GET and DELETE."""
    assert client.get("rate_limit?fields=_all&x=%ff&&&=").status_code == 200
    upload_id = client.start(size=3)["upload_id"]
    path = f"upload/multipart/{upload_id}"
    assert client.get(f"{path}?limit=999&offset=x&colour=red").status_code == 200
    assert (
        client.post(
            "upload/multipart?limit=50&offset=0&fields=_all", json={"project": "a/b", "name": "x", "colour": 1}
        ).status_code
        == 200
    )
    assert (
        client.http.request("GET", path, content=b"null", headers={"Content-Type": "application/json"}).status_code
        == 200
    )
    assert (
        client.http.request("DELETE", path, content=b"{}", headers={"Content-Type": "application/json"}).status_code
        == 204
    )


def test_a_slash_after_part_is_let_pass(client: Client) -> None:
    """The vendor's Python client sends one there; no client sends one elsewhere."""
    upload_id = client.start(size=3)["upload_id"]
    assert client.post(f"upload/multipart/{upload_id}/part/", json=report(1, "x")).status_code == 200
    assert client.get("upload/multipart/").status_code == 404
    assert client.get(f"upload/multipart/{upload_id}/").status_code == 404


def test_fields_choose_the_keys_of_the_answer(server: MockServer) -> None:
    """It takes names, `_all`, and `!name` for all but one; in a list it applies to the items."""
    client = Client(server, checked=False)
    upload_id = client.start(size=3)["upload_id"]
    path = f"upload/multipart/{upload_id}"
    whole = client.get(path).json()
    assert client.get(path, params={"fields": "_all"}).json() == whole
    assert client.get(path, params={"fields": "name,upload_id"}).json() == {"name": "a.bam", "upload_id": upload_id}
    assert client.get(path, params={"fields": "nothing"}).json() == {}
    without = {key: value for key, value in whole.items() if key != "href"}
    assert client.get(path, params={"fields": "!href"}).json() == without
    page = client.get("upload/multipart", params={"fields": "name"}).json()
    assert page["items"] == [{"name": "a.bam"}]
    assert set(page) == {"href", "items", "links"}
    client.close()


def test_a_body_without_end_is_cut_off(client: Client) -> None:
    """17 MiB of JSON are more than any call needs."""
    body = b'{"name": "' + b"x" * (17 * 2**20) + b'"}'
    answer = httpx.post(
        f"{client.server.base_url}/upload/multipart",
        content=body,
        verify=False,
        headers={"X-SBG-Auth-Token": client.server.token, "Content-Type": "application/json"},
    )
    assert answer.status_code == 413
    assert answer.json()["status"] == 413


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /v2/rate_limit HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET /v2/" + b"x" * 10000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_the_platforms_shape_too(server: MockServer, request_bytes: bytes) -> None:
    """The answer is 400 in JSON, without the parser's message."""
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(request_bytes)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (body["status"], body["code"]) == (400, 90000)


def test_a_failure_of_the_mock_shows_no_traceback(server: MockServer, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets 503/90004, and the log has the cause."""
    client = Client(server)
    server._running.state.store.close()
    answer = client.get("upload/multipart")
    assert code(answer) == (503, 90004)
    assert "Traceback" not in answer.text
    assert "The mock failed at listUploads" in caplog.text
    client.close()


def test_hrefs_lead_back_under_the_name_the_client_used(client: Client) -> None:
    """A mock behind another name or port still answers with links that can be followed."""
    upload_id = client.start(size=3)["upload_id"]
    port = client.server.port
    answer = httpx.get(
        f"http://localhost:{port}/v2/upload/multipart/{upload_id}",
        headers={"X-SBG-Auth-Token": client.server.token},
        verify=False,
    )
    assert answer.json()["href"].startswith(f"http://localhost:{port}/v2/")
    odd = client.get(f"upload/multipart/{upload_id}", headers={"Host": 'evil"><script>'})
    assert odd.json()["href"].startswith(client.server.base_url)


def test_many_reports_in_one_call(client: Client) -> None:
    """10,000 parts, the maximum, fit into one bulk report and one completion, which is refused without the bytes."""
    upload_id = client.start(size=10_000, part_size=1)["upload_id"]
    reports = [report(number, md5(b"x")) for number in range(1, 10_001)]
    assert client.post(f"upload/multipart/{upload_id}", json={"parts": reports}).status_code == 200
    assert len(client.reported(upload_id)) == 10_000
    assert code(client.complete(upload_id, reports)) == (409, 8007)


def test_an_operation_that_is_only_in_the_document(monkeypatch):
    """The mock serves a document that has more operations, whatever their bodies are: those answer 501."""
    document = copy.deepcopy(load().document)
    document["paths"]["/things"] = {
        "put": {
            "operationId": "putThing",
            "parameters": [{"name": "kind", "in": "query", "schema": {"type": "string", "enum": ["red"]}}],
            "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string"}}}},
            "responses": {"204": {"description": "Stored."}},
        }
    }
    monkeypatch.setattr("cavatica_mock.contract.load", lambda: Contract(document))
    with MockServer() as server, httpx.Client(headers={"X-SBG-Auth-Token": server.token}) as http:
        kind = {"Content-Type": "application/octet-stream"}
        answer = http.put(f"{server.base_url}/things?kind=red", content=b"x", headers=kind)
        assert (answer.status_code, answer.json()["code"]) == (501, 90010)
        assert "putThing" in answer.json()["message"]
        assert http.get(f"{server.base_url}/upload/multipart").status_code == 200
