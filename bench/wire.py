"""As much HTTP/1.1 as the sink needs, on bare sockets, so that the server costs next to no CPU.

On Linux a body is thrown away inside the kernel: `recv` with MSG_TRUNC on a TCP socket drops the bytes without copying
them (tcp(7)), and MSG_WAITALL returns once for a whole chunk. Elsewhere, and over TLS, the bytes are copied into one
scratch buffer.
"""

import json
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

CHUNK = 8 << 20
SWALLOW = socket.MSG_TRUNC | socket.MSG_WAITALL if sys.platform == "linux" else 0
SCRATCH = bytearray(CHUNK)  # with MSG_TRUNC never written to; without it, the same rubbish for every thread
PHRASES = {200: "OK", 201: "Created", 204: "No Content"}


class Gone(Exception):
    """The client closed the connection, or a fault of ours did."""


@dataclass
class Request:
    """One request head, and the connection its body is still to be read from."""

    sock: socket.socket
    method: str
    path: str
    headers: dict[str, str]
    rest: bytes  # what was read of the body together with the head
    length: int = field(init=False)
    unread: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = int(self.headers.get("content-length", "0"))
        self.rest = self.rest[: self.length]
        self.unread = self.length - len(self.rest)
        if self.headers.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def swallow(self, count: int) -> int:
        """Throw away at most `count` more bytes of the body; the number of bytes that came."""
        count = min(count, self.unread, CHUNK)
        flags = 0 if isinstance(self.sock, ssl.SSLSocket) else SWALLOW
        got = self.sock.recv_into(SCRATCH, count, flags) if count else 0
        if count and not got:
            raise Gone
        self.unread -= got
        return got

    def read(self, count: int) -> bytes:
        """At most `count` more bytes of the body, for the scenarios that look at them."""
        if self.rest:
            data, self.rest = self.rest, b""
            return data
        data = self.sock.recv(min(count, self.unread, 1 << 20))
        if not data:
            raise Gone
        self.unread -= len(data)
        return data

    def body(self) -> bytes:
        """The whole body; for small JSON only."""
        parts = []
        while self.rest or self.unread:
            parts.append(self.read(1 << 16))
        return b"".join(parts)

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        """Send the answer; after an unread body the connection cannot be used again and is closed."""
        lines = [f"HTTP/1.1 {status} {PHRASES.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if status != 204:
            lines.append(f"Content-Length: {len(body)}")
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        if self.unread:
            raise Gone

    def answer_json(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        """Send a JSON document."""
        self.answer(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    def reset(self) -> None:
        """Cut the connection with a TCP reset instead of a goodbye."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone


def read_request(sock: socket.socket) -> Request | None:
    """The next request of a connection; None when the client has said goodbye."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines)
    return Request(sock, method, path, {name.strip().lower(): value.strip() for name, value in pairs}, rest)


def serve(
    handler: Callable[[Request], None], receive_buffer: int | None = None, tls: ssl.SSLContext | None = None
) -> int:
    """Answer requests on a free port of the loopback for ever, a thread per connection; the port."""
    server = socket.create_server(("127.0.0.1", 0), backlog=256)
    if receive_buffer:  # inherited by the connections; small, so that a slow reader is felt by the writer
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)

    def converse(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with tls.wrap_socket(sock, server_side=True) if tls else sock as spoken:
                while (request := read_request(spoken)) is not None:
                    handler(request)
        except (Gone, OSError):
            return

    def accept() -> None:
        while True:
            sock, _ = server.accept()
            threading.Thread(target=converse, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = server.getsockname()[1]
    return port
