import os
import sqlite3
import threading
from hashlib import md5
from pathlib import Path
from typing import Any

import attrs
import pytest
from engine_rig import KIB, PROJECT, Rig

from cavatica_mock import Fault
from cavatica_upload import FileChanged, Interrupted, SourceError, UploadBusy, UsageError
from cavatica_upload.engine import file_upload
from cavatica_upload.errors import CavaticaError
from cavatica_upload.events import Notice, PartSent, UploadStarted
from cavatica_upload.journal.journal import Journal
from cavatica_upload.sources import stream
from tests.cli.drifting_proxy import Drift, DriftingProxy, in_json

PARTS = 10


@pytest.fixture
def half(rig: Rig) -> Path:
    """A file whose upload stopped after some parts, which were reported."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("putPart", "status", status=500, after=5, times=None))
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB, uploader={"jobs": 1})
    rig.mock.faults.clear()
    rig.events.clear()
    return path


def open_parts(rig: Rig) -> list[int]:
    """The numbers of the parts of the only open upload on the server."""
    (upload,) = rig.mock.uploads()
    return sorted(part["part_number"] for part in upload["parts"])


def notices(rig: Rig) -> str:
    return " ".join(event.text for event in rig.told(Notice))


def test_second_run_sends_the_rest(rig: Rig, half: Path) -> None:
    """Parts of an earlier run are kept, reported as resumed, and not sent again."""
    there = open_parts(rig)  # mostly the first five: a URL may overtake another
    assert len(there) == 5
    before = rig.mock.bytes_received
    receipt = rig.upload(half, part_size=KIB)
    rig.assert_whole(receipt, half)
    assert rig.mock.bytes_received == before + 5 * KIB
    (started,) = rig.told(UploadStarted)
    assert (started.resumed_parts, started.resumed_bytes) == (5, 5 * KIB)
    assert [part.number for part in receipt.parts if part.resumed] == there
    assert rig.bytes_told() == 5 * KIB
    assert notices(rig) == ""
    assert rig.mock.uploads() == []


def test_parts_not_reported_are_reported_not_sent(rig: Rig) -> None:
    """Parts that storage has and the API does not know are reported by the next run."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("putPart", "status", status=500, after=5, times=None))
    rig.mock.faults.add(Fault("reportUploadedParts", "status", status=500, times=None))
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB, uploader={"jobs": 1})
    assert open_parts(rig) == []
    rig.mock.faults.clear()
    before = rig.mock.bytes_received
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == before + 5 * KIB


def test_journal_lost_parts_are_proved_by_reading(rig: Rig, half: Path) -> None:
    """Without a journal the upload is resumed by its ID, and parts with the MD5s of the file are kept."""
    (upload,) = rig.mock.uploads()
    for file in rig.state.glob("journal*"):
        file.unlink()
    before = rig.mock.bytes_received
    rig.assert_whole(rig.upload(half, resume_id=upload["upload_id"]), half)
    assert rig.mock.bytes_received == before + 5 * KIB
    assert "Compared 5 parts on the server with the file: 5 identical" in notices(rig)


def test_parts_sent_unchecked_are_checked_later(rig: Rig) -> None:
    """A verifying run reads the parts again that an earlier run sent without verification."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("putPart", "status", status=500, after=5, times=None))
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB, uploader={"jobs": 1, "verify": False})
    rig.mock.faults.clear()
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == PARTS * KIB


def test_journal_lost_and_another_file_is_no_mix(rig: Rig, half: Path) -> None:
    """Parts of other bytes are sent again, so that the file is never a mix."""
    (upload,) = rig.mock.uploads()
    for file in rig.state.glob("journal*"):
        file.unlink()
    content = bytearray(half.read_bytes())
    content[(open_parts(rig)[0] - 1) * KIB] ^= 1
    half.write_bytes(content)
    before = rig.mock.bytes_received
    rig.assert_whole(rig.upload(half, resume_id=upload["upload_id"]), half)
    assert rig.mock.bytes_received == before + 6 * KIB


def test_resume_by_id_of_another_file(rig: Rig, half: Path) -> None:
    """An upload with another name or size is not resumed."""
    (upload,) = rig.mock.uploads()
    wrong = rig.file(PARTS * KIB, "other.bam", seed=2)
    with pytest.raises(UsageError, match=r"is of 'sample.bam', not of 'other.bam'"):
        rig.upload(wrong, resume_id=upload["upload_id"])
    with pytest.raises(FileChanged, match="started with another file"):
        rig.upload(wrong, resume_id=upload["upload_id"], name="sample.bam")
    for file in rig.state.glob("journal*"):
        file.unlink()
    other = rig.file(PARTS * KIB, "other.bam")
    with pytest.raises(UsageError, match=r"is of 'sample.bam', not of 'other.bam'"):
        rig.upload(other, resume_id=upload["upload_id"])
    longer = rig.file(PARTS * KIB + 1, "sample.bam")
    with pytest.raises(CavaticaError):
        rig.upload(longer, resume_id=upload["upload_id"])
    assert rig.mock.files() == []


def test_damaged_journal_is_set_aside(rig: Rig, half: Path) -> None:
    """A damaged journal is renamed, and a message says how to resume."""
    (upload,) = rig.mock.uploads()
    (rig.state / "journal.sqlite").write_bytes(b"garbage" * 1000)
    for left in rig.state.glob("journal.sqlite-*"):
        left.unlink()
    rig.assert_whole(rig.upload(half, resume_id=upload["upload_id"]), half)
    assert "was renamed to" in notices(rig)
    assert len(list(rig.state.glob("journal.sqlite.damaged-*"))) == 1


def test_aborted_upload_is_started_again(rig: Rig, half: Path) -> None:
    """If somebody aborted the upload, a new one is started, with a message."""
    (upload,) = rig.mock.uploads()
    with rig.uploader() as uploader:
        uploader.api.abort_upload(upload["upload_id"])
    rig.assert_whole(rig.upload(half, part_size=KIB), half)
    assert "gone on the server; a new one starts" in notices(rig)


def test_changed_file_is_refused_until_allowed(rig: Rig, half: Path) -> None:
    """A changed file is not resumed; with permission the old upload is aborted and a new one started."""
    half.write_bytes(half.read_bytes()[::-1])
    with pytest.raises(FileChanged, match="modification time") as caught:
        rig.upload(half, part_size=KIB)
    assert caught.value.hint is not None
    assert "--yes" in caught.value.hint
    rig.assert_whole(rig.upload(half, part_size=KIB, changed="restart"), half)
    assert rig.mock.uploads() == []
    assert "It is aborted, and a new one starts." in notices(rig)


def test_replaced_file_is_a_changed_file(rig: Rig, half: Path) -> None:
    """Another file with the same name, size and time is recognised by its inode."""
    times = half.stat().st_mtime_ns
    other = rig.file(PARTS * KIB, "other", seed=2)
    os.utime(other, ns=(times, times))
    other.replace(half)
    with pytest.raises(FileChanged, match="replaced"):
        rig.upload(half, part_size=KIB)


def test_moved_file_is_the_same_file(rig: Rig, half: Path) -> None:
    """A file that was moved is resumed, since its inode is the same."""
    moved = half.with_name("moved.bam")
    half.rename(moved)
    receipt = rig.upload(moved, name="sample.bam", part_size=KIB)
    assert rig.told(UploadStarted)[0].resumed_parts == 5
    assert rig.stored(receipt) == moved.read_bytes()


def test_server_overrules_the_journal(rig: Rig, half: Path) -> None:
    """A part that was replaced on the server is sent again, with a message."""
    (upload,) = rig.mock.uploads()
    from cavatica_upload.engine.complete import report_of
    from cavatica_upload.storage import SentPart

    with rig.uploader() as uploader:
        other = SentPart(open_parts(rig)[0], KIB, None, {"ETag": md5(b"other").hexdigest()})
        uploader.api.report_parts(upload["upload_id"], [report_of(other)])
    before = rig.mock.bytes_received
    rig.assert_whole(rig.upload(half, part_size=KIB), half)
    assert rig.mock.bytes_received == before + 6 * KIB
    assert "Server and journal have different ETags for 1 part" in notices(rig)


@pytest.mark.parametrize("response", [None, {}, {"headers": None}, {"headers": {"ETag": ""}}])
def test_parts_that_are_listed_without_their_etags_are_kept(
    rig: Rig, proxy: DriftingProxy, half: Path, response: dict[str, Any] | None
) -> None:
    """If the server lists parts without their ETags, nothing is sent twice, even if a completion is refused."""

    def without_etags(upload: dict[str, Any]) -> dict[str, Any]:
        return {**upload, "parts": [{**part, "response": response} for part in upload.get("parts", ())]}

    proxy.drift = Drift("GET", "/upload/multipart/{id}", in_json(without_etags))
    rig.mock.faults.add(Fault("completeUpload", "status", status=409, code=8007))
    before = rig.mock.bytes_received
    rig.assert_whole(rig.upload(half, part_size=KIB), half)
    assert rig.mock.bytes_received == before + 5 * KIB


def test_completion_without_an_answer_is_found(rig: Rig) -> None:
    """If a run died before the answer to its completion, the next run finds the file and sends nothing."""
    path = rig.file(3 * KIB)
    rig.mock.faults.add(Fault("completeUpload", "lost_answer"))
    rig.mock.faults.add(Fault("getUpload", "status", status=400, code=90000))
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB)
    before = rig.mock.bytes_received
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == before
    assert rig.calls["startUpload"] == 1


def test_completion_without_an_answer_is_found_while_a_digest_is_computed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the digest of a file takes long, the parts of an upload that is gone are not reported meanwhile."""
    path = rig.file(40 * KIB)
    rig.mock.faults.add(Fault("completeUpload", "lost_answer"))
    rig.mock.faults.add(Fault("getUpload", "status", status=400, code=90000))
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB, digest="sha256")
    read = stream.read_whole

    def read_after_a_check(source: Any, part_size: int, digest: Any, put: Any, cancelled: Any) -> None:
        put(None)  # as if a second had passed
        read(source, part_size, digest, put, cancelled)

    monkeypatch.setattr(stream, "read_whole", read_after_a_check)
    rig.assert_whole(rig.upload(path, part_size=KIB, digest="sha256"), path)
    assert rig.calls["startUpload"] == 1


def test_completion_without_effect_is_made_again_with_a_new_upload(rig: Rig) -> None:
    """If a run died while completing and its upload was then aborted, the next run uploads the file from the start."""
    path = rig.file(3 * KIB)
    rig.mock.faults.add(Fault("completeUpload", "close"))
    rig.mock.faults.add(Fault("getUpload", "status", status=400, code=90000))
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB)
    (left,) = rig.mock.uploads()
    with rig.uploader() as uploader:
        uploader.api.abort_upload(left["upload_id"])
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == 2 * 3 * KIB
    assert "gone on the server; a new one starts" in notices(rig)
    assert rig.mock.uploads() == []


def test_start_without_an_answer_is_found(rig: Rig) -> None:
    """A start whose answer was lost is found, and not made twice."""
    path = rig.file(3 * KIB)
    rig.mock.faults.add(Fault("startUpload", "lost_answer"))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["startUpload"] == 1
    assert "was found on the server and is used" in notices(rig)


def test_start_missing_in_the_journal_is_found(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a run died before it wrote the upload to the journal, the next run uses that upload."""
    path = rig.file(3 * KIB)
    with monkeypatch.context() as context:

        def died(*_: object) -> None:
            raise MemoryError

        context.setattr(Journal, "add", died)
        with pytest.raises(MemoryError):
            rig.upload(path, part_size=KIB)
    (left,) = rig.mock.uploads()
    receipt = rig.upload(path, part_size=KIB)
    assert receipt.upload_id == left["upload_id"]
    rig.assert_whole(receipt, path)
    assert rig.calls["startUpload"] == 1


def test_second_uploader_of_a_file_is_refused_or_waits(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process uploads the file, a second one gets an error, or waits for the same receipt on request."""
    path = rig.file(PARTS * KIB)
    going, go_on = threading.Event(), threading.Event()

    def listener(event: object) -> None:
        if isinstance(event, UploadStarted):
            going.set()
            go_on.wait()

    first: list[object] = []
    thread = threading.Thread(
        target=lambda: first.append(rig.upload(path, part_size=KIB, uploader={"listeners": [listener]}))
    )
    thread.start()
    going.wait()
    with pytest.raises(UploadBusy):
        rig.upload(path, part_size=KIB)
    monkeypatch.setattr(file_upload, "pause", lambda *_: go_on.set())
    waited = rig.upload(path, part_size=KIB, wait=True)
    thread.join()
    assert first == [waited]
    assert rig.calls["putPart"] == PARTS


def test_lock_files_do_not_pile_up(rig: Rig) -> None:
    """No lock file is left after an upload."""
    rig.upload(rig.file(10))
    assert list((rig.state / "locks").iterdir()) == []


def test_no_secret_is_written(rig: Rig, half: Path) -> None:
    """Neither the token nor a signed URL is in any file."""
    rig.upload(half, part_size=KIB)
    for file in rig.state.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert rig.mock.token.encode() not in content
            assert b"ignature" not in content


def test_journal_of_a_later_version_stops_nothing(rig: Rig) -> None:
    """A journal of a later version is renamed, and the file is uploaded."""
    rig.state.mkdir()
    with sqlite3.connect(rig.state / "journal.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = (rig.state / "journal.sqlite").read_bytes()
    path = rig.file(KIB)
    rig.assert_whole(rig.upload(path), path)
    assert "later version" in notices(rig)
    assert [aside.read_bytes() for aside in rig.state.glob("journal.sqlite.damaged-*")] == [before]


def test_upload_continues_without_a_journal(rig: Rig) -> None:
    """If the journal can no longer be written, the upload continues, with one message."""
    path = rig.file(PARTS * KIB)

    def spoil(event: object) -> None:
        if isinstance(event, UploadStarted):
            with sqlite3.connect(rig.state / "journal.sqlite") as database:
                database.execute("DROP TABLE parts")
            database.close()

    rig.assert_whole(rig.upload(path, part_size=KIB, uploader={"listeners": [rig.events.append, spoil]}), path)
    assert notices(rig).count("cannot be used") == 1


def test_stopped_upload_is_resumed(rig: Rig) -> None:
    """After cancel() the stored parts are reported, the error says how to resume, and the next run does."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("putPart", "delay", seconds=0.5, after=4, times=None))
    with rig.uploader(jobs=1) as uploader:

        def listener(event: object) -> None:
            if len(rig.told(PartSent)) == 4:
                uploader.cancel()

        uploader.listen(listener)
        with pytest.raises(Interrupted, match="of 10 parts sent") as caught:
            uploader.upload(path, PROJECT, part_size=KIB)
    assert caught.value.hint == "Run the same command again to resume."
    assert open_parts(rig) == sorted(event.number for event in rig.told(PartSent))
    rig.mock.faults.clear()
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == PARTS * KIB


def test_unreadable_file_is_reported(rig: Rig, half: Path) -> None:
    """If the file to resume is gone, the error is one sentence, and the upload stays open."""
    half.unlink()
    with pytest.raises(SourceError, match="does not exist"):
        rig.upload(half)
    assert len(rig.mock.uploads()) == 1


def test_identity_survives_another_device_number(rig: Rig, half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file on the same path is resumed if only its device number changed."""
    from cavatica_upload.sources import local as sources

    real = sources.identity_from
    monkeypatch.setattr(sources, "identity_from", lambda *given: attrs.evolve(real(*given), device=12345))
    rig.assert_whole(rig.upload(half, part_size=KIB), half)
    assert rig.told(UploadStarted)[0].resumed_parts == 5
