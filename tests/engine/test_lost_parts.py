"""Parts that storage acknowledged and lost are sent again in the same run, or the upload is started again."""

import pytest
from engine_rig import KIB, Rig

from cavatica_mock import Fault
from cavatica_upload import CavaticaError
from cavatica_upload.events import Notice, UploadStarted

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
    assert rig.calls["startUpload"] <= 2
    assert len(rig.told(UploadStarted)) == rig.calls["startUpload"]
    rig.mock.faults.clear()
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


def test_progress_adds_up_to_the_file(rig: Rig) -> None:
    """However often parts are sent, the reported bytes add up to the file."""
    rig.mock.faults.add(Fault("putPart", "lost_part", part=2), Fault("putPart", "lost_part", part=4))
    rig.upload(rig.file(PARTS * KIB), part_size=KIB)
    assert rig.bytes_told() == PARTS * KIB
