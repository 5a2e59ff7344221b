"""A success is reported only for the file on disk, uploaded by this upload."""

import io
import os
import threading
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import pytest
from engine_rig import KIB, PROJECT, Rig

from cavatica_mock import Fault
from cavatica_upload import (
    CavaticaError,
    FileChanged,
    IntegrityError,
    NameTaken,
    SourceError,
    Uploader,
    UploadGone,
    UsageError,
)
from cavatica_upload.events import Notice, PartSent, UploadSkipped, UploadStarted
from cavatica_upload.receipt import read
from cavatica_upload.request import IfExists

PARTS = 6


def at_part(rig: Rig, number: int, action: Callable[[], object]) -> dict[str, object]:
    """Options of an uploader that does something after a number of parts."""
    done = threading.Event()

    def listener(_event: object) -> None:
        if len(rig.told(PartSent)) >= number and not done.is_set():
            done.set()
            action()

    return {"listeners": [rig.events.append, listener], "jobs": 1}


def begin(rig: Rig, path: Path, **options: object) -> None:
    """Upload half of a file."""
    rig.mock.faults.add(Fault("putPart", "status", status=500, after=PARTS // 2, times=None))
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB, uploader={"jobs": 1}, **options)
    rig.mock.faults.clear()
    rig.events.clear()


def rewrite(path: Path, content: bytes) -> None:
    """Write to a file in place, and restore its times; that it changed is seen at the time of its last change."""
    before = now = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    while now.st_ctime_ns == before.st_ctime_ns or now.st_mtime_ns != before.st_mtime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        now = path.stat()


def proofs(receipt: object) -> set[str]:
    return {part.proof for part in receipt.parts}  # type: ignore[attr-defined]


# The file


def test_file_rewritten_between_two_runs_is_no_chimera(rig: Rig) -> None:
    """If a file was rewritten with the old size and time, the parts of the earlier run are not used."""
    path = rig.file(PARTS * KIB)
    begin(rig, path)
    rewrite(path, rig.file(PARTS * KIB, "other", seed=2).read_bytes())
    with pytest.raises(FileChanged, match="no longer its bytes"):
        rig.upload(path, part_size=KIB)
    assert rig.mock.files() == []
    rig.assert_whole(rig.upload(path, part_size=KIB, changed="restart"), path)


@pytest.mark.parametrize("number", [1, 3, PARTS])
def test_file_rewritten_while_it_goes_up_is_no_chimera(rig: Rig, number: int) -> None:
    """If a file is rewritten during the run, even after the last part, nothing is completed."""
    path = rig.file(PARTS * KIB)
    other = rig.file(PARTS * KIB, "other", seed=2).read_bytes()
    options = at_part(rig, number, lambda: rewrite(path, other))
    with pytest.raises(FileChanged, match="changed while it was being uploaded") as caught:
        rig.upload(path, part_size=KIB, uploader=options)
    assert "--yes" in str(caught.value.hint)
    assert rig.calls["completeUpload"] == 0
    rig.assert_whole(rig.upload(path, part_size=KIB, changed="restart"), path)


@pytest.mark.parametrize("size", [PARTS * KIB + 1, PARTS * KIB - 1, 0])
def test_growing_and_truncating_are_one_kind(rig: Rig, size: int) -> None:
    """A file that grew or shrank since the start is a changed file."""
    path = rig.file(PARTS * KIB)
    with pytest.raises(FileChanged, match="Nothing was completed"):
        rig.upload(path, part_size=KIB, uploader=at_part(rig, 2, lambda: os.truncate(path, size)))
    assert rig.mock.files() == []


def test_touched_file_is_read_again(rig: Rig) -> None:
    """If only times or permissions changed, the file is read again, and the receipt says so."""
    path = rig.file(PARTS * KIB)
    receipt = rig.upload(path, part_size=KIB, uploader=at_part(rig, 2, lambda: path.chmod(0o600)))
    rig.assert_whole(receipt, path)
    assert proofs(receipt) == {"read again"}
    assert receipt.path is not None
    assert read(receipt.path) == receipt
    assert "read again and compared" in " ".join(event.text for event in rig.told(Notice))


def test_unchanged_resumed_file_is_not_read_again(rig: Rig) -> None:
    """If the identity did not change, the parts of an earlier run are not read again."""
    path = rig.file(PARTS * KIB)
    begin(rig, path)
    receipt = rig.upload(path, part_size=KIB)
    rig.assert_whole(receipt, path)
    assert proofs(receipt) == {"unchanged since", "as sent"}
    assert rig.told(Notice) == []


@pytest.mark.parametrize("how", ["copied back", "rounded time", "moved"])
def test_same_bytes_under_another_identity_are_kept(rig: Rig, how: str) -> None:
    """If inode or times changed, as on network file systems, the parts are proved by their MD5s."""
    path = rig.file(PARTS * KIB)
    begin(rig, path)
    if how == "copied back":
        copy = path.with_name("copy")
        copy.write_bytes(path.read_bytes())
        copy.replace(path)
    elif how == "moved":
        path = path.rename(path.with_name("moved"))
    else:
        os.utime(path, (path.stat().st_atime, int(path.stat().st_mtime)))
    before = rig.mock.bytes_received
    receipt = rig.upload(path, part_size=KIB, name="sample.bam")
    rig.assert_whole(receipt, path)
    assert rig.mock.bytes_received == before + PARTS // 2 * KIB
    assert proofs(receipt) == {"read again", "as sent"}


def test_file_of_size_zero_is_read(rig: Rig) -> None:
    """A size of 0 is checked by reading a byte."""
    content = Path("/proc/version").read_bytes()
    assert Path("/proc/version").stat().st_size == 0
    receipt = rig.upload("/proc/version", part_size=KIB)
    assert (receipt.name, rig.stored(receipt)) == ("version", content)


# Files of other users


def stranger(rig: Rig, content: bytes) -> None:
    """Abort the open upload, and upload another file under its name."""
    other = rig.folder / "elsewhere" / "sample.bam"
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(content)
    with Uploader(token=rig.mock.token, endpoint=rig.mock.base_url, state_dir=rig.folder / "other") as uploader:
        for upload in rig.mock.uploads():
            uploader.api.abort_upload(upload["upload_id"])
        uploader.upload(other, PROJECT, part_size=KIB)


@pytest.mark.parametrize("fault", [None, "close", "reset", "html"])
def test_file_of_another_user_is_not_claimed(rig: Rig, fault: str | None) -> None:
    """If our upload is gone and a new file has its name and size, the error names that file."""
    path = rig.file(PARTS * KIB)
    if fault is not None:
        rig.mock.faults.add(Fault("completeUpload", fault, after=1))
    theirs = rig.file(PARTS * KIB, "theirs", seed=2).read_bytes()
    with pytest.raises(UploadGone, match="is not its result") as caught:
        rig.upload(path, part_size=KIB, uploader=at_part(rig, PARTS, lambda: stranger(rig, theirs)))
    (file,) = rig.mock.files()
    assert file["id"] in caught.value.message
    assert rig.mock.file_bytes(file["id"]) == theirs


def test_file_that_cannot_be_compared_is_reported(rig: Rig) -> None:
    """If its bytes cannot be read back either, the error says that the file may be ours."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("completeUpload", "lost_answer"))
    rig.mock.faults.add(Fault("getDownloadInfo", "status", status=403, times=None))
    with pytest.raises(UploadGone, match="may be its result, which cannot be proved"):
        rig.upload(path, part_size=KIB)


@pytest.mark.parametrize("size", [0, KIB, PARTS * KIB])
def test_own_file_after_a_lost_answer_is_found(rig: Rig, size: int) -> None:
    """Our file of any size is found after a lost answer, and nothing is sent twice."""
    path = rig.file(size)
    rig.mock.faults.add(Fault("completeUpload", "lost_answer"))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["startUpload"] == 1


def test_old_file_is_not_mistaken_for_the_new_one(rig: Rig) -> None:
    """If an upload overwrites a file of the same name and size, the old file is not taken for the new one."""
    first = rig.upload(rig.file(PARTS * KIB), part_size=KIB)
    path = rig.file(PARTS * KIB, seed=2)
    rig.mock.faults.add(Fault("completeUpload", "close"))

    def abort() -> None:
        with rig.uploader() as uploader:
            uploader.api.abort_upload(rig.mock.uploads()[0]["upload_id"])

    rig.events.clear()
    with pytest.raises(UploadGone, match=first.file_id):
        rig.upload(path, part_size=KIB, if_exists="overwrite", uploader=at_part(rig, PARTS, abort))
    rig.assert_whole(rig.upload(path, part_size=KIB, if_exists="overwrite"), path)


# Repeated runs


@pytest.mark.parametrize("if_exists", ["fail", "skip"])
def test_receipt_from_the_future_is_not_trusted(rig: Rig, if_exists: str) -> None:
    """If the receipt is from a clock that was ahead, a file rewritten since is sent again."""
    path = rig.file(PARTS * KIB)
    first = rig.upload(path, part_size=KIB)
    assert first.path is not None
    text = first.path.read_text()
    for year in (first.started[:4], first.finished[:4]):
        text = text.replace(f'"{year}-', '"2099-')
    first.path.write_text(text)
    path.write_bytes(rig.file(PARTS * KIB, "other", seed=2).read_bytes())
    with rig.uploader() as uploader:
        if if_exists == "fail":
            with pytest.raises(NameTaken):
                uploader.upload(path, PROJECT, part_size=KIB)
        else:
            assert uploader.upload(path, PROJECT, part_size=KIB, if_exists="skip") is None
            assert [event.different for event in rig.told(UploadSkipped)] == [True]


def test_skipped_file_of_the_same_size_is_different_only_if_that_is_known(rig: Rig) -> None:
    """A skipped file of the same size is called different only if a receipt shows it."""
    content = rig.file(PARTS * KIB, "theirs", seed=2).read_bytes()
    stranger(rig, content)
    path = rig.file(PARTS * KIB)
    with rig.uploader() as uploader:
        assert uploader.upload(path, PROJECT, if_exists="skip") is None
        assert uploader.upload(rig.file(5), PROJECT, if_exists="skip") is None
    assert [event.different for event in rig.told(UploadSkipped)] == [False, True]


# Streams


def test_empty_stream_is_an_error_unless_allowed(rig: Rig) -> None:
    """An empty stream is an error unless it is allowed, and no upload stays open."""
    with pytest.raises(SourceError, match="empty"):
        rig.upload(io.BytesIO(b""), name="n")
    assert (rig.mock.files(), rig.mock.uploads()) == ([], [])
    assert rig.stored(rig.upload(io.BytesIO(b""), name="n", allow_empty=True)) == b""


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("expected", "good"),
    [
        ({"expect_size": 3000}, True),
        ({"expect_size": 3001}, False),
        ({"expect_size": 0}, False),
        ({"expect_md5": "79B281060D337B9B2B84CCF390ADCF74"}, None),
        ({"expect_md5": "0" * 32}, False),
    ],
)
def test_what_is_expected_must_match(rig: Rig, stream: bool, expected: dict[str, object], good: bool | None) -> None:
    """If size or MD5 of a file or stream differ from the expected ones, nothing is completed."""
    path = rig.file(3000)
    if good is None:
        expected = {"expect_md5": md5(path.read_bytes()).hexdigest().upper()}
    source = io.BytesIO(path.read_bytes()) if stream else path
    if good is False:
        with pytest.raises(IntegrityError, match="expected"):
            rig.upload(source, name="n", part_size=KIB, **expected)
        assert rig.mock.files() == []
        assert stream is False or rig.mock.uploads() == []
    else:
        assert rig.stored(rig.upload(source, name="n", part_size=KIB, **expected)) == path.read_bytes()


@pytest.mark.parametrize("if_exists", ["fail", "skip", "rename"])
def test_expected_md5_is_checked_if_an_earlier_run_uploaded_the_file(rig: Rig, if_exists: IfExists) -> None:
    """A file that is already uploaded must have the expected MD5, too."""
    path = rig.file(3000)
    first = rig.upload(path, part_size=KIB)
    with pytest.raises(IntegrityError, match="expected"):
        rig.upload(path, if_exists=if_exists, expect_md5="0" * 32)
    assert rig.upload(path, if_exists=if_exists, expect_md5=md5(path.read_bytes()).hexdigest().upper()) == first
    assert len(rig.mock.files()) == 1
    assert rig.mock.uploads() == []


@pytest.mark.parametrize(
    "options",
    [{"expect_md5": "x"}, {"expect_size": -1}, {"expect_md5": "0" * 32, "digest": "sha256"}],
)
def test_impossible_expectations_are_refused(rig: Rig, options: dict[str, object]) -> None:
    """An impossible expected size or MD5 is refused before anything is sent."""
    with pytest.raises(UsageError):
        rig.upload(rig.file(1), **options)
    assert rig.api_calls == 0


def test_receipt_has_the_identity(rig: Rig) -> None:
    """The receipt has the identity of the file, with the time of its last change."""
    path = rig.file(10)
    receipt = rig.upload(path)
    found = path.stat()
    assert receipt.identity is not None
    assert (receipt.identity.inode, receipt.identity.ctime_ns) == (found.st_ino, found.st_ctime_ns)
    assert rig.told(UploadStarted)


def test_every_field_of_a_request_is_an_option() -> None:
    """`upload()` has every field of UploadRequest as an argument of the same name."""
    import attrs

    from cavatica_upload import UploadRequest
    from cavatica_upload.request import UploadOptions

    fields = {field.name for field in attrs.fields(UploadRequest)}
    assert fields - {"source", "target", "context", "regular", "if_exists"} <= set(UploadOptions.__annotations__)
