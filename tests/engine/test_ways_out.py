"""Recovery: what the server lost is sent again, what cannot be used is started again, and state never blocks."""

import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from engine_rig import KIB, PROJECT, Rig
from test_true_success import PARTS, at_part, begin

from cavatica_mock import Fault, MockServer
from cavatica_upload import (
    CavaticaError,
    FileChanged,
    NameTaken,
    Uploader,
    UploadRequest,
    connect,
)
from cavatica_upload.errors import CompleteRefused
from cavatica_upload.events import Notice, UploadSkipped
from tests.cli.drifting_proxy import Drift, DriftingProxy, in_json

SHOW = ("GET", "/upload/multipart/{id}")


def notices(rig: Rig) -> str:
    return " ".join(event.text for event in rig.told(Notice))


def journal(rig: Rig, statement: str, *values: object) -> None:
    """Change the journal directly."""
    with sqlite3.connect(rig.state / "journal.sqlite") as database:
        database.execute(statement, values)
    database.close()


def overwrite_part(rig: Rig, number: int) -> None:
    """Replace the bytes of a part in storage, as a client with its URL can."""
    (upload,) = rig.mock.uploads()
    with connect(token=rig.mock.token, endpoint=rig.mock.base_url) as api:
        url = api.get_part_url(upload["upload_id"], number).url
    assert httpx.put(url, content=bytes(KIB)).is_success


def without_part(number: int, upload: dict[str, Any]) -> dict[str, Any]:
    """The server's answer about an upload, without one part."""
    return {**upload, "parts": [part for part in upload.get("parts", []) if part["part_number"] != number]}


# Parts


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("lost", [{2}, {1, 2, 3}, {PARTS}, set(range(1, PARTS + 1))])
@pytest.mark.parametrize("resumed", [False, True])
def test_acknowledged_part_that_is_lost(
    rig: Rig, proxy: DriftingProxy, lost: set[int], listed: bool, resumed: bool
) -> None:
    """A part that storage acknowledged and lost is sent again in the same run."""
    path = rig.file(PARTS * KIB)
    for number in lost:
        rig.mock.faults.add(Fault("putPart", "lost_part", part=number))
    if resumed:
        begin(rig, path)
    if not listed:
        (number,) = lost if len(lost) == 1 else (2,)
        proxy.drift = Drift(*SHOW, in_json(partial(without_part, number)))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.uploads() == []


@pytest.mark.parametrize("resumed", [False, True])
def test_part_that_became_other_bytes_is_sent_again(rig: Rig, resumed: bool) -> None:
    """A part whose bytes changed in storage at any time is sent again."""
    path = rig.file(PARTS * KIB)
    if resumed:
        begin(rig, path)
        overwrite_part(rig, 2)
        receipt = rig.upload(path, part_size=KIB)
    else:
        receipt = rig.upload(path, part_size=KIB, uploader=at_part(rig, PARTS, lambda: overwrite_part(rig, 2)))
    rig.assert_whole(receipt, path)
    assert rig.mock.uploads() == []


def test_reports_that_did_nothing_are_made_again(rig: Rig) -> None:
    """Reports that were answered with a success but not stored are made again at the end, and nothing is sent twice."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("reportUploadedParts", "html", times=None))
    begin(rig, path)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == PARTS * KIB


def test_only_what_is_missing_is_sent_again(rig: Rig, proxy: DriftingProxy) -> None:
    """Parts that the server has and knows are not sent again."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("putPart", "lost_part", part=1))
    begin(rig, path)
    proxy.drift = Drift(*SHOW, in_json(partial(without_part, 1)))
    before = rig.mock.bytes_received
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received - before <= (PARTS - PARTS // 2 + 1) * KIB
    assert rig.calls["startUpload"] == 1


def test_server_that_never_completes_is_reported(rig: Rig) -> None:
    """If a second upload cannot be completed either, the error says so, and no upload stays open."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("completeUpload", "status", status=409, code=8007, times=None))
    with pytest.raises(CompleteRefused):
        rig.upload(path, part_size=KIB)
    assert rig.mock.bytes_received == 2 * PARTS * KIB
    assert "a new one starts" in notices(rig)
    rig.mock.faults.clear()
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


@pytest.mark.parametrize("spoilt", ['{"ETag": "00000000000000000000000000000000"}', "{}", '{"ETag": 7}', "nonsense"])
@pytest.mark.parametrize("reported", [False, True])
def test_wrong_etags_in_the_journal(rig: Rig, spoilt: str, reported: bool) -> None:
    """Wrong ETags in the journal cost at most sending these parts again."""
    path = rig.file(PARTS * KIB)
    if not reported:
        rig.mock.faults.add(Fault("reportUploadedParts", "html", times=None))
    begin(rig, path)
    journal(rig, "UPDATE parts SET headers = ?", spoilt)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


def test_part_size_that_changed_on_the_server(rig: Rig, proxy: DriftingProxy) -> None:
    """If the part size changed on the server, a new upload is started, with a message."""
    path = rig.file(PARTS * KIB)
    begin(rig, path)
    proxy.drift = Drift(*SHOW, in_json(lambda upload: {**upload, "part_size": 2048}))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert "other parts now (of 2.00 KiB). It is aborted, and a new one starts." in notices(rig)
    assert rig.mock.uploads() == []


# Names and if_exists


@pytest.mark.parametrize("if_exists", ["fail", "skip", "overwrite", "rename"])
@pytest.mark.parametrize("again", ["fail", "skip", "overwrite", "rename"])
def test_name_taken_since_the_start(rig: Rig, if_exists: str, again: str) -> None:
    """If the name was taken since the start, this run's `if_exists` decides, and no upload stays open."""
    path = rig.file(PARTS * KIB)
    begin(rig, path, if_exists=if_exists)
    other = rig.folder / "elsewhere" / "sample.bam"
    other.parent.mkdir()
    other.write_bytes(b"theirs")
    with Uploader(token=rig.mock.token, endpoint=rig.mock.base_url, state_dir=rig.folder / "other") as uploader:
        theirs = uploader.upload(other, PROJECT)
    assert theirs is not None
    with rig.uploader() as uploader:
        if again == "fail":
            with pytest.raises(NameTaken):
                uploader.upload(path, PROJECT, part_size=KIB)
        else:
            receipt = uploader.upload(path, PROJECT, part_size=KIB, if_exists=again)  # type: ignore[arg-type]
    files = {file["name"]: rig.mock.file_bytes(file["id"]) for file in rig.mock.files()}
    if again == "overwrite":
        assert files == {"sample.bam": path.read_bytes()}
    elif again == "rename":
        assert files == {"sample.bam": b"theirs", "_1_sample.bam": path.read_bytes()}
    else:
        assert files == {"sample.bam": b"theirs"}
    if again == "skip":
        assert receipt is None
        assert rig.told(UploadSkipped)
    assert again == "fail" or rig.mock.uploads() == []


@pytest.mark.parametrize("if_exists", ["fail", "skip", "overwrite", "rename"])
def test_name_taken_during_the_upload(rig: Rig, if_exists: str) -> None:
    """If the name is taken during the upload, `if_exists` decides."""
    path = rig.file(PARTS * KIB)
    other = rig.folder / "elsewhere" / "sample.bam"
    other.parent.mkdir()
    other.write_bytes(b"theirs")

    def take_the_name() -> None:
        with Uploader(token=rig.mock.token, endpoint=rig.mock.base_url, state_dir=rig.folder / "other") as uploader:
            uploader.upload(other, PROJECT)

    with rig.uploader(**at_part(rig, PARTS, take_the_name)) as uploader:
        if if_exists == "fail":
            with pytest.raises(NameTaken):
                uploader.upload(path, PROJECT, part_size=KIB)
        else:
            receipt = uploader.upload(path, PROJECT, part_size=KIB, if_exists=if_exists)  # type: ignore[arg-type]
            assert (receipt is None) == (if_exists == "skip")
    files = {file["name"]: rig.mock.file_bytes(file["id"]) for file in rig.mock.files()}
    expected = {
        "overwrite": {"sample.bam": path.read_bytes()},
        "rename": {"sample.bam": b"theirs", "_1_sample.bam": path.read_bytes()},
    }
    assert files == expected.get(if_exists, {"sample.bam": b"theirs"})
    assert if_exists == "fail" or rig.mock.uploads() == []
    if if_exists == "fail":  # and each other value works
        rig.assert_whole(rig.upload(path, part_size=KIB, if_exists="overwrite"), path)
        assert rig.mock.uploads() == []


def test_overwrite_does_not_apply_to_later_runs(rig: Rig) -> None:
    """A run without `overwrite` replaces no file, even if it resumes an upload that had it."""
    theirs = rig.upload(rig.file(10, seed=3), part_size=KIB)
    path = rig.file(PARTS * KIB)
    begin(rig, path, if_exists="overwrite")
    with pytest.raises(NameTaken):
        rig.upload(path, part_size=KIB)
    assert rig.mock.uploads() == []
    assert "would overwrite the file" in notices(rig)
    assert [file["id"] for file in rig.mock.files()] == [theirs.file_id]


def test_other_if_exists_with_a_free_name_resumes(rig: Rig) -> None:
    """If nobody took the name, a run with another `if_exists` resumes and sends nothing twice."""
    path = rig.file(PARTS * KIB)
    begin(rig, path)
    rig.assert_whole(rig.upload(path, part_size=KIB, if_exists="overwrite"), path)
    assert rig.mock.bytes_received == PARTS * KIB


# Resuming by id


def test_wrong_file_is_refused_before_anything_is_sent(rig: Rig) -> None:
    """A file that has no part of the upload is refused; the right file resumes it afterwards."""
    path = rig.file(PARTS * KIB)
    begin(rig, path)
    (upload,) = rig.mock.uploads()
    wrong = rig.file(PARTS * KIB, "wrong", seed=2)
    for lost in (False, True):
        if lost:
            for file in rig.state.glob("journal*"):
                file.unlink()
        before = rig.mock.bytes_received
        with pytest.raises(FileChanged):
            rig.upload(wrong, name="sample.bam", resume_id=upload["upload_id"])
        assert rig.mock.bytes_received == before
    rig.assert_whole(rig.upload(path, resume_id=upload["upload_id"]), path)
    assert rig.mock.bytes_received == PARTS * KIB


# State


SPOILS = [
    "UPDATE uploads SET identity = 'x'",
    "UPDATE uploads SET started = 'x'",
    "UPDATE uploads SET part_size = 0",
    "UPDATE uploads SET part_size = 9223372036854775807",
    "UPDATE uploads SET upload_id = ''",
    "UPDATE uploads SET upload_id = '../..'",
    "UPDATE uploads SET completing = '0000'",
    "UPDATE parts SET number = 9223372036854775807 WHERE number = 1",
    "UPDATE parts SET size = -1",
    "UPDATE parts SET md5 = 'x'",
    "INSERT INTO starts VALUES ('x', 'y', 'z', '', 1e300, 'fail')",
    "UPDATE starts SET began = 1e300",
    "DROP TABLE parts",
    "DROP TABLE starts",
    "ALTER TABLE uploads DROP COLUMN identity",
]


@pytest.mark.parametrize("spoil", SPOILS)
def test_damaged_journal_never_blocks(rig: Rig, spoil: str) -> None:
    """With any values in the journal, the file arrives whole."""
    path = rig.file(PARTS * KIB)
    begin(rig, path)
    journal(rig, spoil)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


def test_impossible_start_never_blocks(rig: Rig) -> None:
    """A start in the journal with an impossible time is not looked for without end."""
    path = rig.file(PARTS * KIB)
    rig.upload(path, part_size=KIB, name="other")
    endpoint = rig.mock.base_url
    journal(
        rig,
        "INSERT INTO starts VALUES (?, ?, ?, ?, ?, ?)",
        endpoint,
        f"project:{PROJECT}",
        path.name,
        "x",
        1e300,
        "fail",
    )
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


@pytest.mark.parametrize(
    "spoil",
    [
        ('"size": ', '"size": "x", "was": '),
        ('"parts": [', '"parts": [null, '),
        ('"identity": {', '"identity": {"mtime_ns": [], "x": '),
        ('"started": ', '"started": 7, "was": '),
        ('"schema"', '"scheme"'),
        ("{", "["),
        ("{", "[" * 100_000),
        ('"verified": true', '"verified": "yes"'),
    ],
)
def test_damaged_receipts_never_block(rig: Rig, spoil: tuple[str, str]) -> None:
    """A receipt that cannot be read is ignored."""
    path = rig.file(10)
    receipt = rig.upload(path)
    assert receipt.path is not None
    text = receipt.path.read_text()
    assert spoil[0] in text
    receipt.path.write_text(text.replace(*spoil))
    with pytest.raises(NameTaken):
        rig.upload(path)
    path.write_bytes(b"new")
    rig.assert_whole(rig.upload(path, if_exists="overwrite"), path)


# Starts


@pytest.mark.parametrize("hours", [-5, 5])
def test_lost_start_is_found_whatever_the_clock_says(tmp_path: Path, hours: int) -> None:
    """A lost start is found although this machine's clock is wrong."""
    with MockServer(min_part_size=1, clock=lambda: time.time() + hours * 3600) as mock, Rig(mock, tmp_path) as rig:
        mock.faults.add(Fault("startUpload", "lost_answer"))
        path = rig.file(PARTS * KIB)
        rig.assert_whole(rig.upload(path, part_size=KIB), path)
        assert rig.calls["startUpload"] == 1


def test_times_of_the_journal_are_utc(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost completion is found by a run in another time zone."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("completeUpload", "lost_answer"))
    rig.mock.faults.add(Fault("getUpload", "status", status=400, code=90000))
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        rig.assert_whole(rig.upload(path, part_size=KIB), path)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert rig.calls["startUpload"] == 1


@pytest.mark.parametrize(("first", "then"), [("overwrite", "fail"), ("overwrite", "rename"), ("overwrite", "skip")])
def test_lost_start_that_was_to_overwrite_is_not_resumed(rig: Rig, first: str, then: str) -> None:
    """A lost start that was to overwrite is not resumed by a run that does not overwrite."""
    other = rig.upload(rig.file(300, "other", seed=2), name="a.bam")
    path = rig.file(PARTS * KIB, "a.bam")
    rig.mock.faults.add(Fault("startUpload", "lost_answer"))
    rig.mock.faults.add(Fault("listUploads", "status", status=403, code=3001))
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB, if_exists=first)
    with Uploader(token=rig.mock.token, endpoint=rig.mock.base_url, state_dir=rig.state) as uploader:
        list(uploader.upload_many([UploadRequest(source=path, destination=PROJECT, part_size=KIB, if_exists=then)]))
    assert rig.stored(other) == rig.file(300, "other", seed=2).read_bytes()
    assert rig.mock.uploads() == []
