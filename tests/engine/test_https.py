"""Uploads over TLS and through proxies."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from connect_proxy import ConnectProxy
from engine_rig import KIB, PROJECT, QUICK, Rig

from cavatica_mock import Fault
from cavatica_mock.storage import Signer
from cavatica_upload import StorageError, UploadRequest
from cavatica_upload.api.client import connect
from cavatica_upload.engine.engine import MOST_FILES
from cavatica_upload.engine.send_part import ATTEMPTS
from cavatica_upload.errors import CavaticaError, CertificateUntrusted, ConnectionFailed
from cavatica_upload.events import PartRetried, Retrying
from cavatica_upload.http import connections
from cavatica_upload.plan import Part, PartUrl
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.storage import Storage

PARTS = 6
CREDENTIALS = "reader:open-sesame"


@pytest.fixture
def trusted(authority_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SSL_CERT_FILE names the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority_file))
    connections.shared_ssl_context.cache_clear()
    yield
    connections.shared_ssl_context.cache_clear()


def behind_a_proxy(rig: Rig) -> str:
    """An endpoint that can be reached only through a proxy."""
    return f"https://platform.invalid:{rig.mock.port}/v2"


@pytest.fixture
def rig(rigged: Callable[..., Rig], server_tls: ssl.SSLContext) -> Rig:
    """The mock over TLS."""
    return rigged(tls=server_tls)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("jobs", [1, 8])
def test_file_arrives_whole(rig: Rig, jobs: int) -> None:
    """Over TLS the file arrives whole and verified, and no part is sent twice."""
    path = rig.file(PARTS * 700 * KIB + 1)
    rig.assert_whole(rig.upload(path, part_size=700 * KIB, uploader={"jobs": jobs}), path)
    assert rig.mock.bytes_received == path.stat().st_size


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("fault", [{"then": "reset", "after_bytes": 300 * KIB}, {"then": "close"}, {"then": "corrupt"}])
def test_failure_of_storage_is_retried(rig: Rig, fault: dict[str, object]) -> None:
    """A connection that breaks within TLS, or a damaged part, costs one more attempt for that part."""
    rig.mock.faults.add(Fault("putPart", part=2, **fault))  # type: ignore[arg-type]
    path = rig.file(PARTS * 700 * KIB)
    rig.assert_whole(rig.upload(path, part_size=700 * KIB), path)
    assert rig.calls["putPart"] == PARTS + 1


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("fault", [{"then": "slow", "bytes_per_second": 1000}, {"then": "stall", "after_bytes": 100}])
def test_slow_storage_meets_the_deadline(rig: Rig, fault: dict[str, object]) -> None:
    """Over TLS too, a part that makes no progress fails at its deadline."""
    rig.mock.faults.add(Fault("putPart", times=None, **fault))  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="took too long"):
        rig.upload(rig.file(30_000_000), part_size=30_000_000, uploader={"part_deadline": 0.5})
    assert rig.calls["putPart"] <= ATTEMPTS


def test_unknown_authority_is_reported_without_a_retry(rig: Rig) -> None:
    """A certificate of an unknown authority ends the upload without a retry, and the error says what to do."""
    with pytest.raises(CertificateUntrusted, match=r"the certificate of .* cannot be verified") as caught:
        rig.upload(rig.file(1))
    assert "SSL_CERT_FILE" in str(caught.value.hint)
    assert rig.api_calls == 0
    assert rig.told(Retrying) == []


def test_unknown_authority_of_storage_is_reported(rig: Rig) -> None:
    """A certificate of storage from an unknown authority ends the upload the same way."""
    source = LocalFile(rig.file(10))
    store = Storage()
    try:
        with pytest.raises(CertificateUntrusted, match=r"the certificate of .* cannot be verified") as caught:
            store.put(PartUrl(url=f"{rig.mock.origin}/part?signature=x"), Part(1, 0, 10), source)
    finally:
        store.close()
        source.close()
    assert "SSL_CERT_FILE" in str(caught.value.hint)
    assert "signature=x" not in f"{caught.value!r} {caught.value.hint}"


@pytest.mark.usefixtures("trusted")
def test_certificate_of_another_host_is_refused(rigged: Callable[..., Rig], authority: trustme.CA) -> None:
    """A certificate for another host is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("platform.example").configure_cert(context)
    rig = rigged(tls=context)
    with pytest.raises(CertificateUntrusted, match="cannot be verified"):
        rig.upload(rig.file(1))
    assert rig.api_calls == 0


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_proxy_of_the_environment_is_used(
    rig: Rig, server_tls: ssl.SSLContext, secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API and storage are reached through HTTPS_PROXY with its credentials, and it sees neither token nor signature."""
    path = rig.file(PARTS * 700 * KIB)
    with ConnectProxy(credentials=CREDENTIALS, tls=server_tls if secure else None) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", f"://{CREDENTIALS}@"))
        receipt = rig.upload(path, part_size=700 * KIB, uploader={"endpoint": behind_a_proxy(rig)})
    rig.assert_whole(receipt, path)
    assert set(proxy.asked) == {f"platform.invalid:{rig.mock.port}"}
    assert len(proxy.asked) >= 2
    assert rig.mock.token.encode() not in proxy.read
    assert b"ignature" not in proxy.read


@pytest.mark.usefixtures("trusted")
def test_no_proxy_is_obeyed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts in NO_PROXY are reached directly."""
    with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "platform.invalid")
        with pytest.raises(ConnectionFailed, match=r"no connection to platform\.invalid"):
            rig.upload(rig.file(1), uploader={"endpoint": behind_a_proxy(rig)})
    assert proxy.asked == []


@pytest.mark.usefixtures("trusted")
def test_this_machine_is_reached_without_a_proxy(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """API and storage on loopback are reached directly, whatever proxy the environment names."""
    path = rig.file(PARTS * KIB)
    with ConnectProxy() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert proxy.asked == []


@pytest.mark.usefixtures("trusted")
def test_socks_proxy_is_used(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is used if the package for those is installed."""
    path = rig.file(PARTS * 700 * KIB)
    with ConnectProxy(socks=True) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        receipt = rig.upload(path, part_size=700 * KIB, uploader={"endpoint": behind_a_proxy(rig)})
    rig.assert_whole(receipt, path)
    assert set(proxy.asked) == {f"platform.invalid:{rig.mock.port}"}


@pytest.mark.usefixtures("trusted")
def test_proxy_that_refuses_is_reported(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a proxy refuses the password, it is not tried again; the error names the variables, but not the password."""
    with ConnectProxy(credentials="other:one") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", f"://{CREDENTIALS}@"))
        with pytest.raises(CavaticaError, match=f"the proxy {proxy.url} did not connect") as caught:
            rig.upload(rig.file(1), uploader={"endpoint": behind_a_proxy(rig), "retry_for": 600})
    assert proxy.read.count(b"CONNECT") == 1
    assert "HTTPS_PROXY" in str(caught.value.hint)
    assert "open-sesame" not in f"{caught.value!r} {caught.value.hint} {rig.events}"


@pytest.fixture
def storage_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part URLs have another host than the API."""
    signed = Signer.url

    def behind(signer: Signer, origin: str, *given: object) -> str:
        return signed(signer, origin, *given).replace("127.0.0.1", "storage.invalid")  # type: ignore[arg-type]

    monkeypatch.setattr(Signer, "url", behind)


@pytest.mark.usefixtures("trusted", "storage_elsewhere")
@pytest.mark.parametrize("status", [302, 400, 403, 404, 405, 407])
def test_proxy_that_keeps_storage_out_is_not_tried_again(
    rig: Rig, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a proxy refuses the host of storage, the file fails with the first answer, whatever --retry-for is."""
    with ConnectProxy(instead=[f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()] * 99) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(
            StorageError, match=rf"the proxy .* did not connect to storage\.invalid:\d+ \({status} No\)"
        ):
            rig.upload(rig.file(KIB), uploader={"retry_for": 600})
    assert len(proxy.asked) == 1
    assert rig.told(PartRetried) == []


@pytest.mark.usefixtures("trusted", "storage_elsewhere")
@pytest.mark.parametrize("host", ["127.0.0.1", "platform.invalid"])
def test_proxy_that_refuses_stops_the_run(rig: Rig, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a proxy refuses the host of storage or of the API, few of many files are started, and all fail with that."""
    requests = [UploadRequest(source=rig.file(KIB, f"{number}.bam"), destination=PROJECT) for number in range(100)]
    with ConnectProxy(instead=[b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"] * 999) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with rig.uploader(endpoint=rig.mock.base_url.replace("127.0.0.1", host)) as uploader:
            outcomes = list(uploader.upload_many(requests))
    assert len(outcomes) == 100
    assert all("403 No" in str(outcome.error) for outcome in outcomes)
    assert len(proxy.asked) <= MOST_FILES
    assert rig.calls["startUpload"] <= MOST_FILES


OPENED = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # httpcore closes no socket if SOCKS fails
@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("socks", "instead"),
    [
        (False, b""),
        (False, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
        (False, b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"),
        (False, OPENED),
        (False, OPENED + b"<html>"),
        (False, b"\5\0"),
        (True, b""),
        (True, b"\5"),
        (True, b"\5\0"),
        (True, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
)
def test_proxy_that_fails_is_named_and_tried_again(
    rig: Rig, socks: bool, instead: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a proxy fails in any way, the error names it, and an upload outlives that."""
    path = rig.file(PARTS * KIB)
    endpoint = behind_a_proxy(rig)
    with ConnectProxy(instead=[instead] * 99, socks=socks) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("://", f"://{CREDENTIALS}@" if not socks else "://"))
        with pytest.raises(ConnectionFailed, match=f"the proxy {proxy.url}") as caught:
            rig.upload(path, uploader={"endpoint": endpoint})
        assert "open-sesame" not in f"{caught.value!r} {rig.events}"
    with ConnectProxy(instead=[instead] * 3, socks=socks) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        rig.assert_whole(rig.upload(path, part_size=KIB, uploader={"endpoint": endpoint, "retry_for": 600}), path)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("asynchronous", [False, True])
def test_tunnels_in_which_tls_fails_do_not_fill_the_pool(
    rig: Rig, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often TLS fails in the tunnels of a proxy, the next one is opened."""
    monkeypatch.setattr(connections, "LIMITS", httpx.Limits(max_connections=2))
    failures = 4
    with ConnectProxy(instead=[OPENED] * failures) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with connect(rig.mock.token, behind_a_proxy(rig), attempts=failures + 1, timing=QUICK) as api:

            async def call() -> object:
                async with api:
                    return await api.aio.get_rate_limit()

            assert asyncio.run(call()) if asynchronous else api.get_rate_limit()
    assert len(proxy.asked) == failures + 1
