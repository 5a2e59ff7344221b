"""Part URLs that are not encrypted, or cannot be used in a request."""

import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from engine_rig import Rig

from cavatica_mock.storage import Signer
from cavatica_upload.errors import CavaticaError, ConfigError, StorageError, UnexpectedAnswer
from cavatica_upload.http import connections
from cavatica_upload.plan import Part, PartUrl
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.storage import Storage
from cavatica_upload.timing import Timing


def test_part_urls_without_tls_are_refused(
    rigged: Callable[..., Rig], server_tls: ssl.SSLContext, authority_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the API is https and a part URL is http, nothing is sent unless that is allowed."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority_file))
    connections.shared_ssl_context.cache_clear()
    plain, secure = rigged(), rigged(tls=server_tls)
    signed = Signer.url

    def in_clear(signer: Signer, origin: str, *given: object) -> str:
        return signed(signer, origin, *given).replace(secure.mock.origin, plain.mock.origin)  # type: ignore[arg-type]

    monkeypatch.setattr(Signer, "url", in_clear)
    try:
        with pytest.raises(ConfigError, match="a part URL that begins with http"):
            secure.upload(secure.file(10))
        assert plain.calls["putPart"] == secure.calls["putPart"] == 0
        with pytest.raises(CavaticaError):  # the other mock does not know the signature, but it was asked
            secure.upload(secure.file(10), uploader={"allow_http": True})
        assert plain.calls["putPart"] > 0
    finally:
        connections.shared_ssl_context.cache_clear()


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (PartUrl(method="PÜT", url="http://127.0.0.1:9/part"), UnexpectedAnswer),
        (PartUrl(method="PUT\udc80", url="http://127.0.0.1:9/part"), UnexpectedAnswer),
        (PartUrl(url="http://127.0.0.1:9/part", headers={"x-amz-tag": "Köln"}), UnexpectedAnswer),
        (PartUrl(url="http://127.0.0.1:9/part", headers={"x-amz-tag": "\udc80"}), UnexpectedAnswer),
        (PartUrl(url="http://127.0.0.1:9/part", headers={"größe": "1"}), UnexpectedAnswer),
        (PartUrl(url="http://127.0.0.1:9/part", headers={"a b": "1"}), CavaticaError),
        (PartUrl(url="http://127.0.0.1:9/part", headers={"a": "1\r\nEvil: 2"}), CavaticaError),
        (PartUrl(url="http://127.0.0.1:9/part", headers={"a": None}), UnexpectedAnswer),  # type: ignore[dict-item]
        (PartUrl(url="http://[::1/part"), UnexpectedAnswer),
        (PartUrl(url="http://127.0.0.1:99999/part"), CavaticaError),
        (PartUrl(url="http://pa rt\x00/"), CavaticaError),
        (PartUrl(url=f"http://{'a' * 70}.invalid/part"), StorageError),
        (PartUrl(url="http:///part"), CavaticaError),
        (PartUrl(url="ftp://127.0.0.1/part"), CavaticaError),
    ],
    ids=lambda value: "",
)
def test_targets_that_cannot_be_used(rig: Rig, target: PartUrl, kind: type[CavaticaError]) -> None:
    """A part URL, method or header that cannot be used is an error of this package."""
    with (
        closing(LocalFile(rig.file(10))) as source,
        closing(Storage(timing=Timing(connect=1.0, silence=1.0))) as store,
        pytest.raises(kind) as caught,
    ):
        store.put(target, Part(1, 0, 10), source)
    assert caught.value.message.isprintable()
