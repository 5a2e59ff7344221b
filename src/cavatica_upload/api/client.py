"""`connect()`: the generated client, made safe.

It returns an `AuthenticatedClient`, so that every generated function takes it, asynchronous ones too.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, NoReturn, Self
from urllib.parse import unquote

import attrs
import httpx

from cavatica_client import AuthenticatedClient
from cavatica_upload.api.methods import AsyncApi, Operations
from cavatica_upload.api.policy import Policy
from cavatica_upload.api.rate_limit import RateLimiter
from cavatica_upload.api.responses import Drifts, fits_into_path
from cavatica_upload.api.transport import TOKEN_HEADER, ApiTransport, AsyncApiTransport, Calls
from cavatica_upload.config import find_settings
from cavatica_upload.errors import UsageError, check_kind, is_number
from cavatica_upload.events import Drift, Event, Notice
from cavatica_upload.http import USER_AGENT
from cavatica_upload.redact import Secret, protect, redact_logs
from cavatica_upload.timing import Timing


def connect(
    token: str | None = None,
    endpoint: str | None = None,
    *,
    profile: str | None = None,
    timeout: float | None = None,
    attempts: int = 5,
    deadline: float = 900.0,
    retry_for: float = 0.0,
    rate_limiter: RateLimiter | None = None,
    on_event: Callable[[Event], None] | None = None,
    cancel: threading.Event | None = None,
    allow_http: bool = False,
    timing: Timing | None = None,
) -> "Api":
    """Return a client of the API.

    Every operation is a method of it that returns a record of `cavatica_upload.api.records`, and a coroutine under
    `aio`; lists are followed to their end. Every function of `cavatica_client` takes the client, too::

        with connect() as api:
            for upload in api.list_uploads():
                print(upload.upload_id, upload.name)
            page = list_uploads.sync(client=api)

    `endpoint` is a URL or a platform's short name (`cavatica`, `cgc`, `us`, `eu`, `bdc`, `china`), and `profile` a
    section of ~/.sevenbridges/credentials. What is not given is found as the command line finds it. `http:` is for a
    server on this machine only, unless `allow_http`.

    `timeout` is the longest silence of the server in seconds (60); a whole answer may take twice that. A call is tried
    `attempts` times, and for `deadline` seconds in total; waits for the rate limit are not counted. While no answer
    comes at all, it is tried for at least `retry_for` seconds. `on_event` is called before every pause with Retrying or
    RateLimitWait, with a Notice that the user should see, and with a Drift if an answer is not as documented (without
    `on_event`, that is logged). Setting `cancel` ends every wait with Interrupted.

    All functions raise the errors of `cavatica_upload.errors`; none returns an ApiError model. The token is sent only
    to the endpoint's scheme, host and port; redirects are not followed. A call that the server may have acted on is
    repeated only if that does no harm. Raises ConfigError.
    """
    check_kind(bool, "True or False", allow_http=allow_http)
    check_kind(Timing | None, "a Timing", timing=timing)
    check_kind(RateLimiter | None, "a RateLimiter", rate_limiter=rate_limiter)
    check_kind(threading.Event | None, "a threading.Event", cancel=cancel)
    check_kind(Callable | None, "a function", on_event=on_event)
    settings = find_settings(token, endpoint, profile, allow_http=allow_http)
    timing = timing or Timing()
    silence = timing.silence if timeout is None else timeout
    if not all(map(is_number, (attempts, deadline, silence, retry_for))) or (
        attempts < 1 or deadline <= 0 or silence <= 0 or retry_for < 0
    ):
        raise UsageError(
            "attempts must be 1 or more, deadline and timeout more than 0 seconds, and retry_for 0 seconds or more."
        )
    protect(settings.token)
    redact_logs()
    calls = Calls(
        endpoint=settings.endpoint,
        token=Secret(settings.token),
        policy=Policy(attempts=attempts, deadline=max(deadline, 2 * retry_for), retry_for=retry_for),
        timing=timing,
        rate_limiter=rate_limiter or RateLimiter(timing=timing),
        on_event=on_event or (lambda _event: None),
        cancel=cancel,
    )
    for text in settings.notices:
        calls.on_event(Notice(None, text))
    return Api(
        base_url=settings.endpoint,
        token="***",  # noqa: S106  (a placeholder)
        prefix="",
        auth_header_name=TOKEN_HEADER,
        timeout=httpx.Timeout(silence, connect=min(silence, timing.connect)),
        headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
        raise_on_unexpected_status=True,
        calls=calls,
        transport=ApiTransport(calls),
        source=settings.source,
        drifts=Drifts(on_event or (lambda drift: logging.getLogger("cavatica_upload").warning("%s", drift.text))),
    )


@attrs.define(eq=False, repr=False, slots=False)
class Api(AuthenticatedClient, Operations):
    """The generated client with the token kept in its transports; made by `connect()`.

    Every operation of the API is a method of it, and a coroutine of its `aio`; every generated function takes it, too.
    Its own `token` is a placeholder. Threads can share it, and event loops one after the other; it cannot be copied or
    pickled. The clients that `with_…()` returns share its blocking connections; the first one stays as it is.
    """

    _calls: Calls = attrs.field(kw_only=True, alias="calls")
    source: str = attrs.field(kw_only=True)
    """A description of where the token was found."""
    _drifts: Drifts = attrs.field(kw_only=True, alias="drifts")
    _transport: ApiTransport = attrs.field(kw_only=True, alias="transport")
    _derived: bool = attrs.field(kw_only=True, default=False, alias="derived")
    """Whether the transport belongs to another client, which closes it."""
    _sync: httpx.Client = attrs.field(init=False)
    _by_loop: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._sync = _Client(transport=self._transport, **self._arguments())

    @property
    def endpoint(self) -> str:
        """The base URL."""
        return self._base_url

    @property
    def rate_limiter(self) -> RateLimiter:
        """The limiter that delays this client's calls when the server has none left."""
        return self._calls.rate_limiter

    @property
    def aio(self) -> AsyncApi:
        """The operations of the API as coroutines."""
        return AsyncApi(self.get_async_httpx_client, self._drifts)

    @property
    def _coroutines(self) -> AsyncApi:
        return AsyncApi(self.get_httpx_client, self._drifts)

    def get_httpx_client(self) -> httpx.Client:
        """Return the synchronous client under the generated functions."""
        return self._sync

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Return the asynchronous client of the running event loop; connections cannot move between loops.

        Raises UsageError if none is running.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError(
                "An asynchronous client belongs to an event loop, and none is running.",
                "Get it in a coroutine, which asyncio.run() runs, or use get_httpx_client().",
            ) from None
        client = self._by_loop.get(loop)
        if client is None:
            for other in list(self._by_loop):
                if other.is_closed():  # its client would keep it, and the sockets
                    self._by_loop.pop(other, None)
            client = self._by_loop[loop] = _AsyncClient(transport=AsyncApiTransport(self._calls), **self._arguments())
        return client

    def with_headers(self, headers: dict[str, str]) -> Self:
        """Return a client with more headers."""
        try:
            httpx.Headers(headers)
        except (UnicodeError, TypeError) as error:
            raise UsageError("A header cannot be sent: its name or value is not ASCII text.") from error
        return attrs.evolve(self, derived=True, headers={**self._headers, **headers})

    def with_cookies(self, cookies: dict[str, str]) -> Self:
        """Return a client with more cookies."""
        return attrs.evolve(self, derived=True, cookies={**self._cookies, **cookies})

    def with_timeout(self, timeout: httpx.Timeout) -> Self:
        """Return a client with other timeouts."""
        return attrs.evolve(self, derived=True, timeout=timeout)

    def with_drift_listener(self, listener: Callable[[Drift], None]) -> Self:
        """Return a client that passes each Drift to this listener."""
        return attrs.evolve(self, derived=True, drifts=Drifts(listener))

    def set_httpx_client(self, client: httpx.Client | httpx.AsyncClient) -> NoReturn:  # noqa: ARG002  (as generated)
        """Refuse: another client would not keep the token to itself."""
        raise UsageError(
            "The connections of a client made by connect() cannot be replaced.",
            "Make an AuthenticatedClient of cavatica_client for other connections.",
        )

    def set_async_httpx_client(self, async_client: httpx.AsyncClient) -> NoReturn:
        """Refuse, as `set_httpx_client` does."""
        self.set_httpx_client(async_client)

    def close(self) -> None:
        """Close the synchronous connections, unless they belong to the client that this one was derived from."""
        if not self._derived:
            self._sync.close()

    async def aclose(self) -> None:
        """Close the asynchronous connections of the running event loop."""
        if client := self._by_loop.pop(asyncio.get_running_loop(), None):
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
        return f"<{type(self).__name__} of {self.endpoint}, token from {self.source}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds a token and connections: connect() again if another is needed")

    def _arguments(self) -> dict[str, Any]:
        return {
            "base_url": self._base_url,
            "headers": self._headers,
            "cookies": self._cookies,
            "timeout": self._timeout,
        }


class _Client(httpx.Client):
    def build_request(self, method: str, url: httpx.URL | str, **kwargs: Any) -> httpx.Request:
        if self.is_closed:
            raise UsageError("This client is closed.", "Call connect() again.")
        return _checked(super().build_request, method, url, **kwargs)


class _AsyncClient(httpx.AsyncClient):
    def build_request(self, method: str, url: httpx.URL | str, **kwargs: Any) -> httpx.Request:
        return _checked(super().build_request, method, url, **kwargs)


def _checked(build: Callable[..., httpx.Request], method: str, url: httpx.URL | str, **kwargs: Any) -> httpx.Request:
    """Build a request after checking its path, since httpx resolves the dots in it."""
    if isinstance(url, str) and "://" not in url:  # as generated functions give it; a whole URL has no values in it
        refuse_unsafe_path(url)
    try:
        return build(method, url, **kwargs)
    except (UnicodeError, httpx.InvalidURL) as error:
        raise UsageError(
            "A name or an ID cannot be sent: it is too long, or holds characters that are not Unicode text.",
            "Rename the file, or give another name for it on the platform.",
        ) from error


def refuse_unsafe_path(path: str) -> None:
    """Raise UsageError if a value in a path would make it the path of another operation.

    An empty value, `.` and `..` do: browsers and HTTP libraries resolve them, so that getUpload("..") would list all
    uploads. A slash does if a server decodes it.
    """
    path = path.split("?", 1)[0].removeprefix("/")
    for segment in path.split("/") if path else ():
        value = unquote(segment)
        if not fits_into_path(value):
            raise UsageError(
                f"{value!r} cannot be an ID or a name in the path of a request; nothing was sent.",
                "Give the ID as the platform shows it.",
            )
