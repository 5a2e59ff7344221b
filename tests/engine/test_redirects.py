"""Storage that redirects a part, or answers before it has all of its bytes."""

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from engine_rig import KIB, Rig

from cavatica_upload import StorageError
from cavatica_upload.errors import PartRefused
from cavatica_upload.events import PartRetried
from cavatica_upload.http import connections
from cavatica_upload.plan import Part, PartUrl
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.storage import Storage
from tests.cli.drifting_proxy import Drift, DriftingProxy, in_json

PART_URL = ("GET", "/upload/multipart/{id}/part/{number}")
SIZE = 3 * KIB
S3 = b"<Error><Code>TemporaryRedirect</Code><Message>Please re-send this request.</Message></Error>"
ETAG = '"an-etag"'


class Redirecting(ThreadingHTTPServer):
    """Answers every PUT with a redirect to `location(path)`; `heads` are the headers it got."""

    def __init__(self, status: int, location: Callable[[str], str | None], body: bytes = b"") -> None:
        heads: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                heads.append({name.lower(): value for name, value in self.headers.items()})
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                if (where := location(self.path)) is not None:
                    self.send_header("Location", where)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.heads = heads

    @property
    def origin(self) -> str:
        """The scheme, host and port."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def redirecting(
    status: int, location: Callable[[str], str | None], body: bytes = b"", tls: ssl.SSLContext | None = None
) -> Iterator[Redirecting]:
    """A server that redirects."""
    with Redirecting(status, location, body) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def part_urls_at(origin: str) -> Drift:
    """Part URLs of the mock lead to another server."""

    def moved(answer: dict[str, Any]) -> dict[str, Any]:
        url = urlsplit(answer["url"])
        return {**answer, "url": f"{origin}{url.path}?{url.query}"}

    return Drift(*PART_URL, in_json(moved))


def put(url: str, path: Path, on_bytes: Callable[[int], None] = lambda _: None, **target: Any) -> dict[str, str]:
    """Put a file as one part; returns the headers to report."""
    with closing(LocalFile(path)) as source, closing(Storage()) as storage:
        part = Part(1, 0, path.stat().st_size)
        return dict(storage.put(PartUrl(url=url, **target), part, source, on_bytes=on_bytes).headers)


@pytest.mark.parametrize("body", [b"", S3])
@pytest.mark.parametrize("status", [307, 308])
def test_redirect_that_keeps_the_method_is_followed(rig: Rig, proxy: DriftingProxy, status: int, body: bytes) -> None:
    """Parts that are redirected with 307 or 308 arrive at the other host, and progress counts each byte once."""
    path = rig.file(SIZE)
    with redirecting(status, lambda target: f"{rig.mock.origin}{target}", body) as server:
        proxy.drift = part_urls_at(server.origin)
        rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert len(server.heads) == 3
    assert rig.mock.token not in repr(server.heads)
    assert rig.told(PartRetried) == []
    assert rig.bytes_told() == SIZE


def test_redirects_within_a_host_and_to_another(rig: Rig) -> None:
    """A relative redirect is followed with all headers; another host gets no Authorization and no cookie."""
    path = rig.file(KIB)
    headers = {"Authorization": "Basic abc", "Cookie": "a=b", "X-Amz-Tagging": "t"}
    with redirecting(302, lambda _: "/login") as there:

        def on(target: str) -> str:
            return "/moved" if target == "/part" else f"{there.origin}/part"

        with redirecting(307, on) as here, pytest.raises(PartRefused):
            put(f"{here.origin}/part", path, headers=headers)
    assert [head.get("authorization") for head in here.heads + there.heads] == ["Basic abc", "Basic abc", None]
    assert [head.get("cookie") for head in here.heads + there.heads] == ["a=b", "a=b", None]
    assert [head["x-amz-tagging"] for head in here.heads + there.heads] == ["t"] * 3


@pytest.mark.parametrize(
    ("status", "location", "words", "sent"),
    [
        *(
            (status, "http://login.invalid/?key=sEcReT", "a redirect to http://login.invalid,", 1)
            for status in (301, 302, 303)
        ),
        (307, "/part?key=sEcReT", "a redirect to another address,", 4),  # a loop
        (307, "", "a redirect to another address,", 4),
        (308, "ftp://login.invalid/?key=sEcReT", "a redirect to another address,", 1),
        (307, "http://[::1/?key=sEcReT", "which is not followed", 1),
        (307, "http://login.invalid:99999/?key=sEcReT", "which is not followed", 1),
        (307, None, "answered 307 to part 1.", 1),
    ],
)
def test_redirect_that_is_not_followed(rig: Rig, status: int, location: str | None, words: str, sent: int) -> None:
    """Any other redirect is an error that says where it leads, without the query; at most three are followed."""
    with redirecting(status, lambda _: location) as server, pytest.raises(StorageError) as caught:
        put(f"{server.origin}/part?key=sEcReT", rig.file(10))
    assert words in caught.value.message
    assert "sEcReT" not in repr(caught.value.__dict__)
    assert len(server.heads) == sent


def test_redirect_out_of_tls_is_not_followed(
    rig: Rig, server_tls: ssl.SSLContext, authority_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect from https to http is not followed: others could read the file."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority_file))
    connections.shared_ssl_context.cache_clear()
    try:
        with (
            redirecting(307, lambda _: None) as plain,
            redirecting(307, lambda _: f"{plain.origin}/part", tls=server_tls) as server,
            pytest.raises(PartRefused, match=f"a redirect to {plain.origin}, which is not followed"),
        ):
            put(server.origin.replace("http:", "https:") + "/part", rig.file(10))
        assert plain.heads == []
    finally:
        connections.shared_ssl_context.cache_clear()


@contextmanager
def hasty(answer: bytes) -> Iterator[str]:
    """Storage that answers when it has the head of a request, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(KIB)
                        connection.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/part"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("status", "words"), [(200, "before it had all the bytes"), (503, "answered 503"), (403, "answered 403")]
)
def test_answer_before_the_whole_part(rig: Rig, status: int, words: str) -> None:
    """If storage answers without having read the part, a success is not believed, and a refusal is told."""
    path = rig.file(0)
    os.truncate(path, 64 << 20)  # more than the buffers of a connection hold
    passed: list[int] = []
    answer = f"HTTP/1.1 {status} X\r\nETag: {ETAG}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with hasty(answer) as url, pytest.raises(StorageError, match=words):
        put(url, path, passed.append)
    assert sum(passed) < path.stat().st_size


def test_part_that_is_too_large_for_a_gateway(rig: Rig) -> None:
    """If a part is too large for what is in front of storage, the error says to use smaller ones."""
    with redirecting(413, lambda _: None) as server, pytest.raises(PartRefused, match="413") as caught:
        put(f"{server.origin}/part", rig.file(10))
    assert "smaller parts" in str(caught.value.hint)
