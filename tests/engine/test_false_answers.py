"""Answers that say what did not happen: the file arrives, or the same command finds it later."""

import json
import ssl
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import attrs
import pytest
from engine_rig import KIB, PROJECT, Rig

from cavatica_mock import Fault
from cavatica_upload import StorageError, UploadGone
from cavatica_upload.errors import ApiError, IntegrityError, UnexpectedAnswer
from cavatica_upload.http import connections
from cavatica_upload.plan import Part, PartUrl
from cavatica_upload.sources import open_source
from cavatica_upload.storage import Storage
from tests.cli.drifting_proxy import Drift, DriftingProxy, Reply, failure, in_json

COMPLETE = ("POST", "/upload/multipart/{id}/complete")
START = ("POST", "/upload/multipart")
LIST = ("GET", "/upload/multipart")
FILES = ("GET", "/files")
SIZE = 3 * KIB
DECOMPOSED = "e\u0301chantillon.bam"


def once(change: Callable[[Reply], None]) -> Callable[[Reply], None]:
    """Change the first answer only."""
    changes = [change]

    def apply(reply: Reply) -> None:
        if changes:
            changes.pop()(reply)

    return apply


def refuse(status: int, code: int) -> Callable[[Reply], None]:
    """Say that what was done was refused."""

    def apply(reply: Reply) -> None:
        error = failure(status, code)
        reply.status, reply.headers, reply.body = error.status, error.headers, error.body

    return apply


@pytest.mark.parametrize(("status", "code"), [(429, 1001), (503, 0), (503, 8000), (409, 8007), (404, 8003)])
def test_completion_that_is_said_to_be_refused(rig: Rig, proxy: DriftingProxy, status: int, code: int) -> None:
    """If a completion is refused and done all the same, the file is proved by its bytes, and nothing is sent twice."""
    path = rig.file(SIZE)
    proxy.drift = Drift(*COMPLETE, once(refuse(status, code)))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == SIZE
    assert rig.mock.uploads() == []


def test_file_that_is_not_listed_yet_is_found_by_the_next_run(rig: Rig, proxy: DriftingProxy) -> None:
    """If the answer to a completion is lost and the file is not listed yet, the same command finds it later."""
    path = rig.file(SIZE)
    proxy.lost = Drift(*COMPLETE, lambda _: None)
    proxy.drift = Drift(*FILES, in_json(lambda _: {"items": [], "links": []}))
    with pytest.raises(UploadGone):
        rig.upload(path, part_size=KIB)
    proxy.drift = None
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == SIZE


def test_completion_with_an_impossible_id(rig: Rig, proxy: DriftingProxy) -> None:
    """If a completion names a file that cannot be requested and whose link differs, the file is found by its name."""
    path = rig.file(SIZE)
    proxy.drift = Drift(*COMPLETE, in_json(lambda file: {**file, "id": "a" * 50_000}))
    receipt = rig.upload(path, part_size=KIB)
    rig.assert_whole(receipt, path)


def test_listed_upload_that_is_gone_is_not_the_lost_start(rig: Rig, proxy: DriftingProxy) -> None:
    """An upload that ended after it was listed does not keep a lost start from being found."""
    path = rig.file(SIZE)

    def with_ended(page: dict[str, Any]) -> dict[str, Any]:
        return {
            **page,
            "items": [{**item, "upload_id": f"ended{item['upload_id']}"} for item in page["items"]] + page["items"],
        }

    proxy.lost = Drift(*START, lambda _: None)
    proxy.drift = Drift(*LIST, in_json(with_ended))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["startUpload"] == 1


def composed(answer: Any) -> Any:
    """Return JSON whose texts are in the composed form of Unicode: é is one character."""
    return json.loads(unicodedata.normalize("NFC", json.dumps(answer, ensure_ascii=False)))


@pytest.mark.parametrize(("lost", "shown"), [(COMPLETE, FILES), (START, LIST)])
def test_lost_answer_if_names_come_back_in_another_form(
    rig: Rig, proxy: DriftingProxy, lost: tuple[str, str], shown: tuple[str, str]
) -> None:
    """A name in the decomposed form of a Mac is found after a lost answer, even if the platform composes it."""
    path = rig.file(SIZE, DECOMPOSED)
    proxy.lost = Drift(*lost, lambda _: None)
    proxy.drift = Drift(*shown, in_json(composed))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["startUpload"] == 1
    assert rig.mock.uploads() == []


def test_named_upload_if_names_come_back_in_another_form(rig: Rig, proxy: DriftingProxy, tmp_path: Path) -> None:
    """An upload is resumed by its ID without the journal, even if the platform composes the name of a Mac's file."""
    path = rig.file(SIZE, DECOMPOSED)
    rig.mock.faults.add(Fault("putPart", "status", status=400, part=2, times=None))
    with pytest.raises(StorageError):
        rig.upload(path, part_size=KIB)
    rig.mock.faults.clear()
    (unfinished,) = rig.mock.uploads()
    proxy.drift = Drift("GET", "/upload/multipart/{id}", in_json(composed))
    elsewhere = {"state_dir": tmp_path / "elsewhere"}
    rig.assert_whole(rig.upload(path, resume_id=unfinished["upload_id"], uploader=elsewhere), path)


def test_folder_if_names_come_back_in_another_form(rig: Rig, proxy: DriftingProxy) -> None:
    """A folder with a Mac's name is found again and made once, even if the platform composes the name."""
    proxy.drift = Drift(*FILES, in_json(composed))
    for name in ("a.bam", "b.bam"):
        path = rig.file(KIB, name)
        with rig.uploader() as uploader:
            rig.assert_whole(uploader.upload(path, f"{PROJECT}/re\u0301sultats"), path)
    assert rig.calls["createFolder"] == 1


@pytest.mark.parametrize("code", [0, 1000, 8000])
def test_failed_start_that_was_done(rig: Rig, proxy: DriftingProxy, code: int) -> None:
    """A 500 may have had an effect, whatever its code: the upload is looked for, and no second one stays open."""
    path = rig.file(SIZE)
    proxy.drift = Drift(*START, once(refuse(500, code)))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["startUpload"] == 1
    assert rig.mock.uploads() == []


@pytest.mark.parametrize("change", [{"created_on": "2016-06-30T00:00:00Z"}, {"created_on": "soon"}])
def test_file_with_a_wrong_time_is_proved_by_its_bytes(rig: Rig, proxy: DriftingProxy, change: dict[str, str]) -> None:
    """If the platform's times are wrong, the file of a lost completion is found by its bytes."""
    path = rig.file(SIZE)

    def with_other_time(page: dict[str, Any]) -> dict[str, Any]:
        return {**page, "items": [{**item, **change} for item in page["items"]]}

    proxy.lost = Drift(*COMPLETE, lambda _: None)
    proxy.drift = Drift(*FILES, in_json(with_other_time))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


@pytest.mark.parametrize("status", [403, 404])
def test_lost_start_if_uploads_are_not_listed(rig: Rig, proxy: DriftingProxy, status: int) -> None:
    """If an answer to a start was lost and the platform lists no uploads, the next run starts a new upload."""
    path = rig.file(SIZE)
    rig.mock.faults.add(Fault("listUploads", "status", status=status, code=8001, times=None))
    proxy.lost = Drift(*START, lambda _: None)
    with pytest.raises(ApiError):
        rig.upload(path, part_size=KIB)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


class _Server(BaseHTTPRequestHandler):
    """Answers each request with `status`, `headers` and `body`."""

    protocol_version = "HTTP/1.1"
    status = 200
    headers_sent: tuple[tuple[str, str], ...] = ()
    body = b""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        for name, value in self.headers_sent:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_PUT = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None, **answer: Any) -> Iterator[str]:
    """A server of its own, which always answers the same."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Server", (_Server,), answer)) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def download_at(url: str) -> Drift:
    """Downloads lead to another server."""
    return Drift("GET", "/files/{id}/download_info", in_json(lambda info: {**info, "url": url}))


@pytest.mark.parametrize("form", ['W/"{}"', ' w/ "{}" ', '"{}"', "{}"])
@pytest.mark.parametrize("times", [1, 2])
def test_etag_that_a_proxy_changed(tmp_path: Path, form: str, times: int) -> None:
    """An ETag that a proxy marked as weak or repeated is reported bare, once."""
    content = b"ACGT"
    path = tmp_path / "part"
    path.write_bytes(content)
    etag = md5(content).hexdigest()
    source = open_source(path)
    with serving(headers_sent=(("ETag", form.format(etag)),) * times) as url:
        storage = Storage()
        sent = storage.put(PartUrl(url=url), Part(1, 0, len(content)), source)
        storage.close()
    source.close()
    assert sent.headers == {"ETag": etag}
    assert sent.verified


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 206, "body": bytes(KIB), "headers_sent": (("Content-Range", "bytes 7-1030/3072"),)},
        {"status": 200, "body": bytes(SIZE), "headers_sent": (("Content-Encoding", "gzip"),)},
        {"status": 206, "body": bytes(KIB)},
        {"status": 206, "body": bytes(99), "headers_sent": (("Content-Range", "bytes 0-98/3072"),)},
    ],
)
def test_download_of_other_bytes_proves_nothing(rig: Rig, proxy: DriftingProxy, answer: dict[str, Any]) -> None:
    """If other or fewer bytes are sent than were requested, the file is not called somebody else's."""
    path = rig.file(SIZE)
    proxy.lost = Drift(*COMPLETE, lambda _: None)
    with serving(**answer) as url:
        proxy.drift = download_at(url)
        with pytest.raises(UploadGone, match="cannot be proved"):
            rig.upload(path, part_size=KIB)
    proxy.drift = None
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == SIZE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_download_that_is_redirected(rig: Rig, proxy: DriftingProxy, status: int) -> None:
    """After a lost completion the file is read back over redirects, too."""
    path = rig.file(SIZE)
    proxy.lost = Drift(*COMPLETE, lambda _: None)
    content = path.read_bytes()
    with (
        serving(body=content) as there,
        serving(status=status, headers_sent=(("Location", f"{there}file"),)) as url,
    ):
        proxy.drift = download_at(url)
        rig.assert_whole(rig.upload(path, part_size=SIZE), path)


def test_download_is_not_redirected_out_of_tls(
    rig: Rig, proxy: DriftingProxy, server_tls: ssl.SSLContext, authority_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect from https to http is not followed: others could read the file."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority_file))
    connections.shared_ssl_context.cache_clear()
    path = rig.file(SIZE)
    proxy.lost = Drift(*COMPLETE, lambda _: None)
    try:
        with (
            serving(body=path.read_bytes()) as plain,
            serving(server_tls, status=302, headers_sent=(("Location", plain),)) as url,
        ):
            proxy.drift = download_at(url)
            with pytest.raises(UploadGone, match="cannot be proved"):
                rig.upload(path, part_size=SIZE)
    finally:
        connections.shared_ssl_context.cache_clear()


@pytest.mark.parametrize("if_exists", ["fail", "skip", "rename"])
@pytest.mark.parametrize(("status", "code"), [(409, 8009), (400, 8013), (403, 8001), (409, 8005), (409, 8007)])
def test_completion_that_is_refused_after_a_success(rig: Rig, status: int, code: int, if_exists: Any) -> None:
    """A platform that answers with success and is still at work may refuse a second request: that is no failure."""
    path = rig.file(SIZE)
    rig.mock.faults.add(
        Fault("completeUpload", "bad_json"), Fault("completeUpload", "status", status=status, code=code, times=2)
    )
    receipt = rig.upload(path, part_size=KIB, if_exists=if_exists)
    rig.assert_whole(receipt, path)
    assert receipt.name == path.name
    assert rig.calls["completeUpload"] == 4
    assert rig.mock.bytes_received == SIZE


def test_completion_that_is_refused_after_a_success_for_ever(rig: Rig) -> None:
    """If the upload stays open after a success and refusals, the error says that, and it can be resumed."""
    path = rig.file(SIZE)
    rig.mock.faults.add(
        Fault("completeUpload", "bad_json"), Fault("completeUpload", "status", status=409, code=8009, times=None)
    )
    with pytest.raises(UnexpectedAnswer, match="keeps its upload open"):
        rig.upload(path, part_size=KIB)
    rig.mock.faults.clear()
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == SIZE


def test_wrong_file_is_named_after_a_success_without_a_file(rig: Rig, proxy: DriftingProxy) -> None:
    """If the second answer to a completion names a wrong file, the error says so, although the first was a success."""

    def lie(reply: Reply) -> None:
        if reply.body.startswith(b"{") and b"size" in reply.body:
            reply.body = json.dumps({**json.loads(reply.body), "id": "0" * 24, "size": 1}).encode()

    rig.mock.faults.add(Fault("completeUpload", "bad_json"))
    proxy.drift = Drift(*COMPLETE, lie)
    with pytest.raises(IntegrityError, match=f"named {'0' * 24}, which does not exist"):
        rig.upload(rig.file(SIZE), part_size=KIB)


def test_success_that_is_forgotten_and_not_listed(rig: Rig, proxy: DriftingProxy) -> None:
    """After a success without a file, an upload that is gone is completed, even if the file is not listed yet."""

    @attrs.frozen
    class Everything(Drift):
        def fits(self, method: str, path: str) -> bool:
            return True

    def hide(reply: Reply) -> None:
        if b'"items"' in reply.body:
            reply.body = b'{"items": [], "links": []}'
        elif b'"created_on"' in reply.body and b'"upload_id"' not in reply.body:
            refuse(404, 8003)(reply)

    rig.mock.faults.add(Fault("completeUpload", "bad_json"))
    proxy.drift = Everything("", "", hide)
    path = rig.file(SIZE)
    assert rig.upload(path, part_size=KIB).name == path.name
    assert rig.calls["completeUpload"] == 2
    assert rig.mock.uploads() == []
