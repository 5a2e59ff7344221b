"""The token is sent with every call to the API, and nowhere else."""

import asyncio
import base64
import copy
import gc
import logging
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import attrs
import httpx
import pytest
from loopback import QUICK, TOKEN, UPLOAD, Loopback, Request, answer, problem, reset

from cavatica_client.api.uploads import get_upload, list_uploads
from cavatica_upload import Uploader
from cavatica_upload.api.client import Api, connect
from cavatica_upload.errors import CavaticaError, ConfigError, ConnectionFailed, UnexpectedAnswer, UsageError
from cavatica_upload.http import USER_AGENT
from cavatica_upload.http.connections import proxy_for
from cavatica_upload.redact import protect, redact

Serve = Callable[..., Loopback]
ClientOf = Callable[..., Api]


def holds_token(request: Request) -> bool:
    return TOKEN in repr((request.target, request.headers, request.body))


def test_sent_to_the_api(serve: Serve, client_of: ClientOf) -> None:
    """A generated function sends the token in the platform's header, and a user agent."""
    server = serve(answer(200, UPLOAD))
    get_upload.sync("u1", client=client_of(server))
    sent = server.requests[0].headers
    assert sent["x-sbg-auth-token"] == TOKEN
    assert "authorization" not in sent
    assert sent["user-agent"].startswith("cavatica-upload")
    assert sent["accept"] == sent["content-type"] == "application/json"


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_not_followed(serve: Serve, client_of: ClientOf, status: int, follow: bool) -> None:
    """A redirect is an error that names the other host, even if the caller wants to follow it."""
    elsewhere = serve(answer(200, UPLOAD))
    server = serve(answer(status, headers={"Location": f"{elsewhere.url}/upload?Signature=x"}))
    with pytest.raises(UnexpectedAnswer, match=f"a redirect to http://127.0.0.1:{elsewhere.port},") as caught:
        client_of(server).get_httpx_client().get("/upload/multipart", follow_redirects=follow)
    assert "Signature" not in repr(caught.value.__dict__)
    assert elsewhere.requests == []


def test_redirect_not_followed_async(serve: Serve, client_of: ClientOf) -> None:
    """The asynchronous functions do not follow a redirect either."""
    elsewhere = serve(answer(200, UPLOAD))
    server = serve(answer(302, headers={"Location": f"{elsewhere.url}/upload"}))

    async def call() -> None:
        async with client_of(server) as client:
            await list_uploads.asyncio(client=client)

    with pytest.raises(UnexpectedAnswer):
        asyncio.run(call())
    assert elsewhere.requests == []


def test_another_origin_gets_nothing(serve: Serve, client_of: ClientOf) -> None:
    """A request to another origin has no token, even if the caller put it into the headers."""
    elsewhere = serve(answer(200, {}))
    server = serve(answer(200, {"rate": {"limit": 10, "remaining": 9, "reset": 1}}))
    headers = {"x-sbg-auth-token": TOKEN, "Authorization": f"Bearer {TOKEN}"}
    client = client_of(server).with_headers(headers)
    client.get_httpx_client().put(f"{elsewhere.url}/part?Signature=x", content=b"bytes")

    async def call() -> None:
        async with client:
            await client.get_async_httpx_client().put(f"{elsewhere.url}/part", content=b"bytes")

    asyncio.run(call())
    assert len(elsewhere.requests) == 2
    assert not any(holds_token(request) for request in elsewhere.requests)
    client.get_httpx_client().get("/rate_limit")
    assert server.requests[0].headers["x-sbg-auth-token"] == TOKEN
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
def test_same_port_of_another_host(serve: Serve, client_of: ClientOf, host: str) -> None:
    """Another name for the same address is another origin."""
    server = serve(answer(200, {}))
    client = client_of(server)
    with pytest.raises(httpx.HTTPError) if host == "127.0.0.2" else pytest.MonkeyPatch.context():
        client.get_httpx_client().get(f"http://{host}:{server.port}/v2/rate_limit")
    assert not any(holds_token(request) for request in server.requests)


def test_not_shown(serve: Serve, client_of: ClientOf) -> None:
    """No repr of a client shows the token, nor do its request and connection objects."""
    server = serve(answer(200, UPLOAD))
    client = client_of(server).with_headers({"X-Extra": "1"})
    response = client.get_httpx_client().get("/upload/multipart/u1")
    shown = [
        repr(client),
        str(client),
        repr(attrs.asdict(client)),
        repr(vars(client)),
        repr(client.get_httpx_client().headers.raw),
        repr(response.request.headers.raw),
        repr(client._calls),
        repr(client.rate_limiter),
    ]
    assert not any(TOKEN in text for text in shown)


def test_uploader_does_not_keep_it(serve: Serve, tmp_path: Path) -> None:
    """An uploader gives its token to the client, and has it in no attribute of its own."""
    with Uploader(token=TOKEN, endpoint=serve().url, state_dir=tmp_path, allow_http=True) as uploader:
        assert TOKEN not in repr(vars(uploader))


@pytest.mark.parametrize("again", [pickle.dumps, copy.copy, copy.deepcopy])
def test_not_pickled_or_copied(serve: Serve, client_of: ClientOf, again: Callable[[object], object]) -> None:
    """A client cannot be pickled or copied."""
    client = client_of(serve(answer(200, UPLOAD)))
    for thing in (client, client._calls.token):
        with pytest.raises(TypeError, match=r"connect\(\) again"):
            again(thing)


@pytest.mark.parametrize("reply", [problem(401, 90001, f"Token {TOKEN} is not known"), answer(200, b"<html>"), reset])
def test_not_in_errors(serve: Serve, client_of: ClientOf, reply: object) -> None:
    """An error, its causes, its pickle and its traceback do not contain the token."""
    client = client_of(serve(reply), attempts=2)
    with pytest.raises(CavaticaError) as caught:
        get_upload.sync("u1", client=client)
    error: BaseException | None = caught.value
    assert TOKEN.encode() not in pickle.dumps(error)
    assert TOKEN not in "".join(traceback.format_exception(error))
    while error is not None:
        assert TOKEN not in repr((error, error.args, error.__dict__))
        frames = [
            frame for frame, _ in traceback.walk_tb(error.__traceback__) if "test_" not in frame.f_code.co_filename
        ]
        assert not any(TOKEN in repr(value) for frame in frames for value in frame.f_locals.values())
        request = getattr(error, "_request", None)
        assert request is None or TOKEN not in repr(request.headers.raw)
        error = error.__cause__ or error.__context__


def test_not_in_frames(serve: Serve, client_of: ClientOf) -> None:
    """The local variables in a traceback do not contain the token."""
    client = client_of(serve(answer(200, UPLOAD))).with_headers({"X-Bad": "a\r\nb"})
    with pytest.raises(ConnectionFailed, match="cannot be sent") as caught:
        get_upload.sync("u1", client=client)
    assert not caught.value.maybe_acted
    error: BaseException | None = caught.value
    while error is not None:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_globals is not globals()]
        assert not any(TOKEN in repr(value) for frame in frames for value in frame.f_locals.values())
        error = error.__cause__ or error.__context__


def test_not_in_logs(serve: Serve, client_of: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    """With all logging on, also that of httpcore, neither token nor signature is logged."""
    caplog.set_level(logging.DEBUG)
    elsewhere = serve(answer(200, {}, headers={"Location": "https://storage.example/x?Signature=sEcReT"}))
    server = serve(problem(503, 8000), answer(200, UPLOAD))
    client = client_of(server)
    get_upload.sync("u1", client=client)
    client.get_httpx_client().put(f"{elsewhere.url}/part?Signature=sEcReT", content=b"bytes")
    httpx.get(f"{elsewhere.url}/part?Signature=sEcReT")
    assert "HTTP Request: PUT" in caplog.text
    assert "getUpload" in caplog.text
    assert TOKEN not in caplog.text
    assert "sEcReT" not in caplog.text


ECHOES = {
    "as it is": TOKEN,
    "in capitals": TOKEN.upper(),
    "over two lines": f"{TOKEN[:11]}\n{TOKEN[11:]}",
    "with an invisible blank": f"{TOKEN[:16]}\u200b{TOKEN[16:]}",
    "character by character": " ".join(TOKEN),
    "quoted printable": f"{TOKEN[:16]}=\r\n{TOKEN[16:]}",
    "in a URL": "".join(f"%{byte:02X}" for byte in TOKEN.encode()),
    "in a URL in a URL": "".join(f"%25{byte:02x}" for byte in TOKEN.encode()),
    "in HTML": "".join(f"&#{byte};" for byte in TOKEN.encode()),
    "in HTML in hexadecimal": "".join(f"&#x{byte:X};" for byte in TOKEN.encode()),
    "in a string of C": "".join(f"\\x{byte:02x}" for byte in TOKEN.encode()),
    "in JSON in JSON": "".join(f"\\u{byte:04x}" for byte in TOKEN.encode()),
    "in hexadecimal": TOKEN.encode().hex(),
    "in Base32": base64.b32encode(TOKEN.encode()).decode(),
    "in Base64": base64.b64encode(f"user:{TOKEN}".encode()).decode(),
    "in Base64 over two lines": base64.encodebytes(f"{' ' * 40}{TOKEN}".encode()).decode(),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
def test_not_in_errors_however_it_is_written(serve: Serve, client_of: ClientOf, echo: str) -> None:
    """If a server sends the token back in any spelling or in pieces, it is not shown."""
    server = serve(problem(401, 90001, f"Token {echo} is not known"))
    with pytest.raises(CavaticaError, match="is not known") as caught:
        get_upload.sync("u1", client=client_of(server))
    shown = "".join(caught.value.message.split())
    assert "***" in shown
    assert "".join(echo.split())[-24:-8] not in shown  # its last letters encode two characters or fewer
    assert TOKEN[:8] not in shown


def test_redaction_is_linear() -> None:
    """A text full of near copies of the token is redacted in linear time."""
    protect(TOKEN)
    for text in (f"{TOKEN[:-1]} " * 3000, "\\" * 100_000, "%25" * 30_000, "=\n" * 50_000, "&#0000" * 20_000):
        assert redact(text) == text


@pytest.mark.parametrize("name", ["httpx", "httpx2", "httpcore.http11", "httpcore2.http11", "httpcore2.proxy"])
def test_not_in_logs_of_httpx2(serve: Serve, client_of: ClientOf, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """The logs of httpx2, the successor of httpx, are redacted too."""
    caplog.set_level(logging.DEBUG)
    client_of(serve(answer(200, UPLOAD)))
    logger = logging.getLogger(name)
    logger.debug("request target=b'/part?Signature=sEcReT' to https://bucket.example/part?Signature=sEcReT")
    logger.debug("headers %r", [(b"X-Echo", TOKEN.encode()), (b"X-SBG-Auth-Token", b"sEcReT")])
    assert "X-Echo" in caplog.text
    assert TOKEN not in caplog.text
    assert "sEcReT" not in caplog.text


def test_with_does_not_change_the_original(serve: Serve, client_of: ClientOf) -> None:
    """with_headers, with_cookies and with_timeout return another safe client, and leave the first unchanged."""
    server = serve(answer(200, UPLOAD))
    client = client_of(server)
    other = client.with_headers({"X-Extra": "1"}).with_cookies({"a": "b"}).with_timeout(httpx.Timeout(3))
    for one in (other, client):
        get_upload.sync("u1", client=one)
    with_extra, plain = server.requests
    assert (with_extra.headers["x-extra"], with_extra.headers["cookie"]) == ("1", "a=b")
    assert "x-extra" not in plain.headers
    assert "cookie" not in plain.headers
    assert type(other) is Api
    assert other.get_httpx_client().timeout == httpx.Timeout(3)
    assert client.get_httpx_client().timeout.read == QUICK.silence
    other.close()
    get_upload.sync("u1", client=client)


@pytest.mark.parametrize("header", [{"X": "\udc80"}, {"X": "Köln"}, {"Größe": "1"}, {"X": None}], ids=ascii)
def test_headers_that_cannot_be_sent(serve: Serve, client_of: ClientOf, header: dict[str, str]) -> None:
    """An invalid header is a UsageError, before anything is sent."""
    server = serve(answer(200, UPLOAD))
    with pytest.raises(UsageError, match="header"):
        client_of(server).with_headers(header)
    assert server.requests == []


def test_connections_cannot_be_replaced(serve: Serve, client_of: ClientOf) -> None:
    """The HTTP client below the generated functions cannot be replaced."""
    client = client_of(serve(answer(200, {})))
    with pytest.raises(UsageError), httpx.Client() as own:
        client.set_httpx_client(own)
    with pytest.raises(UsageError):
        client.set_async_httpx_client(httpx.AsyncClient())


def test_one_connection_pool_for_all_threads(serve: Serve, client_of: ClientOf) -> None:
    """Threads that use a new client together share one HTTP client."""
    client = client_of(serve(answer(200, {})))
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(client.get_httpx_client())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_several_event_loops(serve: Serve, client_of: ClientOf) -> None:
    """A client can be used in several event loops, one after another."""
    server = serve(answer(200, UPLOAD))
    client = client_of(server)

    async def call() -> None:
        async with client:
            assert await get_upload.asyncio("u1", client=client) is not None

    for _ in range(3):
        asyncio.run(call())
    gc.collect()
    assert len(server.requests) == 3
    assert all(holds_token(request) for request in server.requests)


def test_proxy_of_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls use the proxy of the environment, except for hosts in NO_PROXY."""
    proxy = serve(answer(200, UPLOAD))
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
    with connect(TOKEN, "http://platform.invalid/v2", allow_http=True) as client:
        get_upload.sync("u1", client=client)
    assert proxy.requests[0].target == "http://platform.invalid/v2/upload/multipart/u1"
    monkeypatch.setenv("NO_PROXY", "platform.invalid")
    with (
        connect(TOKEN, "http://platform.invalid/v2", allow_http=True, attempts=1, timing=QUICK) as client,
        pytest.raises(ConnectionFailed, match=r"no connection to platform\.invalid \("),
    ):
        get_upload.sync("u1", client=client)
    assert len(proxy.requests) == 1


def test_loopback_is_reached_without_a_proxy(
    serve: Serve, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on this machine is reached directly, so that no proxy reads the unencrypted token."""
    proxy, server = serve(answer(200, UPLOAD)), serve(answer(200, UPLOAD))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    client = client_of(server)
    get_upload.sync("u1", client=client)

    async def call() -> None:
        async with client:
            await get_upload.asyncio("u1", client=client)

    asyncio.run(call())
    assert (len(proxy.requests), len(server.requests)) == (0, 2)


@pytest.mark.parametrize(
    ("exceptions", "host", "direct"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8443", "10.1.2.3:8443", True),
        ("10.1.2.3:8443", "10.1.2.3", False),
        ("fd00::/8", "[fd00::7]", True),
        ("[fd00::7]", "[fd00::7]", True),
        ("[fd00::7]:443", "[fd00::7]", True),
        ("[fd00::7]:8443", "[fd00::7]", False),
        ("fd00::7", "[fd00::8]", False),
        ("intern.example", "storage.intern.example", True),
        (".intern.example", "storage.intern.example", True),
        ("*.intern.example", "storage.INTERN.example", True),
        ("intern.example", "storage.extern.example", False),
        ("a.example , 10.0.0.0/8 b.example", "10.1.2.3", True),
        ("*", "storage.example", True),
        ("intern.example, *", "storage.example", True),
        ("intern.example storage.example", "storage.example", True),
        (" STORAGE.example. ", "storage.EXAMPLE", True),
        ("storage.example", "storage.example.", True),
        ("*.intern.example:443", "storage.intern.example", True),
        ("*.intern.example:80,intern.example:80", "storage.intern.example", False),
        ("10.0.0.0/8:443", "10.1.2.3", True),
        ("FD00:0::/8", "[fd00::7]", True),
        (".example,e.example", "storage.example.org", False),
        ("rage.example", "storage.example", False),
        ("*.", "storage.example", False),
        ("*:443", "storage.example", True),
        ("[2001:db8::]/32", "[2001:db8::7]", True),
        ("[2001:db8::]/32", "[2001:db9::7]", False),
        ("[2001:db8::]/32:443", "[2001:db8::7]", True),
        ("10.0.0.0/99,[,]:,/,::::", "10.1.2.3", False),
        ("", "10.1.2.3", False),
    ],
)
def test_hosts_that_no_proxy_names(exceptions: str, host: str, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY has names, suffixes, addresses, networks and ports, as in other programs."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exceptions)
    url = httpx.URL(f"https://{host}/")
    assert (proxy_for(url.scheme, url.host, url.port) is None) == direct
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("no_proxy", exceptions)
    assert (proxy_for(url.scheme, url.host, url.port) is None) == direct


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_names_of_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under any of its names this machine is reached without a proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    url = httpx.URL(f"http://{host}:8080/")
    assert proxy_for(url.scheme, url.host, url.port) is None


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://127.0.0.1:1080",
        "gopher://127.0.0.1",
        "http://user:pa%ss word@:x",
        "http://user:pa%ss@",
        "pa%ss: what",
        "http://[::1",
        "http://host:99999",
        "http://ho st\x01",
        f"http://{'a' * 70}.example:1",
        "http://\udc80:1",
        "http:127.0.0.1:80",
        "://",
    ],
)
def test_unusable_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A proxy that cannot be used is reported before any call, without its password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setitem(sys.modules, "socksio", None)  # not installed
    with pytest.raises(CavaticaError, match="proxy") as caught:
        connect(TOKEN, "https://platform.invalid/v2")
    assert "pa%ss" not in repr(caught.value.__dict__)


@pytest.mark.parametrize("credentials", ["u:" + "p" * 256, "u" * 256 + ":p", "u:" + "%C3%BC" * 128])
def test_credentials_that_socks_cannot_send(monkeypatch: pytest.MonkeyPatch, credentials: str) -> None:
    """SOCKS 5 counts a user name and a password in one byte; longer ones are reported before any call, not shown."""
    monkeypatch.setenv("ALL_PROXY", f"socks5://{credentials}@127.0.0.1:1080")
    with pytest.raises(ConfigError, match="of the SOCKS proxy has more than 255 bytes") as caught:
        connect(TOKEN, "https://platform.invalid/v2")
    assert "pp" not in repr(caught.value.__dict__)
    monkeypatch.setenv("ALL_PROXY", f"socks5://u:{'p' * 255}@127.0.0.1:1080")
    connect(TOKEN, "https://platform.invalid/v2").close()


def test_user_agent_names_the_version() -> None:
    """The user agent is the distribution and its version."""
    name, _, version = USER_AGENT.partition("/")
    assert name == "cavatica-upload"
    assert version[0].isdigit()
