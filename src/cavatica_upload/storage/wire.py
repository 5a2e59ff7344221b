"""The connections to storage: httpx's, on sockets that know a deadline and send without copying.

httpcore's own stream slices the unsent rest of a block after every send, which copies it again and again, and it knows
the silence of a connection but no deadline: a server that answers a byte a minute would hold it for ever.
"""

import os
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import httpcore
import httpx

from cavatica_upload.errors import ConfigError
from cavatica_upload.http.proxies import proxy_for
from cavatica_upload.http.tls import ssl_context_for
from cavatica_upload.storage.spans import Span, Spans

MAX_CONNECTIONS = 64
LOOK_SECONDS = 5.0  # that the kernel waits for room before silence is timed
IDLE_SECONDS = 15.0  # after which a connection is not used again: storage closes it at 20 or so

_BROKEN = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)


class _Raising:
    """Turns errors of sockets into httpcore's. Made once: a new one for each block would cost as much as the rest."""

    def __init__(self, late: type[Exception], broken: type[Exception]) -> None:
        self._late = late
        self._broken = broken

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, TimeoutError):
            raise self._late(str(error)) from error
        if isinstance(error, OSError):
            raise self._broken(str(error)) from error


_CONNECTING = _Raising(httpcore.ConnectTimeout, httpcore.ConnectError)
_READING = _Raising(httpcore.ReadTimeout, httpcore.ReadError)
_WRITING = _Raising(httpcore.WriteTimeout, httpcore.WriteError)


class Deadline:
    """A moment of the monotonic clock for what this thread does with its sockets."""

    def __init__(self) -> None:
        self._here = threading.local()

    @contextmanager
    def set(self, moment: float) -> Iterator[None]:
        """Let no read and no write of this thread go on beyond a moment."""
        self._here.moment = moment
        try:
            yield
        finally:
            self._here.moment = float("inf")

    def bound(self, timeout: float | None) -> float | None:
        """Return the timeout, shortened to what is left; raises TimeoutError where nothing is."""
        moment: float = getattr(self._here, "moment", float("inf"))
        if moment == float("inf"):
            return timeout
        left = moment - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline is over")
        return left if timeout is None else min(timeout, left)


class Wire(httpx.BaseTransport):
    """Connections to any host, directly or through the proxy that the environment names for it."""

    def __init__(self, deadline: Deadline) -> None:
        self.spans = Spans()
        self._backend = _Backend(deadline, self.spans)
        self._lock = threading.Lock()
        self._ways: dict[tuple[str, str, int | None], httpcore.ConnectionPool] = {}  # by scheme, host and port
        self._pools: dict[tuple[str, str | None], httpcore.ConnectionPool] = {}  # by scheme and proxy

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, its body still to come; raises httpx's exceptions."""
        url = request.url
        self.spans.forget()
        with _as_httpx():
            answer = self._pool(url).handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(status_code=answer.status, headers=answer.headers, stream=_Body(answer.stream))

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            pools = list(self._pools.values())
            self._ways, self._pools = {}, {}
        for pool in pools:
            pool.close()

    def _pool(self, url: httpx.URL) -> httpcore.ConnectionPool:
        origin = url.scheme, url.host, url.port
        with self._lock:
            pool = self._ways.get(origin)
            if pool is None:  # the environment is read once for a host: that takes a millisecond
                way = url.scheme, proxy_for(*origin)
                pool = self._pools.get(way) or self._make(*way)
                self._ways[origin] = self._pools[way] = pool
            return pool

    def _make(self, scheme: str, proxy: str | None) -> httpcore.ConnectionPool:
        options: dict[str, Any] = {
            "ssl_context": ssl_context_for(scheme),
            "max_connections": MAX_CONNECTIONS,
            "max_keepalive_connections": MAX_CONNECTIONS,
            "keepalive_expiry": IDLE_SECONDS,
            "network_backend": self._backend,
        }
        if proxy is None:
            return httpcore.ConnectionPool(**options)
        try:
            given = httpx.Proxy(proxy)
            options |= {"proxy_url": str(given.url), "proxy_auth": given.raw_auth}
            if given.url.scheme.startswith("socks"):
                return httpcore.SOCKSProxy(**options)
            return httpcore.HTTPProxy(**options)
        except (ImportError, ValueError, httpx.InvalidURL):
            # Its text is not shown: a proxy's URL may hold a password.
            raise ConfigError(
                "The proxy in the environment cannot be used for storage.",
                "Set HTTPS_PROXY to a URL like http://host:port; for SOCKS install httpx[socks].",
            ) from None


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _Backend(httpcore.NetworkBackend):
    def __init__(self, deadline: Deadline, spans: Spans) -> None:
        self._plain = httpcore.SyncBackend()
        self._deadline = deadline
        self._spans = spans

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        with _CONNECTING:
            timeout = self._deadline.bound(timeout)
        inner = self._plain.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(inner, self._deadline, self._spans)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline, spans: Spans) -> None:
        self._inner = inner
        self._deadline = deadline
        self._spans = spans
        self._socket: socket.socket = inner.get_extra_info("socket")
        self._through = False  # TLS within TLS, to an https proxy: only the inner stream knows how
        # Windows wants another value for the option, and OpenSSL would try again for ever.
        self._plain = sys.platform != "win32" and not isinstance(self._socket, ssl.SSLSocket)
        self._patience = 0.0  # seconds, as the kernel was told

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _READING:
            timeout = self._deadline.bound(timeout)
            if self._through:
                return self._inner.read(max_bytes, timeout)
            self._allow(timeout)
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _WRITING:
            span = self._spans.take(buffer)
            if span is None:
                self._write(buffer, timeout)
            else:
                self._write_span(span, timeout)

    def close(self) -> None:
        self._inner.close()

    def _write(self, data: bytes, timeout: float | None) -> None:
        if self._through:
            self._inner.write(data, self._deadline.bound(timeout))
            return
        rest = memoryview(data)
        while rest:
            if self._plain:
                sent = self._in_kernel(partial(self._socket.send, rest), timeout)
            else:
                self._allow(self._deadline.bound(timeout))
                sent = self._socket.send(rest)
            rest = rest[sent:]

    def _write_span(self, span: Span, timeout: float | None) -> None:
        offset, end = span.offset, span.offset + span.size
        out, file = self._socket.fileno(), span.source.descriptor
        try:
            while self._plain and offset < end:
                sent = self._in_kernel(partial(os.sendfile, out, file, offset, end - offset), timeout)
                if not sent:
                    break
                offset += sent
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            pass  # not every file system can; and where it is the disk or the network, what follows tells which
        for block in span.source.blocks(offset, end - offset):
            self._write(block, timeout)

    def _in_kernel(self, send: Callable[[], int], timeout: float | None) -> int:
        """Send what goes, while the kernel waits for room (socket(7), SO_SNDTIMEO): one system call a block.

        With a timeout of Python's, each piece that fits into the socket's buffer costs a `poll` and a `send`, and
        either of them another turn of waiting for the interpreter's lock. The kernel's counts all waiting of a call,
        and a call that sent something before it was over ends well; so it is short, and silence is timed here.
        """
        self._allow(None)
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            left = self._deadline.bound(end - time.monotonic())
            if left is None or left <= 0:
                raise TimeoutError("nothing was taken for too long")
            patience = min(left, LOOK_SECONDS)
            if patience != self._patience:
                self._patience = patience
                value = struct.pack("@ll", *divmod(max(1, int(patience * 1e6)), 1_000_000))
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
            with suppress(BlockingIOError):
                return send()

    def _allow(self, timeout: float | None) -> None:
        if self._socket.gettimeout() != timeout:  # setting it is a system call, asking for it is none
            self._socket.settimeout(timeout)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with _CONNECTING:
            timeout = self._deadline.bound(timeout)
        twice = isinstance(self._socket, ssl.SSLSocket)
        stream = _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._deadline, self._spans)
        stream._through = twice
        return stream

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Raise httpx's exceptions for httpcore's, which have the same names; they hold no request, whose URL is a key."""
    try:
        yield
    except _BROKEN as error:
        kind: type[httpx.RequestError] = getattr(httpx, type(error).__name__)
        raise kind(str(error)) from error
