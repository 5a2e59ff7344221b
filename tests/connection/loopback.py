"""A server on a real socket that gives the answers of a test, byte by byte if needed."""

import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from typing import Any, Self

import attrs

from cavatica_upload.timing import Timing

QUICK = Timing(first_backoff=0.005, longest_backoff=0.06, reset_margin=0.05)
"""Pauses between attempts are a hundredth of what they are, or less; how they are drawn is tested by itself."""
TOKEN = "0123456789abcdef0123456789abcdef"
Reply = bytes | Callable[[socket.socket], None]


@attrs.frozen
class Request:
    """A request as it was received."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    port: int
    """That of the client: it tells connections apart."""


def answer(
    status: int,
    body: object = b"",
    *,
    headers: Mapping[str, str] | None = None,
    date: float | None = None,
    reason: str = "Whatever",
) -> bytes:
    """Return the bytes of an answer; a body that is not bytes is sent as JSON."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(payload)}"]
    if status == 204:
        lines.pop()
    if not isinstance(body, bytes):
        lines.append("Content-Type: application/json")
    if date is not None:
        lines.append(f"Date: {formatdate(date, usegmt=True)}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


def problem(status: int, code: int | None = None, message: str = "No.") -> bytes:
    """Return an error in the words of the platform."""
    body: dict[str, object] = {"status": status, "message": message, "more_info": "http://docs.example/#1"}
    if code is not None:
        body["code"] = code
    return answer(status, body)


def limited(remaining: int, resets_in: float, clock_skew: float = 0.0, status: int = 200) -> bytes:
    """Return an answer with rate-limit headers, from a server whose clock is wrong by some seconds."""
    now = time.time() + clock_skew
    headers = {
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(int(now + resets_in)),
    }
    body = {"status": 429, "code": 1000, "message": "Too many."} if status == 429 else UPLOAD
    return answer(status, body, headers=headers, date=now)


def close(_: socket.socket) -> None:
    """Close the connection without an answer."""


def reset(connection: socket.socket) -> None:
    """Reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


UPLOAD = {
    "upload_id": "u1",
    "project": "mlin/rna-pilot",
    "name": "a.bam",
    "initiated": "2026-11-22T10:00:00Z",
    "parallel_uploads": True,
    "part_size": 33554432,
    "uploaded_parts_count": 0,
}
FILE = {
    "href": "https://cavatica.example/v2/files/f1",
    "path": "/Projects/x/a.bam",
    "id": "f1",
    "project": "mlin/rna-pilot",
    "name": "a.bam",
    "type": "file",
    "size": 3,
    "created_on": "2026-11-22T10:00:00Z",
    "modified_on": "2026-11-22T10:00:00Z",
}


class Loopback:
    """Sends the replies in order, the last one repeatedly, and keeps the requests.

    A reply is the bytes of an answer, or a function of the connection; `stall` waits until the server is closed.
    """

    def __init__(self, *replies: Reply | str) -> None:
        self.requests: list[Request] = []
        self._replies = list(replies)
        self._lock = threading.Condition()
        self._closing = threading.Event()
        loopback = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while loopback.handle(self):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """Ignore clients that disconnect."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        """The base URL, as that of the API."""
        return f"http://127.0.0.1:{self.port}/v2"

    def wait_for(self, count: int) -> None:
        """Wait until a number of requests was received."""
        with self._lock:
            self._lock.wait_for(lambda: len(self.requests) >= count)

    def stall(self, _: socket.socket) -> None:
        """Answer nothing until the server is closed."""
        self._closing.wait()

    def dribble(self, connection: socket.socket) -> None:
        """Send the start of an answer, and then single bytes."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{")
        while not self._closing.wait(0.02):
            connection.sendall(b" ")

    def handle(self, handler: socketserver.StreamRequestHandler) -> bool:
        first = handler.rfile.readline().decode("latin-1").split()
        if len(first) != 3:
            return False
        headers: dict[str, str] = {}
        while (line := handler.rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        with self._lock:
            self.requests.append(Request(first[0], first[1], headers, body, handler.client_address[1]))
            self._lock.notify_all()
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, str):
            reply = getattr(self, reply)
        if isinstance(reply, bytes):
            handler.wfile.write(reply)
            return True
        reply(handler.connection)
        return False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def targets(requests: Iterable[Request]) -> list[str]:
    """Return methods and targets, to compare."""
    return [f"{request.method} {request.target}" for request in requests]
