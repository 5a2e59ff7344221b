import asyncio
import contextlib
import gzip
import http.server
import io
import os
import threading
from collections.abc import Callable, Iterator
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import attrs
import pytest
from engine_rig import KIB, PART, PROJECT, Rig
from test_true_success import rewrite

from cavatica_mock import Fault, MockServer
from cavatica_upload import Destination, NameTaken, UploadRequest, UsageError, upload, upload_async
from cavatica_upload.api import Api
from cavatica_upload.errors import IntegrityError, SourceError
from cavatica_upload.events import Event, Notice, PartSent, UploadCompleted, UploadSkipped, UploadStarted
from cavatica_upload.plan import Part
from cavatica_upload.receipt import Receipt, read, receipts
from cavatica_upload.request import IfExists
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.storage import Storage


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 5 * PART + 17])
def test_file_of_any_size_arrives_whole(rig: Rig, size: int) -> None:
    """Files of sizes around the boundaries of a part arrive whole and verified."""
    path = rig.file(size)
    receipt = rig.upload(path)
    rig.assert_whole(receipt, path)
    assert rig.bytes_told() == size


@pytest.mark.parametrize(
    "name", ["a b.bam", "ü€\U0001f9ec.cram", "100%.txt", "a?b#c+d&e=f.vcf", "'q\"uote.gz", "n" * 250]
)
def test_name_arrives_as_it_is(rig: Rig, name: str) -> None:
    """A name with characters that are special in a URL arrives unchanged."""
    path = rig.file(10, name)
    receipt = rig.upload(path)
    assert receipt.name == name
    assert [file["name"] for file in rig.mock.files()] == [name]


@pytest.mark.parametrize("parts", [1, 2, 32, 33, 100, 200])
def test_calls_for_parts(rig: Rig, parts: int) -> None:
    """N parts cost at most N + 2 + N/32 calls, and a file of one part costs three."""
    rig.upload(rig.file(parts * KIB), part_size=KIB)
    assert rig.api_calls <= parts + 2 + -(-parts // 32)
    assert rig.calls["getPartUrl"] == rig.calls["putPart"] == parts
    assert rig.calls["startUpload"] == rig.calls["completeUpload"] == 1
    if parts <= 32:
        assert rig.api_calls == parts + 2


def test_each_part_is_reported_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is reported once, in a report or with the completion."""
    numbers: list[int] = []

    def noting(call: Callable[..., Any]) -> Callable[..., Any]:
        def note(api: Api, upload_id: str, reports: Any) -> Any:
            numbers.extend(report.part_number for report in reports)
            return call(api, upload_id, reports)

        return note

    monkeypatch.setattr(Api, "report_parts", noting(Api.report_parts))
    monkeypatch.setattr(Api, "complete_upload", noting(Api.complete_upload))
    rig.upload(rig.file(100 * KIB), part_size=KIB)
    assert sorted(numbers) == list(range(1, 101))


def test_run_ends_with_its_last_file(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run ends when its last file does, without a further wait."""
    monkeypatch.setattr("cavatica_upload.engine.engine.CHECK_SECONDS", 3600.0)
    files = [rig.file(KIB, str(number)) for number in range(3)]
    with rig.uploader() as uploader:
        outcomes = list(uploader.upload_many(UploadRequest(source=file, destination=PROJECT) for file in files))
    assert [outcome.error for outcome in outcomes] == [None] * 3


def test_limit_of_calls_is_not_met(rigged: object) -> None:
    """Eighty parts fit into a hundred calls, without a wait and without a 429."""
    rig = rigged(rate_limit=(100, 300))  # type: ignore[operator]
    rig.upload(rig.file(80 * KIB), part_size=KIB)
    assert rig.api_calls <= 85
    assert not [event for event in rig.events if type(event).__name__ == "RateLimitWait"]


def test_receipt_is_kept_and_can_be_read(rig: Rig) -> None:
    """The receipt on disk is the returned one, and has the composite ETag that S3 shows."""
    path = rig.file(2 * PART + 5)
    receipt = rig.upload(path)
    assert receipt.path is not None
    assert read(receipt.path) == receipt
    assert list(receipts(rig.state / "receipts")) == [receipt]
    content = path.read_bytes()
    digests = b"".join(md5(content[at : at + PART]).digest() for at in range(0, len(content), PART))
    assert receipt.composite == f"{md5(digests).hexdigest()}-3"
    assert receipt.project == PROJECT
    assert rig.mock.token not in receipt.path.read_text()
    assert rig.told(UploadCompleted)[0].receipt == receipt


def test_no_verify_is_in_the_receipt(rig: Rig) -> None:
    """Without verification the file arrives, and the receipt says that it is not verified."""
    path = rig.file(3 * PART)
    receipt = rig.upload(path, uploader={"verify": False})
    assert rig.stored(receipt) == path.read_bytes()
    assert not receipt.verified
    assert "switched off" in receipt.not_verified[0]
    assert receipt.composite is None


def test_etag_that_is_no_md5_proves_nothing(rig: Rig) -> None:
    """An ETag that is no MD5 is accepted, and the receipt lists the part as not verified."""
    rig.mock.faults.add(Fault("putPart", "etag", part=2, value="opaque-1"))
    receipt = rig.upload(rig.file(3 * PART))
    assert not receipt.verified
    assert receipt.not_verified == ("The ETag of 1 of 3 parts is not an MD5: it does not prove the bytes.",)
    assert [part.verified for part in receipt.parts] == [True, False, True]


def test_taken_name(rig: Rig) -> None:
    """A taken name fails, is skipped, overwritten or renamed, as `if_exists` says."""
    first = rig.upload(rig.file(10))
    path = rig.file(20, seed=2)
    with pytest.raises(NameTaken):
        rig.upload(path)
    with rig.uploader() as uploader:
        assert uploader.upload(path, PROJECT, if_exists="skip") is None
    (skipped,) = rig.told(UploadSkipped)
    assert skipped.different
    assert skipped.reason == "A different file sample.bam is there already: it has 10 bytes, this one has 20."
    renamed = rig.upload(path, if_exists="rename")
    assert renamed.name == "_1_sample.bam"
    path.write_bytes(b"another")
    assert rig.upload(path, if_exists="rename").name == "_2_sample.bam"
    over = rig.upload(path, if_exists="overwrite")
    assert rig.stored(over) == path.read_bytes()
    assert first.file_id not in {file["id"] for file in rig.mock.files()}


def test_name_is_looked_up_only_if_needed(rig: Rig) -> None:
    """To fail or overwrite, no extra call looks up the name."""
    rig.upload(rig.file(10))
    over = rig.upload(rig.file(10, seed=2), if_exists="overwrite")
    assert rig.calls["putPart"] == 2
    assert [file["id"] for file in rig.mock.files()] == [over.file_id]
    assert rig.calls["listFiles"] == 0


def test_folder_is_a_destination(rig: Rig) -> None:
    """A file can be uploaded to a folder by its ID."""
    with rig.uploader() as uploader:
        folder = uploader.api.create_folder(Destination(project=PROJECT), "runs")
        receipt = uploader.upload(rig.file(10), folder.id)
    assert receipt is not None
    assert receipt.parent == folder.id


def test_stream_arrives_whole(rig: Rig) -> None:
    """A stream of unknown size arrives whole, and an empty one if that is allowed."""
    for number, size in enumerate((0, 1, PART, 10 * PART + 3)):
        content = rig.file(size).read_bytes()
        receipt = rig.upload(io.BytesIO(content), name=f"stream-{number}", allow_empty=True)
        assert rig.stored(receipt) == content
        assert receipt.verified
        assert receipt.size == size


def test_pipe_is_read_as_a_stream(rig: Rig, tmp_path: Path) -> None:
    """A named pipe is uploaded like standard input."""
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = rig.file(3 * PART).read_bytes()
    writer = threading.Thread(target=lambda: pipe.write_bytes(content))
    writer.start()
    receipt = rig.upload(pipe, name="piped")
    writer.join()
    assert rig.stored(receipt) == content


def test_stream_needs_a_name(rig: Rig) -> None:
    """A stream without a name is refused before anything is sent."""
    with pytest.raises(UsageError, match="name"):
        rig.upload(io.BytesIO(b"x"))
    assert rig.api_calls == 0


def test_url_is_read_by_ranges(rig: Rig) -> None:
    """A remote object is read by ranges, and the receipt names it."""
    import fsspec

    content = rig.file(3 * PART + 1).read_bytes()
    with fsspec.open("memory://bucket/remote.bam", "wb") as file:
        file.write(content)
    receipt = rig.upload("memory://bucket/remote.bam")
    assert rig.stored(receipt) == content
    assert receipt.source == "memory://bucket/remote.bam"
    assert receipt.name == "remote.bam"


@pytest.mark.parametrize(
    ("status", "problem"), [(404, "does not exist"), (403, "cannot be reached: 403"), (0, "cannot be reached: Cannot")]
)
def test_url_that_cannot_be_read(rig: Rig, status: int, problem: str) -> None:
    """Only a server that answers 404 says that a URL does not exist; another failure is named."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

    Handler.do_HEAD = Handler.do_GET  # type: ignore[attr-defined]
    with http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False) as server:
        server.server_bind()
        if status:  # if not, nobody listens at its port
            server.server_activate()
        url = f"http://127.0.0.1:{server.server_port}/a.bam"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(SourceError, match=f"{url} {problem}"):
            rig.upload(url)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("ranges", [True, False])
def test_url_of_a_server_with_a_mind_of_its_own(rig: Rig, ranges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may compress what it is not told not to; one that ignores ranges is refused before anything is sent.

    All requests have the headers of the user's configuration of fsspec.
    """
    import fsspec.config

    monkeypatch.setitem(fsspec.config.conf, "https", {"headers": {"Authorization": "Bearer mine"}})
    content = rig.file((2 << 20) + 1).read_bytes()
    asked = []
    sent = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.command, self.headers.get("Authorization")))
            first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
            body, status = content, 200
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                body = gzip.compress(content, 1)
            elif ranges and first:
                body, status = content[int(first) : int(last) + 1], 206
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                sent.append(status)
                with contextlib.suppress(OSError):  # the client may not want it all
                    self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.vcf"
        try:
            if ranges:
                assert rig.stored(rig.upload(url, part_size=1 << 20)) == content
            else:
                with pytest.raises(SourceError, match=r"does not return ranges of it\."):
                    rig.upload(url)
                assert (sent, rig.api_calls) == ([200], 0)
                assert [command for command, _ in asked] == ["HEAD", "GET"]
            assert {key for _, key in asked} == {"Bearer mine"}
        finally:
            server.shutdown()


@pytest.mark.parametrize(("algorithm", "function"), [("md5", md5), ("sha256", sha256)])
@pytest.mark.parametrize("stream", [False, True])
def test_digest_of_the_whole_file(rig: Rig, algorithm: str, function: object, stream: bool) -> None:
    """The requested digest is that of the whole file or stream."""
    path = rig.file(5 * PART + 7)
    content = path.read_bytes()
    receipt = rig.upload(io.BytesIO(content) if stream else path, name="n", digest=algorithm)
    assert receipt.digest is not None
    assert (receipt.digest.value, receipt.digest.origin) == (function(content).hexdigest(), "computed")  # type: ignore[operator]


def test_sidecar_is_taken_as_known(rig: Rig) -> None:
    """An MD5 file beside the file is sent to the platform and is in the receipt."""
    path = rig.file(2 * PART)
    value = md5(path.read_bytes()).hexdigest()
    path.with_name("sample.bam.md5").write_text(f"{value}  sample.bam\n")
    receipt = rig.upload(path)
    assert receipt.digest is not None
    assert (receipt.digest.value, receipt.digest.origin) == (value, "sidecar")


def test_sidecar_that_is_wrong_stops_completion(rig: Rig) -> None:
    """If the known MD5 and the computed one differ, nothing is completed."""
    path = rig.file(PART)
    with pytest.raises(IntegrityError, match="0" * 32 + " was expected"):
        rig.upload(path, md5="0" * 32)
    assert rig.calls["completeUpload"] == 0


def test_one_part_at_a_time_if_the_platform_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """`parallel_uploads: false` is obeyed."""
    with rig.uploader(jobs=8) as uploader:
        start = uploader.api.start_upload

        def serial(*args: object, **options: object) -> object:
            return attrs.evolve(start(*args, **options), parallel_uploads=False)  # type: ignore[arg-type]

        monkeypatch.setattr(uploader.api, "start_upload", serial)
        at_once: list[int] = []
        going: set[int] = set()
        put = Storage.put

        def counted(storage: Storage, target: Any, part: Part, *args: Any, **options: Any) -> Any:
            going.add(part.number)
            at_once.append(len(going))
            try:
                return put(storage, target, part, *args, **options)
            finally:
                going.remove(part.number)

        monkeypatch.setattr(Storage, "put", counted)
        assert uploader.upload(rig.file(20 * KIB), PROJECT, part_size=KIB) is not None
    assert set(at_once) == {1}
    assert len(at_once) == 20


def test_events_of_an_upload(rig: Rig) -> None:
    """Listeners get the start, each part, all bytes and the end."""
    path = rig.file(4 * PART)
    rig.upload(path)
    (started,) = rig.told(UploadStarted)
    assert (started.file, started.size, started.parts, started.resumed_parts) == (str(path), 4 * PART, 4, 0)
    assert sorted(event.number for event in rig.told(PartSent)) == [1, 2, 3, 4]
    assert rig.bytes_told() == 4 * PART


def test_listener_that_fails_does_not_cost_the_upload(rig: Rig) -> None:
    """An exception in a listener does not fail the upload."""
    path = rig.file(2 * PART)

    def bad(event: object) -> None:
        raise RuntimeError("listener")

    rig.assert_whole(rig.upload(path, uploader={"listeners": [bad]}), path)


def test_functions_upload_too(mock: MockServer, rig: Rig) -> None:
    """`upload()` and `upload_async()` do what an Uploader does."""
    options = {"token": mock.token, "endpoint": mock.base_url, "state_dir": rig.state}
    path = rig.file(10, "one")
    assert upload(path, PROJECT, **options).size == 10  # type: ignore[arg-type, union-attr]
    receipt = asyncio.run(upload_async(rig.file(11, "two"), PROJECT, **options))  # type: ignore[arg-type]
    assert isinstance(receipt, Receipt)
    assert receipt.size == 11


def test_cap_of_bytes_per_second_is_kept(rig: Rig) -> None:
    """With a limit of bytes, every block passes the throttle (whose waits are tested alone)."""
    path = rig.file(4 * PART)
    rig.assert_whole(rig.upload(path, uploader={"bwlimit": 100e6}), path)


@pytest.mark.parametrize("rate", [2_000_000, 20_000_000])
def test_cap_of_bytes_per_second_leaves_no_long_silence(rig: Rig, rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of bytes, the parts in flight send no more at a time than they may in a second together."""
    sizes: list[int] = []
    read = LocalFile.blocks

    def blocks(*given: Any) -> Iterator[bytes]:
        for block in read(*given):
            sizes.append(len(block))
            yield block

    monkeypatch.setattr(LocalFile, "blocks", blocks)
    path = rig.file(3_000_000)
    rig.assert_whole(rig.upload(path, part_size=1_500_000, uploader={"bwlimit": rate, "jobs": 8}), path)
    assert max(sizes) <= rate / 8


@pytest.mark.parametrize("options", [{"jobs": 0}, {"jobs": 65}, {"bwlimit": 0}])
def test_impossible_settings_are_refused(rig: Rig, options: dict[str, float]) -> None:
    """Impossible settings are refused by name."""
    with pytest.raises(UsageError, match=next(iter(options))):
        rig.uploader(**options)


@pytest.mark.parametrize("options", [{"if_exists": "maybe"}, {"changed": "x"}, {"digest": "crc"}, {"md5": "zz"}])
def test_impossible_requests_are_refused(options: dict[str, str]) -> None:
    """Impossible requests are refused when they are made."""
    with pytest.raises(UsageError):
        UploadRequest(source="x", destination=PROJECT, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("if_exists", ["fail", "skip", "rename", "overwrite"])
def test_the_same_again_returns_the_receipt(rig: Rig, if_exists: str) -> None:
    """A file that did not change since its upload is not sent again."""
    path = rig.file(3 * KIB)
    first = rig.upload(path, part_size=KIB)
    assert rig.upload(path, part_size=KIB, if_exists=if_exists) == first
    assert rig.calls["putPart"] == 3
    assert len(rig.mock.files()) == 1
    assert len(rig.told(UploadSkipped)) == 1


def test_touched_file_of_the_same_bytes_is_recognised(rig: Rig) -> None:
    """If only the times changed, the file is compared with its receipt and not sent again."""
    path = rig.file(3 * KIB)
    first = rig.upload(path, part_size=KIB)
    os.utime(path, (10**9, 10**9))
    assert rig.upload(path, part_size=KIB) == first
    assert rig.calls["putPart"] == 3


@pytest.mark.parametrize("if_exists", ["fail", "skip", "rename", "overwrite"])
def test_a_file_that_was_rewritten_is_read_once(rig: Rig, if_exists: IfExists) -> None:
    """A file that changed is read once to compare it with its receipt."""
    path = rig.file(3 * KIB)
    rig.upload(path, part_size=KIB)
    path.write_bytes(rig.file(3 * KIB, "other", seed=2).read_bytes())
    with rig.uploader() as uploader, contextlib.suppress(NameTaken):
        uploader.upload(path, PROJECT, part_size=KIB, if_exists=if_exists)
    assert len([event for event in rig.told(Notice) if "comparing it with the receipt" in event.text]) == 1


def test_others_may_be_faster_with_several_names(rig: Rig) -> None:
    """With "rename", a file whose name others take again and again before its completion gets a later name."""
    others = rig.uploader(state_dir=rig.folder / "elsewhere", listeners=[])

    def take_the_name(event: Event) -> None:
        if isinstance(event, UploadStarted) and len(rig.mock.files()) < 3:
            (upload,) = rig.mock.uploads()
            others.upload(rig.file(10, "other", seed=2), PROJECT, name=upload["name"], if_exists="fail")

    path = rig.file(3 * KIB)
    receipt = rig.upload(path, part_size=KIB, if_exists="rename", uploader={"listeners": [take_the_name]})
    assert receipt.name == "_3_sample.bam"
    rig.assert_whole(receipt, path)
    assert rig.mock.uploads() == []


@pytest.mark.parametrize("change", ["written to", "replaced there", "another file"])
def test_another_state_is_another_file(rig: Rig, change: str) -> None:
    """A file that was rewritten, replaced on the platform, or uploaded from another path is sent again."""
    path = rig.file(10)
    first = rig.upload(path)
    if change == "written to":
        rewrite(path, b"other byte")
    elif change == "replaced there":
        second = rig.upload(path, if_exists="overwrite", uploader={"state_dir": rig.folder / "elsewhere"})
        assert second.file_id != first.file_id
    else:
        assert first.path is not None
        first.path.write_text(first.to_json().replace(str(path), str(path) + "2"))
    with pytest.raises(NameTaken):
        rig.upload(path)
