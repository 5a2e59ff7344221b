"""The transports under every API call: they add the token, wait for the rate limit, retry, and raise errors.

They are below httpx's handling of redirects, so that nothing above can send the token elsewhere, and they see each
answer before it is parsed. `policy.py` decides on retries; the transports carry that out, with threads and asyncio.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
import httpx

from cavatica_upload.api.operations import SLOW, recognise
from cavatica_upload.api.policy import CallAttempts, Policy, Retry, clock_text
from cavatica_upload.api.rate_limit import RateLimiter
from cavatica_upload.api.responses import Answer
from cavatica_upload.config import same_origin
from cavatica_upload.errors import CavaticaError, Interrupted
from cavatica_upload.events import Event, Notice, RateLimitWait, Retrying
from cavatica_upload.http.connections import AsyncConnections, Connections, deadline
from cavatica_upload.http.exchange import LARGEST, causes, decoded, describe_failure
from cavatica_upload.redact import Secret
from cavatica_upload.timing import Timing

TOKEN_HEADER = "X-SBG-Auth-Token"  # noqa: S105  (a name; docs.cavatica.org, The API)
SECRET_HEADERS = (TOKEN_HEADER, "Authorization", "X-SBG-Session-Id")
POLL = 0.2  # seconds between two checks of an asynchronous wait for its cancellation
SLACK = 2.0  # the time of a whole answer, as a multiple of the longest silence
AS_IT_CAME = "cavatica_upload.as_it_came"
"""The extension of a request whose answer is not adapted to the document, since it is read leniently."""
ANSWER = "cavatica_upload.answer"  # the extension of a response that holds the answer as it came

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

    def begin(self, request: httpx.Request) -> CallAttempts | None:
        """Begin a call of the API; None for a request to another scheme, host or port."""
        url = request.url
        if not same_origin(self.endpoint, f"{url.scheme}://{url.netloc.decode('ascii')}"):
            return None
        path = url.raw_path.partition(b"?")[0].removeprefix(httpx.URL(self.endpoint).raw_path).decode("ascii")
        return CallAttempts(recognise(request.method, path), self.policy, self.timing)

    def with_token(self, request: httpx.Request, call: CallAttempts) -> tuple[httpx.Request, float]:
        """Return the request as it is sent, with the token, and the seconds for the attempt and its whole answer."""
        headers = _without_secrets(request.headers)
        headers[TOKEN_HEADER] = self.token.reveal()
        headers.setdefault("Content-Type", "application/json")  # the platform wants it on every call
        headers["Accept-Encoding"] = "gzip, deflate"  # what `decoded()` knows
        limits: dict[str, float | None] = dict(request.extensions.get("timeout", {}))
        silence = limits.get("read")
        if silence is not None and call.operation.name in SLOW:
            silence = limits["read"] = max(silence, self.timing.slow_silence)
        seconds = max(min(float("inf") if silence is None else SLACK * silence, call.time_left), 0.1)
        timeout = {
            kind: seconds if (limit := limits.get(kind)) is None else min(limit, seconds)
            for kind in ("connect", "read", "write", "pool")
        }
        return _copy(request, headers, {**request.extensions, "timeout": timeout}), seconds

    def without_token(self, request: httpx.Request) -> httpx.Request:
        """Return the request without any token, for another origin."""
        return _copy(request, _without_secrets(request.headers), dict(request.extensions))

    def failed(self, call: CallAttempts, error: httpx.RequestError) -> Retry | CavaticaError:
        """Judge an attempt that ended without a whole answer."""
        failure = describe_failure(error, httpx.URL(self.endpoint))
        if failure.maybe_acted:
            self.abandoned(call)
        elif call.counted:
            self.rate_limiter.give_back()
        logger.debug("%s: %s", call.operation.name, failure.reason)
        return call.failed(failure)

    def abandoned(self, call: CallAttempts) -> None:
        """End an attempt that nobody waits for any more; the server may have counted it."""
        if call.counted:
            self.rate_limiter.record({})

    def answered(self, call: CallAttempts, response: httpx.Response, raw: bytearray) -> Answer | Retry | CavaticaError:
        """Judge an attempt by its answer; `raw` is the body as it came, cut off after LARGEST."""
        status, headers = response.status_code, response.headers
        body = decoded(headers.get("Content-Encoding", ""), bytes(raw)) if len(raw) <= LARGEST else None
        self.rate_limiter.record(headers, refused=status == 429, counted=call.counted)
        logger.debug("%s: answered %d, %d bytes", call.operation.name, status, len(body or b""))
        return call.answered(status, headers, body, self.rate_limiter.refusals)

    def settle(self, call: CallAttempts, decision: Retry | CavaticaError, cause: BaseException | None) -> float:
        """Return the seconds until the next attempt; raises if the call failed.

        Called when no frame that holds the request or the answer is on the stack: either may hold the token.
        """
        if isinstance(decision, CavaticaError):
            for lower in causes(cause):
                lower.__traceback__ = None  # the frames in httpx and below hold the token's header
            raise decision from cause
        if decision.rate_limited:
            return 0.0  # the limiter waits, and reports it
        name, attempt = call.operation.name, call.attempts + 1
        logger.info("%s: %s; again in %.1f s (attempt %d)", name, decision.reason, decision.delay, attempt)
        if decision.maintenance and time.monotonic() >= self._maintenance_until:
            self._maintenance_until = time.monotonic() + decision.delay
            back = clock_text(time.time() + decision.delay)
            text = f"The platform is down for maintenance; trying again at {back}. Parts that were uploaded are kept."
            self.on_event(Notice(None, text))
        self.on_event(Retrying(name, attempt, decision.reason, decision.delay))
        return decision.delay

    def response(self, request: httpx.Request, answer: Answer) -> httpx.Response:
        """Return an accepted answer as a response; raises UnexpectedAnswer if a generated function cannot read it."""
        shown = answer if AS_IT_CAME in request.extensions else answer.as_documented(request.content)
        headers = httpx.Headers(answer.headers)
        for name in ("Content-Encoding", "Transfer-Encoding", "Content-Length"):
            headers.pop(name, None)
        stream = httpx.ByteStream(shown.body)
        return httpx.Response(shown.status, headers=headers, stream=stream, extensions={ANSWER: answer})

    def report_wait(self, seconds: float) -> None:
        self.on_event(RateLimitWait(seconds=seconds, reset=time.time() + seconds))

    def check_cancelled(self, call: CallAttempts) -> None:
        """Raise Interrupted if the run was stopped."""
        if self.cancel is not None and self.cancel.is_set():
            raise Interrupted.while_waiting(f"an answer to {call.operation.name}")


class ApiTransport(Connections):
    """The synchronous transport."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls
        self.to(httpx.URL(calls.endpoint))  # a proxy that cannot be used is reported before the first call

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call with all its attempts; a request to another origin is passed on without the token."""
        calls = self._calls
        call = calls.begin(request)
        if call is None:
            return super().handle_request(calls.without_token(request))
        request.read()
        while True:
            self._take_call(call)
            cause: httpx.RequestError | None = None
            try:
                result = self._attempt(request, call)
            except httpx.RequestError as error:
                result, cause = calls.failed(call, error), error
            except BaseException:  # Ctrl-C, or a task that was cancelled
                calls.abandoned(call)
                raise
            if isinstance(result, Answer):
                return calls.response(request, result)
            if (calls.cancel or threading.Event()).wait(calls.settle(call, result, cause)):
                raise Interrupted.while_waiting(f"another attempt at {call.operation.name}")

    def _attempt(self, request: httpx.Request, call: CallAttempts) -> Answer | Retry | CavaticaError:
        (sent, seconds), body = self._calls.with_token(request, call), bytearray()
        with deadline(time.monotonic() + seconds):
            response = super().handle_request(sent)
            with contextlib.closing(response):
                for block in response.iter_raw():
                    body += block
                    if len(body) > LARGEST:
                        break
        return self._calls.answered(call, response, body)

    def _take_call(self, call: CallAttempts) -> None:
        self._calls.check_cancelled(call)
        if call.counted:
            began = time.monotonic()
            self._calls.rate_limiter.acquire(self._calls.cancel, self._calls.report_wait)
            call.extend_deadline(time.monotonic() - began)


class AsyncApiTransport(AsyncConnections):
    """The asynchronous transport; it polls the cancel event, which is one of threads."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call with all its attempts; a request to another origin is passed on without the token."""
        calls = self._calls
        call = calls.begin(request)
        if call is None:
            return await super().handle_async_request(calls.without_token(request))
        await request.aread()
        while True:
            await self._take_call(call)
            cause: httpx.RequestError | None = None
            try:
                result = await self._attempt(request, call)
            except httpx.RequestError as error:
                result, cause = calls.failed(call, error), error
            except BaseException:  # Ctrl-C, or a task that was cancelled
                calls.abandoned(call)
                raise
            if isinstance(result, Answer):
                return calls.response(request, result)
            await self._pause(calls.settle(call, result, cause), call)

    async def _attempt(self, request: httpx.Request, call: CallAttempts) -> Answer | Retry | CavaticaError:
        (sent, seconds), body = self._calls.with_token(request, call), bytearray()
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                response = await super().handle_async_request(sent)
                async with contextlib.aclosing(response):
                    async for block in response.aiter_raw():
                        body += block
                        if len(body) > LARGEST:
                            break
        except TimeoutError as error:
            raise httpx.ReadTimeout("the deadline has passed") from error
        return self._calls.answered(call, response, body)

    async def _take_call(self, call: CallAttempts) -> None:
        self._calls.check_cancelled(call)
        if call.counted:
            began = time.monotonic()
            while wait := self._calls.rate_limiter.try_acquire(self._calls.report_wait):
                await self._pause(min(wait, POLL), call)
            call.extend_deadline(time.monotonic() - began)

    async def _pause(self, seconds: float, call: CallAttempts) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            await asyncio.sleep(left if self._calls.cancel is None else min(left, POLL))
            self._calls.check_cancelled(call)


def _without_secrets(headers: httpx.Headers) -> httpx.Headers:
    kept = httpx.Headers(headers)
    for name in SECRET_HEADERS:
        kept.pop(name, None)
    return kept


def _copy(request: httpx.Request, headers: httpx.Headers, extensions: dict[str, Any]) -> httpx.Request:
    return httpx.Request(request.method, request.url, headers=headers, stream=request.stream, extensions=extensions)
