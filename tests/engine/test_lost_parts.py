"""Parts that storage acknowledged and lost are sent again in the same run, or the upload is started again."""

from pathlib import Path
from typing import Any

import pytest
from engine_rig import KIB, PROJECT, Rig

from cavatica_mock import Fault
from cavatica_upload import CavaticaError
from cavatica_upload.errors import PartRefused
from cavatica_upload.events import Notice, UploadFailed, UploadStarted
from tests.cli.drifting_proxy import Drift, DriftingProxy, in_json

PARTS = 5


@pytest.mark.parametrize("parts", [[1], [3], [5], [2, 4], [1, 2, 3, 4, 5]])
def test_lost_parts_are_sent_again_in_the_same_run(rig: Rig, parts: list[int]) -> None:
    """Lost parts are sent again in the same run, and the file is whole."""
    for part in parts:
        rig.mock.faults.add(Fault("putPart", "lost_part", part=part))
    path = rig.file(PARTS * KIB)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert len(rig.mock.files()) == 1
    assert rig.mock.uploads() == []
    assert rig.told(Notice)


def test_part_that_storage_always_loses_is_an_error(rig: Rig) -> None:
    """The upload is started again once, with a notice; then the file fails, and no upload stays open."""
    rig.mock.faults.add(Fault("putPart", "lost_part", part=3, times=None))
    path = rig.file(PARTS * KIB)
    with pytest.raises(CavaticaError) as caught:
        rig.upload(path, part_size=KIB)
    assert caught.value.hint
    assert rig.mock.files() == []
    assert [event.resumable for event in rig.told(UploadFailed)] == [False]
    assert rig.calls["startUpload"] <= 2
    assert len(rig.told(UploadStarted)) == rig.calls["startUpload"]
    rig.mock.faults.clear()
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


def test_progress_adds_up_to_the_file(rig: Rig) -> None:
    """However often parts are sent, the reported bytes add up to the file."""
    rig.mock.faults.add(Fault("putPart", "lost_part", part=2), Fault("putPart", "lost_part", part=4))
    rig.upload(rig.file(PARTS * KIB), part_size=KIB)
    assert rig.bytes_told() == PARTS * KIB


@pytest.fixture
def dropped(rig: Rig, proxy: DriftingProxy) -> Path:
    """A file whose unfinished upload the API still has, and storage no longer."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("putPart", "status", status=400, part=3, times=None))
    with pytest.raises(PartRefused):
        rig.upload(path, part_size=KIB)
    rig.mock.faults.clear()
    rig.events.clear()
    (unfinished,) = rig.mock.uploads()
    with rig.uploader() as uploader:
        aborted = uploader.api.start_upload(PROJECT, "aborted").upload_id
        url = uploader.api.get_part_url(aborted, 1).url
        uploader.api.abort_upload(aborted)

    def part_url(answer: dict[str, Any]) -> dict[str, Any]:
        is_open = any(upload["upload_id"] == unfinished["upload_id"] for upload in rig.mock.uploads())
        return {**answer, "url": url} if is_open else answer

    proxy.drift = Drift("GET", "/upload/multipart/{id}/part/{number}", in_json(part_url))
    return path


def test_upload_that_storage_dropped_is_started_again(rig: Rig, dropped: Path) -> None:
    """If storage no longer has an upload that the API still has, a new one is started, with a message."""
    rig.assert_whole(rig.upload(dropped, part_size=KIB), dropped)
    assert any("Storage no longer has the unfinished upload" in notice.text for notice in rig.told(Notice))
    assert rig.bytes_told() == PARTS * KIB
    assert rig.mock.uploads() == []
    assert len(rig.mock.files()) == 1


def test_named_upload_that_storage_dropped_is_an_error(rig: Rig, dropped: Path) -> None:
    """If the user named the upload that storage no longer has, the error says to abort it, and it stays open."""
    (unfinished,) = rig.mock.uploads()
    with pytest.raises(PartRefused, match="NoSuchUpload") as caught:
        rig.upload(dropped, resume_id=unfinished["upload_id"])
    assert "uploads abort" in str(caught.value.hint)
    assert rig.mock.uploads() == [unfinished]
