"""The transports under every generated function: the token where it belongs, the budget, the retries, errors raised.

They sit below httpx's handling of redirects, so that nothing above can send the token elsewhere, and they see an
answer before the generated code parses it. What to do is decided in `retry.py` and `guard.py`; here it is done, once
with threads and once with asyncio.
"""

import asyncio
import threading
import time

import httpx

from cavatica_upload.api.operations import Operation
from cavatica_upload.errors import Interrupted
from cavatica_upload.http.connections import AsyncConnections, Connections
from cavatica_upload.http.guard import Guard
from cavatica_upload.http.retry import Exchange

LOOK_AGAIN = 0.2
"""Seconds after which an asynchronous wait looks whether it was cancelled."""


class ApiTransport(httpx.BaseTransport):
    """The synchronous transport."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._connections = Connections()
        self._connections.check(guard.endpoint)  # a proxy that cannot be used is reported before the first call

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call with all its attempts; a request to another origin just passes, without the token."""
        guard = self._guard
        if not guard.owns(request.url):
            return self._connections.handle_request(guard.undressed(request))
        request.read()
        exchange = guard.exchange(request)
        while True:
            number = self._take_call(exchange)
            cause: httpx.RequestError | None = None
            answer = None
            try:
                response = self._connections.handle_request(guard.dressed(request, exchange))
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
        self._connections.close()

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
        self._connections = AsyncConnections()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call with all its attempts; a request to another origin just passes, without the token."""
        guard = self._guard
        if not guard.owns(request.url):
            return await self._connections.handle_async_request(guard.undressed(request))
        await request.aread()
        exchange = guard.exchange(request)
        while True:
            number = await self._take_call(exchange)
            cause: httpx.RequestError | None = None
            answer = None
            try:
                response = await self._connections.handle_async_request(guard.dressed(request, exchange))
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
        await self._connections.aclose()

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
