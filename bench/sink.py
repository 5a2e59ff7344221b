"""A storage over TLS that drops the bytes, and answers with ETags that were computed before."""

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

BLOCK = 1 << 20
RATE_INTERVAL = 0.05  # seconds between reads at a limited rate

Stored = Callable[[str, int, int, str], None]  # upload ID, part number, size, ETag


def part_md5s(path: Path, part_size: int) -> list[str]:
    """Return the MD5 of every part of a file, so that the sink need not compute it while clients are measured."""
    size = path.stat().st_size

    def digest(start: int) -> str:
        md5 = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as file:
            file.seek(start)
            left = min(part_size, size - start)
            while left:
                block = file.read(min(left, BLOCK))
                md5.update(block)
                left -= len(block)
        return md5.hexdigest()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(digest, range(0, max(size, 1), part_size)))


class Sink(ThreadingHTTPServer):
    """Takes parts of files whose MD5s are known by the name of the file, and calls `stored` for each.

    `rate` is bytes a second of one connection.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, tls: ssl.SSLContext, md5s: dict[str, list[str]], rate: int | None) -> None:
        super().__init__(("127.0.0.1", 0), Put)
        # The handshake is left to the thread of the connection; the thread that accepts would do one after another.
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        if rate is not None:  # inherited by the connections; small, so that the client waits for a slow reader
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 << 10)
        self.md5s, self.rate = md5s, rate
        self.stored: Stored = lambda *_: None
        self.lock = threading.Lock()
        self.in_flight = 0
        self.reset()

    @property
    def origin(self) -> str:
        """The start of part URLs."""
        return f"https://127.0.0.1:{self.server_port}"

    def reset(self) -> None:
        """Set the counts to zero."""
        self.parts = self.bytes_received = self.most_in_flight = 0

    def count(self, *, parts: int = 0, received: int = 0) -> None:
        """Count a part that starts (1) or ends (-1), and bytes."""
        with self.lock:
            self.parts += max(0, parts)
            self.in_flight += parts
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self.bytes_received += received

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is part of the measurement."""


class Put(BaseHTTPRequestHandler):
    """One connection."""

    server: Sink
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_PUT(self) -> None:
        """Drop the bytes of a part, and report it to the mock."""
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        upload_id, number = query["uploadId"][0], int(query["partNumber"][0])
        size = int(self.headers["Content-Length"])
        self.server.count(parts=1)
        try:
            self._drop(size)
        finally:
            self.server.count(parts=-1)
        etag = self.server.md5s[unquote(url.path).rpartition("+")[2]][number - 1]
        self.server.stored(upload_id, number, size, etag)
        self.send_response(200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _drop(self, size: int) -> None:
        rate = self.server.rate
        block = memoryview(bytearray(BLOCK if rate is None else max(1, int(rate * RATE_INTERVAL))))
        began, seen = time.monotonic(), 0
        while seen < size:
            got = self.rfile.readinto1(block[: size - seen])
            if not got:
                raise ConnectionResetError
            seen += got
            self.server.count(received=got)
            if rate is not None:
                time.sleep(max(0.0, began + seen / rate - time.monotonic()))

    def log_message(self, *_: object) -> None:
        """Log nothing."""
