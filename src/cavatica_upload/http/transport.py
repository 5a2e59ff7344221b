"""The transports under every generated function: the token where it belongs, the budget, the retries, errors raised.

They sit below httpx's handling of redirects, so that nothing above can send the token elsewhere, and they see an
answer before the generated code parses it. What to do is decided in `retry.py` and `guard.py`; here it is done, once
with threads and once with asyncio.
"""

import asyncio
import contextlib
import encodings.idna  # noqa: F401 - every look-up of a host needs it, and the first would wait for it
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import httpx

from cavatica_upload.api.operations import Operation
from cavatica_upload.errors import ConfigError, Interrupted
from cavatica_upload.http.guard import Guard
from cavatica_upload.http.proxies import proxy_for
from cavatica_upload.http.retry import Exchange
from cavatica_upload.http.tls import ssl_context_for

LIMITS = httpx.Limits(max_connections=128, max_keepalive_connections=64, keepalive_expiry=5.0)
LOOK_AGAIN = 0.2
"""Seconds after which an asynchronous wait looks whether it was cancelled."""

Route = TypeVar("Route", httpx.HTTPTransport, httpx.AsyncHTTPTransport)


class Routes(Generic[Route]):
    """Connections to one origin, and to others as they are asked for: each directly or through its proxy."""

    def __init__(self, make: Callable[[str, str | None], Route], endpoint: str) -> None:
        self._make: Callable[[str, str | None], Route] = make
        self._lock = threading.Lock()
        self._by_way: dict[tuple[str, str | None], Route] = {}  # scheme and proxy
        self.own: Route = self.to(httpx.URL(endpoint))  # at once: a proxy that cannot be used is told of before a call

    def to(self, url: httpx.URL) -> Route:
        """Return the connections that lead to a URL."""
        way = url.scheme, proxy_for(url.scheme, url.host, url.port)
        with self._lock:
            if way not in self._by_way:
                self._by_way[way] = self._make(*way)
            return self._by_way[way]

    def all(self) -> list[Route]:
        """Return what was made, to be closed."""
        with self._lock:
            return list(self._by_way.values())


class ApiTransport(httpx.BaseTransport):
    """The synchronous transport."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._routes: Routes[httpx.HTTPTransport] = Routes(_sync_route, guard.endpoint)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call with all its attempts; a request to another origin just passes, without the token."""
        guard = self._guard
        if not guard.owns(request.url):
            return self._routes.to(request.url).handle_request(guard.undressed(request))
        request.read()
        exchange = guard.exchange(request)
        while True:
            number = self._take_call(exchange)
            cause: httpx.RequestError | None = None
            answer = None
            try:
                response = self._routes.own.handle_request(guard.dressed(request, exchange))
                answer, verdict = guard.answered(exchange, response, _read(response, exchange), number)
            except httpx.RequestError as error:
                cause = error
                verdict = guard.lost(exchange, error, number)
            pause = guard.settle(exchange, verdict, cause)
            if pause is None and answer is not None:
                return answer
            self._pause(pause or 0.0, exchange.operation)

    def close(self) -> None:
        """Close all connections."""
        for route in self._routes.all():
            route.close()

    def _take_call(self, exchange: Exchange) -> int | None:
        self._guard.check_cancelled(exchange.operation)
        if exchange.operation.free:
            return None
        began = time.monotonic()
        number = self._guard.budget.acquire(self._guard.cancel)
        exchange.excuse(time.monotonic() - began)
        return number

    def _pause(self, seconds: float, operation: Operation) -> None:
        if (self._guard.cancel or threading.Event()).wait(seconds):
            raise Interrupted.while_waiting(f"another attempt at {operation.name}")


class AsyncApiTransport(httpx.AsyncBaseTransport):
    """The asynchronous transport; waits are in slices, since the cancel event belongs to threads."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._routes: Routes[httpx.AsyncHTTPTransport] = Routes(_async_route, guard.endpoint)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call with all its attempts; a request to another origin just passes, without the token."""
        guard = self._guard
        if not guard.owns(request.url):
            return await self._routes.to(request.url).handle_async_request(guard.undressed(request))
        await request.aread()
        exchange = guard.exchange(request)
        while True:
            number = await self._take_call(exchange)
            cause: httpx.RequestError | None = None
            answer = None
            try:
                response = await self._routes.own.handle_async_request(guard.dressed(request, exchange))
                answer, verdict = guard.answered(exchange, response, await _aread(response, exchange), number)
            except httpx.RequestError as error:
                cause = error
                verdict = guard.lost(exchange, error, number)
            pause = guard.settle(exchange, verdict, cause)
            if pause is None and answer is not None:
                return answer
            await self._pause(pause or 0.0, exchange.operation)

    async def aclose(self) -> None:
        """Close all connections."""
        for route in self._routes.all():
            await route.aclose()

    async def _take_call(self, exchange: Exchange) -> int | None:
        self._guard.check_cancelled(exchange.operation)
        if exchange.operation.free:
            return None
        told = False
        while True:
            number, wait = self._guard.budget.try_acquire()
            if not wait:
                return number
            if not told:
                self._guard.budget.announce(wait)
                told = True
            wait = min(wait, LOOK_AGAIN)
            exchange.excuse(wait)
            await self._pause(wait, exchange.operation)

    async def _pause(self, seconds: float, operation: Operation) -> None:
        cancel = self._guard.cancel
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            await asyncio.sleep(left if cancel is None else min(left, LOOK_AGAIN))
            if cancel is not None and cancel.is_set():
                raise Interrupted.while_waiting(f"another attempt at {operation.name}")


def _read(response: httpx.Response, exchange: Exchange) -> bytes:
    blocks = []
    try:
        for block in response.iter_raw():
            blocks.append(block)
            _check_deadline(exchange)
    finally:
        response.close()
    return b"".join(blocks)


async def _aread(response: httpx.Response, exchange: Exchange) -> bytes:
    blocks = []
    try:
        async for block in response.aiter_raw():
            blocks.append(block)
            _check_deadline(exchange)
    finally:
        await response.aclose()
    return b"".join(blocks)


def _check_deadline(exchange: Exchange) -> None:
    if exchange.time_left < 0:
        raise httpx.ReadTimeout("the answer trickles")


def _sync_route(scheme: str, proxy: str | None) -> httpx.HTTPTransport:
    with _proxy_trouble():
        return httpx.HTTPTransport(verify=ssl_context_for(scheme), limits=LIMITS, proxy=proxy)


def _async_route(scheme: str, proxy: str | None) -> httpx.AsyncHTTPTransport:
    with _proxy_trouble():
        return httpx.AsyncHTTPTransport(verify=ssl_context_for(scheme), limits=LIMITS, proxy=proxy)


@contextlib.contextmanager
def _proxy_trouble() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise ConfigError(
            "The proxy in the environment is a SOCKS proxy, and the package for those is not installed.",
            "Install httpx[socks], or set HTTPS_PROXY to an HTTP proxy.",
        ) from None
    except (httpx.InvalidURL, ValueError):
        # Its text is not shown: a proxy's URL may hold a password.
        raise ConfigError(
            "The proxy in the environment is not a URL.", "Set HTTPS_PROXY to a URL like http://host:port."
        ) from None
