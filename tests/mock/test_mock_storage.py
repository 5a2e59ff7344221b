"""Storage behind signed URLs: what it takes, what it refuses, what it keeps."""

import base64
import errno
import hashlib
import re
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mock_client import Client, md5, report

from cavatica_mock import MockServer
from cavatica_mock.blobs import PartWriter


def s3_code(text: str) -> str:
    match = re.fullmatch(
        r'<\?xml version="1.0" encoding="UTF-8"\?>\n<Error><Code>(\w+)</Code><Message>.+</Error>', text
    )
    assert match is not None, text
    return match[1]


@pytest.fixture
def url(client: Client) -> str:
    """A part URL of an open upload of one part."""
    return client.part_url(client.start("a b.txt", size=3)["upload_id"], 1)


def test_a_part_url_says_how_to_use_it(client: Client) -> None:
    """PUT, no headers, 200 means success, the ETag has to be reported; it looks like an S3 URL."""
    upload_id = client.start("a+b c.txt", size=3)["upload_id"]
    answer = client.get(f"upload/multipart/{upload_id}/part/1").json()
    assert (answer["method"], answer["headers"]) == ("PUT", {})
    assert answer["report"] == {"success_codes": [200], "headers": ["ETag"]}
    parts = urlsplit(answer["url"])
    assert parts.path.endswith("%2Ba%2Bb%20c.txt")
    assert set(parse_qs(parts.query)) == {"uploadId", "partNumber", "Expires", "Signature"}


def test_storage_needs_no_token_and_answers_with_a_quoted_md5(client: Client, url: str) -> None:
    """As S3 does."""
    answer = client.storage.put(url, content=b"abc")
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (200, b"", f'"{md5(b"abc")}"')


@pytest.mark.parametrize("change", ["Signature", "Expires", "partNumber", "uploadId", "key", "nothing", "method"])
def test_a_url_that_was_tampered_with_is_refused(client: Client, url: str, change: str) -> None:
    """The signature covers what is allowed and until when."""
    if change == "method":
        answer = client.storage.get(url)
    elif change == "nothing":
        answer = client.storage.put(url.partition("?")[0], content=b"abc")
    elif change == "key":
        answer = client.storage.put(url.replace("a%20b", "a%20c"), content=b"abc")
    else:
        answer = client.storage.put(re.sub(rf"({change}=)[^&]+", r"\g<1>2", url), content=b"abc")
    assert (answer.status_code, s3_code(answer.text)) == (403, "SignatureDoesNotMatch")


def test_a_url_is_good_until_it_expires() -> None:
    """It is accepted one second before it expires and refused when it expires; a new one can be requested."""
    now = [1_700_000_000.0]
    with MockServer(part_url_lifetime=60, clock=lambda: now[0]) as server:
        client = Client(server)
        upload_id = client.start(size=3)["upload_id"]
        answer = client.get(f"upload/multipart/{upload_id}/part/1").json()
        assert answer["expires"] == "2023-11-14T22:14:20Z"
        now[0] += 59
        assert client.storage.put(answer["url"], content=b"abc").status_code == 200
        now[0] += 1
        late = client.storage.put(answer["url"], content=b"xyz")
        assert (late.status_code, s3_code(late.text)) == (403, "AccessDenied")
        assert "<Message>Request has expired</Message><Expires>2023-11-14T22:14:20Z</Expires>" in late.text
        assert late.headers["Date"] == "Tue, 14 Nov 2023 22:14:20 GMT"
        assert client.put(upload_id, 1, b"abc").status_code == 200
        client.close()


def test_content_md5_is_held_against_the_bytes(client: Client, url: str) -> None:
    """A client may send its digest; if it does not match, nothing is kept."""
    right = base64.b64encode(hashlib.md5(b"abc").digest()).decode()
    assert client.storage.put(url, content=b"abc", headers={"Content-MD5": right}).status_code == 200
    wrong = client.storage.put(url, content=b"abd", headers={"Content-MD5": right})
    assert (wrong.status_code, s3_code(wrong.text)) == (400, "BadDigest")
    assert client.server.uploads()[0]["stored_parts"][0]["etag"] == md5(b"abc")


def test_a_body_of_unknown_length_is_refused_as_s3_does(client: Client, url: str) -> None:
    """501 for chunks, 411 for neither length nor chunks."""

    def chunks() -> Iterator[bytes]:
        yield b"abc"

    answer = client.storage.put(url, content=chunks())
    assert (answer.status_code, s3_code(answer.text)) == (501, "NotImplemented")
    with socket.create_connection((client.server.host, client.server.port)) as connection:
        path = url.removeprefix(client.server.origin)
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert text.startswith("HTTP/1.1 411 ")
    assert "MissingContentLength" in text


def test_a_broken_put_leaves_the_earlier_part_intact(client: Client, url: str) -> None:
    """After half a body and a dead client, the earlier part is kept, and nothing else."""
    assert client.storage.put(url, content=b"abc").status_code == 200
    path = url.removeprefix(client.server.origin)
    with socket.create_connection((client.server.host, client.server.port)) as connection:
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxy".encode())
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)
    assert client.server.uploads()[0]["stored_parts"] == [{"part_number": 1, "size": 3, "etag": md5(b"abc")}]


def test_who_expects_to_be_refused_early_sends_nothing(client: Client, url: str) -> None:
    """With Expect: 100-continue a refusal comes before the body, and so does 100."""
    path = url.removeprefix(client.server.origin)
    for target, first in ((path, b"HTTP/1.1 100 "), (path + "0", b"HTTP/1.1 403 ")):
        with socket.create_connection((client.server.host, client.server.port)) as connection:
            head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(first)
            if b"100" in first:
                connection.sendall(b"abc")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert client.server.bytes_received == 3


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        (None, 200, 0, 1000),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=99-100", 206, 99, 101),
        ("bytes=250-", 206, 250, 1000),
        ("bytes=-7", 206, 993, 1000),
        ("bytes=900-5000", 206, 900, 1000),
        ("bytes=-5000", 206, 0, 1000),
        ("bytes=1-2,4-5", 200, 0, 1000),
        ("lines=1-2", 200, 0, 1000),
        ("bytes=1000-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=9-3", 416, 0, 0),
    ],
)
def test_downloads_by_range(client: Client, asked: str | None, status: int, start: int, end: int) -> None:
    """Ranges may cross the borders of the parts."""
    data = bytes(number % 251 for number in range(1000))
    done = client.upload("ranges.bin", data, part_size=100)
    url = client.get(f"files/{done['id']}/download_info").json()["url"]
    answer = client.storage.get(url, headers={} if asked is None else {"Range": asked})
    assert answer.status_code == status
    if status == 416:
        assert s3_code(answer.text) == "InvalidRange"
    else:
        assert answer.content == data[start:end]
    if status == 206:
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/1000"


def test_a_download_url_of_a_deleted_file(client: Client) -> None:
    """The URL outlives the file; storage says NoSuchKey."""
    done = client.upload("gone.bin", b"abc")
    url = client.get(f"files/{done['id']}/download_info").json()["url"]
    client.delete(f"files/{done['id']}")
    answer = client.storage.get(url)
    assert (answer.status_code, s3_code(answer.text)) == (404, "NoSuchKey")


def test_only_get_and_put_are_for_storage(client: Client, url: str) -> None:
    """405 names the two."""
    answer = client.storage.post(url, content=b"abc")
    assert (answer.status_code, answer.headers["Allow"], s3_code(answer.text)) == (405, "GET, PUT", "MethodNotAllowed")


def test_a_full_disk_is_an_internal_error_and_keeps_what_was_there(
    client: Client, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 in XML; the earlier part is intact and nothing half-written stays."""

    def full(self: PartWriter, block: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert client.storage.put(url, content=b"abc").status_code == 200
    with monkeypatch.context() as patched:
        patched.setattr(PartWriter, "write", full)
        answer = client.storage.put(url, content=b"xyz")
    assert (answer.status_code, s3_code(answer.text)) == (500, "InternalError")
    assert client.server.uploads()[0]["stored_parts"] == [{"part_number": 1, "size": 3, "etag": md5(b"abc")}]
    assert client.storage.put(url, content=b"xyz").status_code == 200


def test_a_client_that_dies_in_a_put_is_no_failure_of_the_mock(
    client: Client, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A reset in the middle of a body is not logged as an error."""
    path = url.removeprefix(client.server.origin)
    with socket.create_connection((client.server.host, client.server.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxy".encode())
    assert client.storage.put(url, content=b"abc").status_code == 200
    assert caplog.text == ""


def test_puts_of_one_part_at_the_same_time(tmp_path: Path) -> None:
    """One of them is kept whole, and the bytes of the others are deleted."""
    with MockServer(data=tmp_path) as server, ThreadPoolExecutor(8) as pool:
        user = Client(server)
        upload_id = user.start(size=2**20)["upload_id"]
        target = user.part_url(upload_id, 1)
        bodies = [bytes([number]) * 2**20 for number in range(16)]
        answers = list(pool.map(lambda body: user.storage.put(target, content=body), bodies))
        assert {answer.status_code for answer in answers} == {200}
        (kept,) = server.uploads()[0]["stored_parts"]
        assert f'"{kept["etag"]}"' in {answer.headers["ETag"] for answer in answers}
        assert len(list((tmp_path / "blobs").iterdir())) == 1
        done = user.complete(upload_id, [report(1, kept["etag"])]).json()
        assert md5(server.file_bytes(done["id"])) == kept["etag"]
        user.close()


def test_storage_can_be_a_server_of_ones_own() -> None:
    """With `storage`, part URLs lead there; completion counts only the parts that were recorded."""
    with MockServer(storage="https://storage.invalid", part_size=3) as server:
        client = Client(server)
        upload_id = client.start("a", size=5)["upload_id"]
        url = client.part_url(upload_id, 2)
        assert url.startswith("https://storage.invalid/")
        assert parse_qs(urlsplit(url).query)["partNumber"] == ["2"]
        server.stored(upload_id, 1, 3, md5(b"abc"))
        reports = [report(1, md5(b"abc")), report(2, md5(b"de"))]
        assert client.complete(upload_id, reports).json()["code"] == 8007
        server.stored(upload_id, 2, 2, md5(b"de"))
        assert client.complete(upload_id, reports).json()["size"] == 5
        with pytest.raises(KeyError):
            server.stored(upload_id, 1, 3, md5(b"abc"))
        client.close()
