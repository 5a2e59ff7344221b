"""The vendor's Python client, unchanged, against the mock."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import sevenbridges
from sevenbridges.errors import SbgError

from cavatica_mock import Fault, MockServer


@pytest.fixture
def server() -> Iterator[MockServer]:
    with MockServer(min_part_size=1) as mock:
        yield mock


@pytest.fixture
def api(server: MockServer) -> Iterator[sevenbridges.Api]:
    """The vendor's client; `debug` allows http."""
    client = sevenbridges.Api(url=server.base_url, token=server.token, debug=True, timeout=60)
    yield client
    client.session.close()


@pytest.fixture
def secure_api(
    server_tls: ssl.SSLContext, authority_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[sevenbridges.Api]:
    """The client as users make it, over https."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority_file))
    with MockServer(min_part_size=1, tls=server_tls) as mock:
        client = sevenbridges.Api(url=mock.base_url, token=mock.token)
        yield client
        client.session.close()


def upload(api: sevenbridges.Api, path: Path, **options: object) -> object:
    return api.files.upload(str(path), project="mlin/pilot", **options).result()


@pytest.mark.parametrize("size", [0, 1, 4, 5, 6, 10, 11, 1000])
def test_files_go_up_whole(api: sevenbridges.Api, server: MockServer, tmp_path: Path, size: int) -> None:
    """Files arrive whole, also if one byte is left over: then a part is a byte longer and an empty part follows."""
    data = os.urandom(size)
    path = tmp_path / "sample one.bin"
    path.write_bytes(data)
    file = upload(api, path, part_size=5)
    assert file is not None
    (kept,) = server.files()
    assert (file.id, file.name, file.size) == (kept["id"], "sample one.bin", size)
    assert server.file_bytes(file.id) == data
    assert server.calls["putPart"] == max(1, -(-size // 5))


def test_files_go_up_whole_over_https(secure_api: sevenbridges.Api, tmp_path: Path) -> None:
    """Calls, parts and download work over TLS."""
    data = os.urandom(1000)
    path, back = tmp_path / "sample.bin", tmp_path / "back.bin"
    path.write_bytes(data)
    upload(secure_api, path, part_size=300).download(str(back))  # type: ignore[attr-defined]
    assert back.read_bytes() == data


def test_folders_lists_and_overwriting(api: sevenbridges.Api, server: MockServer, tmp_path: Path) -> None:
    """Create a folder, upload into it, find the file, overwrite it, read it back, delete it."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"first")
    folder = api.files.create_folder("batch-1", project="mlin/pilot")
    first = api.files.upload(str(path), parent=folder.id).result()
    (found,) = api.files.query(parent=folder.id, names=["a.txt"])
    assert found.id == first.id
    path.write_bytes(b"second")
    second = api.files.upload(str(path), parent=folder.id, overwrite=True).result()
    assert second.id != first.id
    assert [file.id for file in folder.list_files()] == [second.id]
    target = tmp_path / "down.txt"
    api.files.get(second.id).download(str(target))
    assert target.read_bytes() == b"second"
    api.files.get(second.id).delete()
    assert [file["type"] for file in server.files()] == ["folder"]


# The client raises in a thread of its own, where nobody looks.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_open_uploads_are_listed_and_aborted(api: sevenbridges.Api, server: MockServer, tmp_path: Path) -> None:
    """The uploads that a failure leaves open can be listed and aborted."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"0123456789")
    server.faults.add(Fault("completeUpload", "status", status=409, code=8007))
    assert upload(api, path, part_size=4) is None, "it fails, and the call returns"
    (listed,) = api.get(url="/upload/multipart").json()["items"]
    assert listed["upload_id"] == server.uploads()[0]["upload_id"]
    api.delete(url=f"/upload/multipart/{listed['upload_id']}")
    assert server.uploads() == []


def test_a_taken_name_is_an_error_with_the_platforms_words(api: sevenbridges.Api, tmp_path: Path) -> None:
    """The client reads status, code, message and more_info from an error of the mock."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    upload(api, path)
    with pytest.raises(SbgError) as caught:
        api.post(url="/upload/multipart", data={"name": "a.txt", "project": "mlin/pilot"})
    assert (caught.value.status, caught.value.code) == (409, 8005)
    assert caught.value.more_info.endswith("#8005")


def test_the_rate_limit_is_read() -> None:
    """The client reads the rate limit from headers and from its call."""
    with MockServer(rate_limit=(1000, 300)) as server:
        api = sevenbridges.Api(url=server.base_url, token=server.token, debug=True)
        limit = api.rate_limit.get()
        assert (limit.rate.limit, limit.rate.remaining) == (1000, 1000)
        assert api.remaining == 1000
        api.session.close()
