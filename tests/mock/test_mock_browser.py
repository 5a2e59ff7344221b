"""Web pages: those of this machine may call the mock, others may not."""

import socket

import httpx
import pytest
from mock_client import Client

from cavatica_mock import Fault, MockServer

LOCAL = ["http://127.0.0.1:4000", "http://localhost", "https://localhost:8443", "http://[::1]:3000"]
FOREIGN = [
    "https://evil.example",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "null",
    "",
    "http://[",
    "http://evil.example\\@localhost",
    "http://user@localhost",
    "http://localhost/path",
]


def preflight(url: str, origin: str, method: str = "POST") -> httpx.Response:
    """The preflight of a browser before a call from a page."""
    names = "content-type,x-sbg-auth-token"
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": names}
    return httpx.options(url, headers={"Origin": origin, **asked})


@pytest.mark.parametrize("origin", [*LOCAL, "null"])
def test_a_page_of_this_machine_can_call_the_api(client: Client, server: MockServer, origin: str) -> None:
    """The preflight is answered without a token, and the page can read answers, errors and headers.

    `null` is a page that was opened as a file.
    """
    asked = preflight(f"{server.base_url}/upload/multipart", origin)
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == origin
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    assert asked.headers["Access-Control-Allow-Headers"] == "content-type,x-sbg-auth-token"
    assert server.calls.total() == 0
    for path in ("upload/multipart", "upload/multipart/unknown"):
        answer = client.get(path, headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "X-RateLimit-Remaining" in answer.headers["Access-Control-Expose-Headers"]


def test_a_page_of_this_machine_can_send_and_read_bytes(client: Client, server: MockServer) -> None:
    """Storage answers pages too, and lets them read the ETag."""
    page = {"Origin": LOCAL[0]}
    upload_id = client.start(size=3)["upload_id"]
    url = client.part_url(upload_id, 1)
    assert preflight(url, LOCAL[0], "PUT").headers["Access-Control-Allow-Origin"] == LOCAL[0]
    put = client.storage.put(url, content=b"abc", headers=page)
    assert (put.status_code, put.headers["Access-Control-Allow-Origin"]) == (200, LOCAL[0])
    assert "ETag" in put.headers["Access-Control-Expose-Headers"]
    report = {"part_number": 1, "response": {"headers": {"ETag": put.headers["ETag"]}}}
    file_id = client.complete(upload_id, [report]).json()["id"]
    download = client.get(f"files/{file_id}/download_info").json()["url"]
    read = client.storage.get(download, headers=page)
    assert (read.content, read.headers["Access-Control-Allow-Origin"]) == (b"abc", LOCAL[0])
    server.faults.add(Fault("listUploads", "slow", bytes_per_second=1e6))
    assert client.get("upload/multipart", headers=page).headers["Access-Control-Allow-Origin"] == LOCAL[0]


@pytest.mark.parametrize("origin", [origin for origin in FOREIGN if origin != "null"])
def test_a_page_from_elsewhere_is_not_permitted(client: Client, server: MockServer, origin: str) -> None:
    """It gets no CORS headers, so its browser hides answers and makes no call that needs a preflight."""
    asked = preflight(f"{server.base_url}/upload/multipart", origin)
    assert asked.status_code == 405
    assert "Access-Control-Allow-Origin" not in asked.headers
    assert "Access-Control-Allow-Origin" not in client.get("upload/multipart", headers={"Origin": origin}).headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": host}
        for host in (
            *("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "192.0.2.7", "a b", "[", "0.0.0.0"),
            *("evil.example@localhost", "evil.example\\@localhost", "localhost/x", "localhost#x", "localhost?x"),
            *("localhost:x", "localhost:99999999", "::1", "[::2]", "127.1"),
        )
    ]
    + [{"Origin": origin} for origin in FOREIGN]
    + [{"X-Forwarded-Host": "evil.example"}, {"X-Forwarded-Host": "localhost, evil.example"}],
)
@pytest.mark.parametrize(("method", "what"), [("POST", "reset"), ("GET", "files"), ("POST", "faults")])
def test_the_mocks_own_endpoints_refuse_what_a_page_from_elsewhere_sends(
    client: Client, server: MockServer, headers: dict[str, str], method: str, what: str
) -> None:
    """A foreign Host or Origin gets 403, and nothing is done."""
    client.start()
    body = {"json": {"on": "*", "then": "close"}} if what == "faults" else {}
    answer = client.storage.request(method, f"{server.origin}/_mock/{what}", headers=headers, **body)
    assert answer.status_code == 403
    assert "this machine only" in answer.json()["message"]
    assert (len(server.uploads()), server.faults.to_json()) == (1, [])


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.2:1", "[::1]:8080", "[0:0::1]"])
def test_the_mocks_own_endpoints_know_this_machine_by_its_names(client: Client, server: MockServer, host: str) -> None:
    """Tools and pages of this machine may use them."""
    answer = client.storage.get(f"{server.origin}/_mock/calls", headers={"Host": host, "Origin": LOCAL[0]})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("http://evil.example/_mock/reset", ["Host: localhost"]),
        ("http://localhost@evil.example/_mock/reset", ["Host: localhost"]),
        ("http://localhost/_mock/reset", ["Host: evil.example"]),
        ("/_mock/reset", ["Host: localhost", "Origin: http://localhost", "Origin: http://evil.example"]),
        ("/_mock/reset", ["Host: localhost", "Host: evil.example"]),
        ("/_mock/reset", ["Host: localhost", "X-Forwarded-Host: localhost", "X-Forwarded-Host: evil.example"]),
    ],
)
def test_a_request_that_names_two_hosts_is_judged_by_each(
    client: Client, server: MockServer, target: str, headers: list[str]
) -> None:
    """The target and every header with a host must name this machine."""
    client.start()
    with socket.create_connection((server.host, server.port)) as connection:
        head = "\r\n".join([f"POST {target} HTTP/1.1", *headers, "Content-Length: 0", "Connection: close"])
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] in (b"400", b"403")
    assert len(server.uploads()) == 1
