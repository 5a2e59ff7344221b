"""The transports under every API call: they add the token, wait for the rate limit, retry, and raise errors.

They are below httpx's handling of redirects, so that nothing above can send the token elsewhere, and they see each
answer before it is parsed. `policy.py` decides on retries; the transports carry that out, with threads and asyncio.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
import httpx

from cavatica_upload.api.operations import operation_of, recognise
from cavatica_upload.api.policy import Accept, CallAttempts, Fail, Policy, Retry, clock_text
from cavatica_upload.api.rate_limit import RateLimiter
from cavatica_upload.config import same_origin
from cavatica_upload.errors import Interrupted
from cavatica_upload.events import Event, Notice, RateLimitWait, Retrying
from cavatica_upload.http.bodies import LARGEST, TooLarge, aread, decoded, read
from cavatica_upload.http.connections import AsyncConnections, Connections, deadline
from cavatica_upload.http.failures import causes, describe_failure
from cavatica_upload.redact import Secret
from cavatica_upload.timing import Timing

TOKEN_HEADER = "X-SBG-Auth-Token"  # noqa: S105  (a name; docs.cavatica.org, The API)
SECRET_HEADERS = (TOKEN_HEADER, "Authorization", "X-SBG-Session-Id")
LOOK_AGAIN = 0.2
"""Seconds between two checks of an asynchronous wait for its cancellation."""
SLACK = 2.0
"""The time of a whole answer, as a multiple of the longest silence."""

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class Calls:
    """The state that all connections of a client share, and the steps that both transports have in common."""

    endpoint: str
    token: Secret
    policy: Policy
    timing: Timing
    rate_limiter: RateLimiter
    on_event: Callable[[Event], None]
    cancel: threading.Event | None
    _maintenance_until: float = 0.0

    def owns(self, url: httpx.URL) -> bool:
        """Return whether a URL has the API's own scheme, host and port."""
        return same_origin(self.endpoint, f"{url.scheme}://{url.netloc.decode('ascii')}")

    def begin(self, request: httpx.Request) -> CallAttempts:
        """Begin a call of the API."""
        operation = operation_of(request, httpx.URL(self.endpoint)) or recognise(request.method, request.url.path)
        return CallAttempts(operation, self.policy, self.timing)

    def with_token(self, request: httpx.Request, call: CallAttempts, seconds: float) -> httpx.Request:
        """Return the request as it is sent: with the token, and with timeouts within the seconds of an attempt."""
        headers = _without_secrets(request.headers)
        headers[TOKEN_HEADER] = self.token.reveal()
        headers.setdefault("Content-Type", "application/json")  # the platform wants it on every call
        headers["Accept-Encoding"] = "gzip, deflate"  # what `decoded()` knows
        limits = {**request.extensions.get("timeout", {}), "read": self._silence(request, call)}
        timeout = {
            kind: seconds if (limit := limits.get(kind)) is None else min(limit, seconds)
            for kind in ("connect", "read", "write", "pool")
        }
        return _copy(request, headers, {**request.extensions, "timeout": timeout})

    def without_token(self, request: httpx.Request) -> httpx.Request:
        """Return the request without any token, for another origin."""
        return _copy(request, _without_secrets(request.headers), dict(request.extensions))

    def seconds_for(self, request: httpx.Request, call: CallAttempts) -> float:
        """Return how long an attempt may take, its whole answer included."""
        silence = self._silence(request, call)
        return max(min(float("inf") if silence is None else SLACK * silence, call.time_left), 0.1)

    def _silence(self, request: httpx.Request, call: CallAttempts) -> float | None:
        """Return the seconds without a byte that end an attempt, None if none do."""
        silence: float | None = request.extensions.get("timeout", {}).get("read")
        return max(silence, self.timing.slow_silence) if silence is not None and call.operation.slow else silence

    def failed(self, call: CallAttempts, error: httpx.RequestError) -> Retry | Fail:
        """Judge an attempt that ended without a whole answer."""
        failure = describe_failure(error, httpx.URL(self.endpoint))
        if not call.operation.free:
            if failure.maybe_acted:
                self.rate_limiter.record({})
            else:
                self.rate_limiter.give_back()
        logger.debug("%s: %s", call.operation.name, failure.reason)
        return call.failed(failure)

    def answered(
        self, call: CallAttempts, response: httpx.Response, raw: bytes | None
    ) -> httpx.Response | Retry | Fail:
        """Judge an answer; return the response for the caller if it is accepted. `raw` is None if it was too large."""
        status = response.status_code
        try:
            body = None if raw is None else decoded(response.headers.get("Content-Encoding", ""), raw)
        except TooLarge:
            body = None
        self.rate_limiter.record(response.headers, refused=status == 429, counted=not call.operation.free)
        if body is None and 200 <= status < 300:
            return call.oversized(status, LARGEST)
        body = body or b""  # the status of a failure is enough
        decision = call.answered(status, response.headers, body)
        logger.debug("%s: answered %d, %d bytes", call.operation.name, status, len(body))
        if not isinstance(decision, Accept):
            return decision
        if decision.instead is not None:
            return httpx.Response(decision.instead, extensions=response.extensions)
        headers = httpx.Headers(response.headers)
        for name in ("Content-Encoding", "Transfer-Encoding", "Content-Length"):
            headers.pop(name, None)
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body), extensions=response.extensions)

    def settle(self, call: CallAttempts, decision: Retry | Fail, cause: BaseException | None) -> float:
        """Return the seconds until the next attempt; raises if the call failed.

        Called when no frame that holds the request or the answer is on the stack: either may hold the token.
        """
        if isinstance(decision, Fail):
            for lower in causes(cause):
                lower.__traceback__ = None  # the frames in httpx and below hold the token's header
            raise decision.error from cause
        if decision.rate_limited and not call.operation.free:
            return 0.0  # all calls wait for the reset now, this one like the others
        self._report(call, decision)
        return decision.delay

    def wait_begins(self, seconds: float) -> None:
        """Report a wait for the rate limit."""
        self.on_event(RateLimitWait(seconds=seconds, reset=time.time() + seconds))

    def check_cancelled(self, call: CallAttempts) -> None:
        """Raise Interrupted if the run was stopped."""
        if self.cancel is not None and self.cancel.is_set():
            raise Interrupted.while_waiting(f"an answer to {call.operation.name}")

    def _report(self, call: CallAttempts, retry: Retry) -> None:
        name, attempt = call.operation.name, call.attempts + 1
        logger.info("%s: %s; again in %.1f s (attempt %d)", name, retry.reason, retry.delay, attempt)
        if retry.maintenance and time.monotonic() >= self._maintenance_until:
            self._maintenance_until = time.monotonic() + retry.delay
            self.on_event(
                Notice(
                    None,
                    f"The platform is down for maintenance; trying again at {clock_text(time.time() + retry.delay)}. "
                    "Parts that were uploaded are kept.",
                )
            )
        self.on_event(Retrying(name, attempt, retry.reason, retry.delay))


class ApiTransport(httpx.BaseTransport):
    """The synchronous transport."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._connections = Connections()
        self._connections.check(calls.endpoint)  # a proxy that cannot be used is reported before the first call

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call with all its attempts; a request to another origin is passed on without the token."""
        calls = self._calls
        if not calls.owns(request.url):
            return self._connections.handle_request(calls.without_token(request))
        request.read()
        call = calls.begin(request)
        while True:
            self._take_call(call)
            cause: httpx.RequestError | None = None
            try:
                result = self._attempt(request, call)
            except httpx.RequestError as error:
                result, cause = calls.failed(call, error), error
            if isinstance(result, httpx.Response):
                return result
            if (calls.cancel or threading.Event()).wait(calls.settle(call, result, cause)):
                raise Interrupted.while_waiting(f"another attempt at {call.operation.name}")

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def _attempt(self, request: httpx.Request, call: CallAttempts) -> httpx.Response | Retry | Fail:
        seconds = self._calls.seconds_for(request, call)
        with deadline(time.monotonic() + seconds):
            response = self._connections.handle_request(self._calls.with_token(request, call, seconds))
            raw = read(response)
        return self._calls.answered(call, response, raw)

    def _take_call(self, call: CallAttempts) -> None:
        self._calls.check_cancelled(call)
        if not call.operation.free:
            began = time.monotonic()
            self._calls.rate_limiter.acquire(self._calls.cancel, self._calls.wait_begins)
            call.extend_deadline(time.monotonic() - began)


class AsyncApiTransport(httpx.AsyncBaseTransport):
    """The asynchronous transport; it polls the cancel event, which is one of threads."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._connections = AsyncConnections()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call with all its attempts; a request to another origin is passed on without the token."""
        calls = self._calls
        if not calls.owns(request.url):
            return await self._connections.handle_async_request(calls.without_token(request))
        await request.aread()
        call = calls.begin(request)
        while True:
            await self._take_call(call)
            cause: httpx.RequestError | None = None
            try:
                result = await self._attempt(request, call)
            except httpx.RequestError as error:
                result, cause = calls.failed(call, error), error
            if isinstance(result, httpx.Response):
                return result
            await self._pause(calls.settle(call, result, cause), call)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    async def _attempt(self, request: httpx.Request, call: CallAttempts) -> httpx.Response | Retry | Fail:
        seconds = self._calls.seconds_for(request, call)
        sent = self._calls.with_token(request, call, seconds)
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                response = await self._connections.handle_async_request(sent)
                raw = await aread(response)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the deadline is over") from error
        return self._calls.answered(call, response, raw)

    async def _take_call(self, call: CallAttempts) -> None:
        self._calls.check_cancelled(call)
        if call.operation.free:
            return
        began = time.monotonic()
        while wait := self._calls.rate_limiter.try_acquire(self._calls.wait_begins):
            await self._pause(min(wait, LOOK_AGAIN), call)
        call.extend_deadline(time.monotonic() - began)

    async def _pause(self, seconds: float, call: CallAttempts) -> None:
        cancel = self._calls.cancel
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            await asyncio.sleep(left if cancel is None else min(left, LOOK_AGAIN))
            if cancel is not None and cancel.is_set():
                raise Interrupted.while_waiting(f"another attempt at {call.operation.name}")


def _without_secrets(headers: httpx.Headers) -> httpx.Headers:
    kept = httpx.Headers(headers)
    for name in SECRET_HEADERS:
        kept.pop(name, None)
    return kept


def _copy(request: httpx.Request, headers: httpx.Headers, extensions: dict[str, Any]) -> httpx.Request:
    return httpx.Request(request.method, request.url, headers=headers, stream=request.stream, extensions=extensions)
