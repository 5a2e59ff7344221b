"""What both transports have in common: who gets the token, what an attempt looks like, what its end means."""

import logging
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx

from cavatica_upload.api.operations import Operation, recognise
from cavatica_upload.budget.calls import CallBudget
from cavatica_upload.config import same_origin
from cavatica_upload.errors import Interrupted
from cavatica_upload.events import Retrying
from cavatica_upload.http.failures import causes, describe_failure
from cavatica_upload.http.retry import Again, Answer, Exchange, GiveUp, Policy, Take, Verdict
from cavatica_upload.redact import Secret

logger = logging.getLogger(__name__)

TOKEN_HEADER = "X-SBG-Auth-Token"  # noqa: S105  (a name; docs.cavatica.org, The API)
SECRET_HEADERS = (TOKEN_HEADER, "Authorization", "X-SBG-Session-Id")


@attrs.frozen(eq=False)
class Guard:
    """Everything that an attempt needs to know, shared by all connections of a client."""

    endpoint: str
    token: Secret
    policy: Policy
    budget: CallBudget
    on_retry: Callable[[Retrying], None] | None = None
    cancel: threading.Event | None = None

    def owns(self, url: httpx.URL) -> bool:
        """Return whether a URL has the API's own scheme, host and port."""
        return same_origin(self.endpoint, f"{url.scheme}://{url.netloc.decode('ascii')}")

    def exchange(self, request: httpx.Request) -> Exchange:
        """Begin a call of the API."""
        path = request.url.raw_path.decode("ascii").split("?", 1)[0]
        below = path.removeprefix(urlsplit(self.endpoint).path)
        return Exchange(recognise(request.method, below), self.policy)

    def dressed(self, request: httpx.Request, exchange: Exchange) -> httpx.Request:
        """Return the request as it is sent: with the token, and with timeouts that the deadline allows."""
        headers = _without_secrets(request.headers)
        headers[TOKEN_HEADER] = self.token.reveal()
        headers.setdefault("Content-Type", "application/json")  # asked for on every call, with a body or without
        left = max(exchange.time_left, 0.1)
        timeout = dict(request.extensions.get("timeout", {}))
        for kind in ("connect", "read", "write", "pool"):
            seconds = timeout.get(kind)
            if kind == "read" and seconds is not None:
                seconds = max(seconds, exchange.operation.patience)
            timeout[kind] = left if seconds is None else min(seconds, left)
        return _copy(request, headers, {**request.extensions, "timeout": timeout})

    def undressed(self, request: httpx.Request) -> httpx.Request:
        """Return the request as another origin may see it."""
        return _copy(request, _without_secrets(request.headers), dict(request.extensions))

    def lost(self, exchange: Exchange, error: httpx.RequestError, number: int | None) -> Verdict:
        """Judge an attempt that ended without a whole answer."""
        loss = describe_failure(error, httpx.URL(self.endpoint))
        if number is not None:
            if loss.maybe_acted:
                self.budget.observe({}, number)
            else:
                self.budget.give_back(number)
        logger.debug("%s: %s", exchange.operation.name, loss.reason)
        return exchange.lost(loss)

    def answered(
        self, exchange: Exchange, response: httpx.Response, raw: bytes, number: int | None
    ) -> tuple[httpx.Response, Verdict]:
        """Judge an answer, and make of it what the caller gets."""
        status = response.status_code
        body = raw
        if "Content-Encoding" in response.headers:
            body = httpx.Response(status, headers=response.headers, content=raw).content  # decoded, or DecodingError
        self.budget.observe(response.headers, number, refused=status == 429)
        verdict = exchange.answered(Answer(status, response.headers, body))
        logger.debug("%s: answered %d, %d bytes", exchange.operation.name, status, len(body))
        if isinstance(verdict, Take) and verdict.instead is not None:
            return httpx.Response(verdict.instead, extensions=response.extensions), verdict
        whole = httpx.Response(
            status, headers=response.headers, stream=httpx.ByteStream(raw), extensions=response.extensions
        )
        return whole, verdict

    def settle(self, exchange: Exchange, verdict: Verdict, cause: BaseException | None) -> float | None:
        """Raise what the verdict says is to be raised; else return the seconds to pause, None where it is done."""
        if isinstance(verdict, GiveUp):
            for lower in causes(cause):
                lower.__traceback__ = None  # the frames in httpx and below hold the token's header
            raise verdict.error from cause
        if isinstance(verdict, Take):
            return None
        self._tell(exchange, verdict)
        if verdict.rate_limited:
            exchange.excuse(verdict.delay)
        return verdict.delay

    def check_cancelled(self, operation: Operation) -> None:
        """Raise Interrupted where the run was stopped."""
        if self.cancel is not None and self.cancel.is_set():
            raise Interrupted.while_waiting(f"an answer to {operation.name}")

    def _tell(self, exchange: Exchange, verdict: Again) -> None:
        logger.info(
            "%s: %s; again in %.1f s (attempt %d)",
            exchange.operation.name,
            verdict.reason,
            verdict.delay,
            exchange.attempts + 1,
        )
        if verdict.rate_limited:
            self.budget.announce(verdict.delay)
        if self.on_retry is not None:
            self.on_retry(Retrying(exchange.operation.name, exchange.attempts + 1, verdict.reason, verdict.delay))


def _without_secrets(headers: httpx.Headers) -> httpx.Headers:
    kept = httpx.Headers(headers)
    for name in SECRET_HEADERS:
        kept.pop(name, None)
    return kept


def _copy(request: httpx.Request, headers: httpx.Headers, extensions: dict[str, Any]) -> httpx.Request:
    return httpx.Request(request.method, request.url, headers=headers, stream=request.stream, extensions=extensions)
