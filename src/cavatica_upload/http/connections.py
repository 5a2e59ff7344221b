"""Connections to the API and to storage: TLS, proxies, pools, and a deadline for every read and write.

httpx limits the silence of a connection, not its total time: a server that sends a byte a minute, or one interim
answer after another, would block a thread forever. `deadline()` limits the total time.
"""

import contextlib
import contextvars
import encodings.idna  # noqa: F401 - loaded now, because the first look-up of a host would have to load it
import functools
import ipaddress
import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import httpcore
import httpx

from cavatica_upload.config import PORTS, address_of, is_loopback
from cavatica_upload.errors import ConfigError

LIMITS = httpx.Limits(max_connections=128, max_keepalive_connections=64, keepalive_expiry=5.0)
SLICE = 64 << 10  # bytes that are written between two checks of the deadline
MOST_SOCKS = 255  # bytes of a user name or a password (RFC 1929, 2)

Pool = TypeVar("Pool", httpx.HTTPTransport, httpx.AsyncHTTPTransport)


# Pools


class _Pools(Generic[Pool]):
    """Connection pools of a kind, one for each process, scheme and proxy, made when first needed.

    If a forked child used a connection of its parent, either could get the other's answers.
    """

    kind: type[Pool]

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_origin: dict[tuple[int, str, str, int | None], Pool] = {}
        self._by_route: dict[tuple[int, str, str | None], Pool] = {}

    def to(self, url: httpx.URL) -> Pool:
        """Return the pool for a URL. Raises ConfigError if the proxy or the certificates for it cannot be used."""
        origin = os.getpid(), url.scheme, url.host, url.port
        with self._lock:
            pool = self._by_origin.get(origin)
            if pool is None:  # the environment is read once for each host: reading it takes as long as a small call
                proxy = proxy_for(url.scheme, url.host, url.port)
                route = os.getpid(), url.scheme, proxy
                pool = self._by_route.get(route) or self._make(url.scheme, proxy)
                self._by_route[route] = self._by_origin[origin] = pool
            return pool

    def _make(self, scheme: str, proxy_url: str | None) -> Pool:
        with _proxy_errors(scheme):
            proxy = None
            if proxy_url is not None:
                secure = proxy_url.lower().startswith("https:")
                proxy = httpx.Proxy(proxy_url, ssl_context=shared_ssl_context() if secure else None)
            # For http the context is not used; httpx would make one, which takes longer than an API call.
            context = shared_ssl_context() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            pool: Pool = self.kind(verify=context, limits=LIMITS, proxy=proxy)
        if proxy is not None:
            _forget_failed_connections(pool._pool)  # noqa: SLF001  (as below)
        if isinstance(pool, httpx.HTTPTransport):
            # httpx has no argument for httpcore's network backend, which enforces the deadline.
            pool._pool._network_backend = _BoundedBackend(pool._pool._network_backend)  # noqa: SLF001
        return pool


def _forget_failed_connections(pool: Any) -> None:
    """Remove a connection from a pool if a request fails: httpcore keeps a tunnel in which TLS failed for ever.

    128 of them block the pool. A wrong answer of a SOCKS proxy becomes a ProxyError, too.
    """
    create = pool.create_connection

    @contextlib.contextmanager
    def forgotten(connection: Any) -> Iterator[None]:
        try:
            yield
        except httpcore.ConnectionNotAvailable:  # another request has it
            raise
        except BaseException as error:
            connection.is_closed = lambda: True
            if type(error).__module__.startswith("socksio."):
                raise httpcore.ProxyError("its answer is not one of SOCKS 5") from error
            raise

    def create_connection(origin: httpcore.Origin) -> Any:
        connection: Any = create(origin)
        send: Any = getattr(connection, "handle_request", None)  # a pool has one of the two
        send_async: Any = getattr(connection, "handle_async_request", None)

        def handle_request(request: httpcore.Request) -> Any:
            with forgotten(connection):
                return send(request)

        async def handle_async_request(request: httpcore.Request) -> Any:
            with forgotten(connection):
                return await send_async(request)

        connection.handle_request, connection.handle_async_request = handle_request, handle_async_request
        return connection

    pool.create_connection = create_connection


class Connections(_Pools[httpx.HTTPTransport], httpx.BaseTransport):
    """Connections to any host, directly or through its proxy; no cookies, no redirects, no HTTP/2."""

    kind = httpx.HTTPTransport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request once and return the answer, its body still to come; raises httpx's exceptions."""
        return self.to(request.url).handle_request(request)

    def close(self) -> None:
        for pool in list(self._by_route.values()):
            pool.close()


class AsyncConnections(_Pools[httpx.AsyncHTTPTransport], httpx.AsyncBaseTransport):
    """The same for one event loop."""

    kind = httpx.AsyncHTTPTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request once and return the answer, its body still to come; raises httpx's exceptions."""
        return await self.to(request.url).handle_async_request(request)

    async def aclose(self) -> None:
        for pool in list(self._by_route.values()):
            await pool.aclose()


# Deadlines

_deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline", default=float("inf"))


@contextlib.contextmanager
def deadline(moment: float) -> Iterator[None]:
    """End every synchronous read and write in this block at a moment of the monotonic clock, with httpx's timeouts.

    Asynchronous code uses `asyncio.timeout`.
    """
    before = _deadline.set(moment)
    try:
        yield
    finally:
        _deadline.reset(before)


def _bounded(timeout: float | None, late: type[Exception]) -> float | None:
    moment = _deadline.get()
    if moment == float("inf"):
        return timeout
    left = moment - time.monotonic()
    if left <= 0:
        raise late("the deadline has passed")
    return left if timeout is None else min(timeout, left)


class _BoundedBackend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = _bounded(timeout, httpcore.ConnectTimeout)
        try:
            return _BoundedStream(self._inner.connect_tcp(host, port, timeout, local_address, socket_options))
        except UnicodeError as error:  # a label of a name is too long to be looked up
            raise httpcore.ConnectError("no host can have this name") from error


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _bounded(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view: Any = memoryview(buffer)  # the inner stream slices what is left after every send, which would copy bytes
        for start in range(0, len(view), SLICE):
            self._inner.write(view[start : start + SLICE], _bounded(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = _bounded(timeout, httpcore.ConnectTimeout)
        return _BoundedStream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


# TLS


@functools.cache
def shared_ssl_context() -> ssl.SSLContext:
    """Return the shared TLS context; it is made once, since that takes longer than an API call.

    It trusts the authorities of SSL_CERT_FILE or SSL_CERT_DIR, else those of the package certifi. Raises ConfigError
    if they cannot be read.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        given = os.environ.get("SSL_CERT_FILE")
        what = f"SSL_CERT_FILE, {given}," if given else "The list of authorities of certifi"
        why = "there is no certificate in it" if isinstance(error, ssl.SSLError) else (error.strerror or "").lower()
        raise ConfigError(
            f"{what} cannot be used: {why or type(error).__name__}.",
            "Point SSL_CERT_FILE at a file of certificates in PEM form" + (", or unset it." if given else "."),
        ) from error


# Proxies


def proxy_for(scheme: str, host: str, port: int | None = None) -> str | None:
    """Return the URL of the proxy for a host, None if it is reached directly.

    Looks at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, or their lower-case forms, and the system's settings.
    This machine itself is never reached through a proxy. Raises ConfigError if the proxy cannot be used; its URL is
    not shown, since it may hold a password.
    """
    port = port or PORTS.get(scheme)
    if is_loopback(host) or _excepted(host, port) or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    proxies = urllib.request.getproxies()
    proxy = (proxies.get(scheme) or proxies.get("all") or "").strip()
    if not proxy:
        return None
    with _proxy_errors(scheme):
        url = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
        url.host.encode("idna")  # what a look-up of the name begins with; a label may be too long for it
        if not url.host or not 0 < (url.port or 1) < 65536:
            raise ValueError
        if url.scheme not in ("http", "https", "socks5", "socks5h"):
            raise ConfigError(
                f"The kind of proxy for {scheme} in the environment is not supported.",
                f"Set {scheme.upper()}_PROXY to a URL like http://host:port.",
            )
        if "socks" in url.scheme and max(len(url.username.encode()), len(url.password.encode())) > MOST_SOCKS:
            raise ConfigError(
                f"The user name or the password of the SOCKS proxy has more than {MOST_SOCKS} bytes.",
                "SOCKS 5 cannot send longer ones: use others, or an HTTP proxy.",
            )
        return str(url)


def shown(proxy: str) -> str:
    """Return a proxy's URL without the credentials that may be in it."""
    url = httpx.URL(proxy)
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _excepted(host: str, port: int | None) -> bool:
    """Return whether NO_PROXY has a host: `*`, the host or the end of its name, its network; each also with a port."""
    host = host.lower().rstrip(".")
    address = address_of(host.partition("%")[0])
    for entry in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").lower().replace(",", " ").split():
        may_have_port = "]" in entry or entry.count(":") == 1
        bare = (entry.removesuffix(f":{port}") if may_have_port else entry).replace("[", "").replace("]", "")
        name = bare.removeprefix("*").strip(".")
        if bare == "*" or host == name or host.endswith(f".{name}"):
            return True
        with contextlib.suppress(ValueError):  # of what is no network
            if address is not None and address in ipaddress.ip_network(name, strict=False):
                return True
    return False


@contextlib.contextmanager
def _proxy_errors(scheme: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise ConfigError(
            f"The proxy for {scheme} in the environment is a SOCKS proxy, and the package for those is not installed.",
            f"Install httpx[socks], or set {scheme.upper()}_PROXY to an HTTP proxy.",
        ) from None
    except (httpx.InvalidURL, ValueError):
        raise ConfigError(
            f"The proxy for {scheme} in the environment is not a URL.",
            f"Set {scheme.upper()}_PROXY to a URL like http://host:port.",
        ) from None
