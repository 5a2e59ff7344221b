"""A proxy in front of the API whose answers to one operation differ from the document in one way."""

import http.client
import json
import re
import threading
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import attrs

HOP_BY_HOP = ("connection", "content-length", "transfer-encoding", "date", "server")


@attrs.define
class Reply:
    """An answer before it is sent to the client."""

    status: int
    headers: dict[str, str]
    body: bytes


@attrs.frozen
class Drift:
    """A change of the successful answers to one operation."""

    method: str
    path: str  # as in the document
    change: Callable[[Reply], None]

    def fits(self, method: str, path: str) -> bool:
        """Whether a request is of this operation."""
        pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(self.path))
        return method == self.method and re.search(rf"/v2{pattern}/?$", path) is not None


class Gate:
    """A change that changes nothing: it holds the answers after the first ones until it is opened."""

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self._lock = threading.Lock()
        self._opened = threading.Event()

    def open(self) -> None:
        """Send all answers."""
        self._opened.set()

    def __call__(self, _reply: Reply) -> None:
        with self._lock:
            self._first -= 1
            held = self._first < 0
        if held:
            self._opened.wait()


class DriftingProxy:
    """Passes requests on to an API; `drift` is applied where it fits.

    The next request of the operation `refused` is answered with an error: instead of being done, or `lost` after it.
    """

    def __init__(self, base_url: str) -> None:
        self.drift: Drift | None = None
        self.refused: Drift | None = None
        self.lost: Drift | None = None
        self.hits = 0
        self.changed = 0
        target = urlsplit(base_url)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.split("?", 1)[0]
                if proxy.refused is not None and proxy.refused.fits(self.command, path):
                    proxy.refused = None
                    self.answer(failure(403, 8001))
                    return
                if proxy.lost is not None and proxy.lost.fits(self.command, path):
                    proxy.lost = None
                    self.ask(body)
                    self.answer(failure(500, 90009))
                    return
                try:
                    reply = self.ask(body)
                except (OSError, http.client.HTTPException):  # and it gets no answer
                    self.close_connection = True
                    return
                drift = proxy.drift
                if drift is not None and 200 <= reply.status < 300 and drift.fits(self.command, path):
                    before = attrs.evolve(reply)
                    drift.change(reply)
                    proxy.hits += 1
                    proxy.changed += reply != before
                self.answer(reply)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one  # noqa: N815  (the names of http.server)

            def ask(self, body: bytes) -> Reply:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
                with closing(http.client.HTTPConnection(str(target.hostname), target.port, timeout=60)) as connection:
                    connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
                    answered = connection.getresponse()
                    return Reply(answered.status, dict(answered.getheaders()), answered.read())

            def answer(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                if reply.status != 204:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if reply.status != 204:
                    self.wfile.write(reply.body)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def base_url(self) -> str:
        """The API as clients see it through the proxy."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v2"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def failure(status: int, code: int) -> Reply:
    """Make an error of the platform."""
    body = {"status": status, "code": code, "message": "No."}
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def in_json(change: Callable[[Any], Any]) -> Callable[[Reply], None]:
    """Change the JSON of an answer."""

    def apply(reply: Reply) -> None:
        if reply.body.strip():
            reply.body = json.dumps(change(json.loads(reply.body))).encode()

    return apply
