"""
`connect()`: the generated client, made safe.

What it returns is an `AuthenticatedClient`, so that any generated function takes it, asynchronous ones too.
"""

import asyncio
import importlib.metadata
import ssl
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import httpx

from cavatica_client import AuthenticatedClient
from cavatica_upload.budget import CallBudget
from cavatica_upload.config import find_settings
from cavatica_upload.errors import UsageError
from cavatica_upload.events import Retrying
from cavatica_upload.guard import TOKEN_HEADER, Guard, Secret
from cavatica_upload.operations import refuse_unsafe_path
from cavatica_upload.redaction import redact_logs
from cavatica_upload.retry import Policy
from cavatica_upload.transport import ApiTransport, AsyncApiTransport, shared_ssl_context

CONNECT_TIMEOUT = 15.0
DISTRIBUTION = "cavatica-upload"


def connect(
    token: str | None = None,
    endpoint: str | None = None,
    *,
    profile: str | None = None,
    timeout: float = 60.0,
    budget: CallBudget | None = None,
    budget_store: Path | None = None,
    attempts: int = 5,
    deadline: float = 900.0,
    on_retry: Callable[[Retrying], None] | None = None,
    cancel: threading.Event | None = None,
    allow_http: bool = False,
) -> "SafeClient":
    """
    Return a client for the generated functions of `cavatica_client`.

    `token`, `endpoint`, `profile` and `allow_http`: as in `find_settings`. `timeout` is how long the server may be
    silent, in seconds. A call is tried `attempts` times, and for `deadline` seconds in all, waits for the rate limit
    not counted; `on_retry` is told before every pause. Setting `cancel` ends every wait with Interrupted. Calls are
    counted in `budget`, or in one of this client's own, shared with other processes through the file `budget_store`.

    With this client every generated function raises the errors of `cavatica_upload.errors`, and never returns an
    ApiError model. The token goes to the endpoint's scheme, host and port alone; redirects are not followed. A call
    that may have been done already is made again only if that does no harm. Raises ConfigError.
    """
    settings = find_settings(token, endpoint, profile, allow_http=allow_http)
    if attempts < 1 or deadline <= 0 or timeout <= 0:
        raise UsageError("attempts must be 1 or more, and deadline and timeout more than 0 seconds.")
    redact_logs()
    if budget is None:
        budget = CallBudget(budget_store, CallBudget.key_for(settings.endpoint, settings.token))
    guard = Guard(
        endpoint=settings.endpoint,
        token=Secret(settings.token),
        policy=Policy(attempts=attempts, deadline=deadline),
        budget=budget,
        on_retry=on_retry,
        cancel=cancel,
    )
    return SafeClient(guard, settings.source, timeout)


class SafeClient(AuthenticatedClient):
    """
    The generated client, whose connections keep the token to themselves; made by `connect()`.

    Its own `token` is a placeholder: the real one is known to the transports only. It can be shared by threads, and
    by several event loops one after the other; it cannot be copied or pickled.
    """

    def __init__(
        self,
        guard: Guard,
        source: str,
        timeout: float | httpx.Timeout,
        *,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        transport: ApiTransport | None = None,
    ) -> None:
        if not isinstance(timeout, httpx.Timeout):
            timeout = httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
        super().__init__(
            base_url=guard.endpoint,
            token="***",  # noqa: S106  (a placeholder)
            prefix="",
            auth_header_name=TOKEN_HEADER,
            timeout=timeout,
            headers=dict(headers or {}),
            cookies=dict(cookies or {}),
            raise_on_unexpected_status=True,
        )
        self._guard = guard
        self._source = source
        self._timeouts = timeout
        self._lock = threading.Lock()
        self._borrowed = transport is not None
        self._transport = transport or ApiTransport(guard)
        self._sync = _Client(
            transport=_Borrowed(self._transport) if self._borrowed else self._transport, **self._arguments()
        )
        self._by_loop: weakref.WeakKeyDictionary[object, _AsyncClient] = weakref.WeakKeyDictionary()

    @property
    def endpoint(self) -> str:
        """The base URL."""
        return self._guard.endpoint

    @property
    def source(self) -> str:
        """Where the token was found, in words."""
        return self._source

    @property
    def budget(self) -> CallBudget:
        """What counts this client's calls."""
        return self._guard.budget

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """The TLS context of this process, for other connections that should trust the same authorities."""
        return shared_ssl_context()

    def get_httpx_client(self) -> httpx.Client:
        """Return the synchronous client under the generated functions."""
        return self._sync

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Return the asynchronous client of the running event loop; connections cannot move between loops."""
        try:
            loop: object = asyncio.get_running_loop()
        except RuntimeError:
            loop = _NO_LOOP
        with self._lock:
            client = self._by_loop.get(loop)
            if client is None:
                client = _AsyncClient(transport=AsyncApiTransport(self._guard), **self._arguments())
                self._by_loop[loop] = client
            return client

    def with_headers(self, headers: dict[str, str]) -> Self:
        """Return a client with more headers, over the same connections; this one stays as it is."""
        return self._like(headers={**self._headers, **headers})

    def with_cookies(self, cookies: dict[str, str]) -> Self:
        """Return a client with more cookies, over the same connections; this one stays as it is."""
        return self._like(cookies={**self._cookies, **cookies})

    def with_timeout(self, timeout: httpx.Timeout) -> Self:
        """Return a client with other timeouts, over the same connections; this one stays as it is."""
        return self._like(timeout=timeout)

    def set_httpx_client(self, client: httpx.Client) -> NoReturn:  # noqa: ARG002  (the generated signature)
        """Refuse: another client would not keep the token to itself."""
        raise UsageError(_ANOTHER, _ANOTHER_HINT)

    def set_async_httpx_client(self, async_client: httpx.AsyncClient) -> NoReturn:  # noqa: ARG002  (as above)
        """Refuse: another client would not keep the token to itself."""
        raise UsageError(_ANOTHER, _ANOTHER_HINT)

    def close(self) -> None:
        """Close the synchronous connections."""
        self._sync.close()
        if not self._borrowed:
            self._guard.budget.close()

    async def aclose(self) -> None:
        """Close the asynchronous connections of the running event loop."""
        client = self.get_async_httpx_client()
        with self._lock:
            self._by_loop = weakref.WeakKeyDictionary(
                {loop: other for loop, other in self._by_loop.items() if other is not client}
            )
        await client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.endpoint}, token from {self._source}>"

    def __eq__(self, other: object) -> bool:
        return self is other  # two clients with the placeholder for a token are not the same

    def __hash__(self) -> int:  # type: ignore[override]  # attrs took the one of the superclass away
        return id(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds a token and connections: connect() again where another is needed")

    def _like(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
    ) -> Self:
        return type(self)(
            self._guard,
            self._source,
            timeout or self._timeouts,
            headers=self._headers if headers is None else headers,
            cookies=self._cookies if cookies is None else cookies,
            transport=self._transport,
        )

    def _arguments(self) -> dict[str, Any]:
        return {
            "base_url": self._guard.endpoint,
            "headers": {"User-Agent": user_agent(), "Accept": "application/json", **self._headers},
            "cookies": self._cookies,
            "timeout": self._timeouts,
        }


def user_agent() -> str:
    """Return what this package calls itself towards servers."""
    try:
        return f"{DISTRIBUTION}/{importlib.metadata.version(DISTRIBUTION)}"
    except importlib.metadata.PackageNotFoundError:
        return DISTRIBUTION


class _Client(httpx.Client):
    """Looks at a path before httpx resolves the dots in it."""

    def build_request(self, method: str, url: httpx.URL | str, **kwargs: Any) -> httpx.Request:
        _check(url)
        return super().build_request(method, url, **kwargs)


class _AsyncClient(httpx.AsyncClient):
    """Looks at a path before httpx resolves the dots in it."""

    def build_request(self, method: str, url: httpx.URL | str, **kwargs: Any) -> httpx.Request:
        _check(url)
        return super().build_request(method, url, **kwargs)


class _Borrowed(httpx.BaseTransport):
    """Connections that somebody else closes."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._transport.handle_request(request)


class _NoLoop:
    """Stands for the event loop where there is none of asyncio's."""


def _check(url: httpx.URL | str) -> None:
    if isinstance(url, str) and "://" not in url:  # what generated functions ask for; a whole URL has no values in it
        refuse_unsafe_path(url)


_NO_LOOP = _NoLoop()
_ANOTHER = "The connections of a client made by connect() cannot be replaced."
_ANOTHER_HINT = "Make an AuthenticatedClient of cavatica_client for other connections."
