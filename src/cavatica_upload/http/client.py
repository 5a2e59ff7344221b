"""The generated client, whose connections keep the token to themselves."""

import asyncio
import contextlib
import ssl
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, Self

import httpx

from cavatica_client import AuthenticatedClient
from cavatica_upload.api.async_client import AsyncApi
from cavatica_upload.api.client import Operations
from cavatica_upload.api.documented import as_documented
from cavatica_upload.api.drifts import Drifts
from cavatica_upload.api.operations import refuse_unsafe_path
from cavatica_upload.api.outcomes import log_drift
from cavatica_upload.budget.calls import CallBudget
from cavatica_upload.errors import UsageError
from cavatica_upload.http.connections import shared_ssl_context
from cavatica_upload.http.guard import TOKEN_HEADER, Guard
from cavatica_upload.http.transport import ApiTransport, AsyncApiTransport
from cavatica_upload.versions import USER_AGENT

CONNECT_TIMEOUT = 15.0


class SafeClient(AuthenticatedClient, Operations):
    """The generated client, whose connections keep the token to themselves; made by `connect()`.

    Every operation of the API is a method of it, and a coroutine of its `aio`; any generated function takes it, too.
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
        self._drifts = Drifts(log_drift)

    @property
    def aio(self) -> AsyncApi:
        """The operations of the API as coroutines."""
        return AsyncApi(self, self._drifts)

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
            "headers": {"User-Agent": USER_AGENT, "Accept": "application/json", **self._headers},
            "cookies": self._cookies,
            "timeout": self._timeouts,
        }


class _Client(httpx.Client):
    """Looks at a path before httpx resolves the dots in it, and at an answer before a generated function reads it."""

    def build_request(self, method: str, url: httpx.URL | str, **kwargs: Any) -> httpx.Request:
        with _refusing(url):
            return super().build_request(method, url, **kwargs)

    def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        response = super().send(request, **kwargs)
        return response if kwargs.get("stream") else as_documented(response, self.base_url)


class _AsyncClient(httpx.AsyncClient):
    """As `_Client`."""

    def build_request(self, method: str, url: httpx.URL | str, **kwargs: Any) -> httpx.Request:
        with _refusing(url):
            return super().build_request(method, url, **kwargs)

    async def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        response = await super().send(request, **kwargs)
        return response if kwargs.get("stream") else as_documented(response, self.base_url)


class _Borrowed(httpx.BaseTransport):
    """Connections that somebody else closes."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._transport.handle_request(request)


class _NoLoop:
    """Stands for the event loop where there is none of asyncio's."""


@contextlib.contextmanager
def _refusing(url: httpx.URL | str) -> Iterator[None]:
    if isinstance(url, str) and "://" not in url:  # what generated functions ask for; a whole URL has no values in it
        refuse_unsafe_path(url)
    try:
        yield
    except (UnicodeError, httpx.InvalidURL) as error:
        raise UsageError(
            "A name or an id cannot be sent: it is too long, or holds characters that are not Unicode text.",
            "Rename the file, or give another name for it on the platform.",
        ) from error


_NO_LOOP = _NoLoop()
_ANOTHER = "The connections of a client made by connect() cannot be replaced."
_ANOTHER_HINT = "Make an AuthenticatedClient of cavatica_client for other connections."
