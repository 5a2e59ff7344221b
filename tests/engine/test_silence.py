"""Storage that stops reading, reads slowly or disconnects is noticed, with MD5s and without."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from engine_rig import KIB, Rig

from cavatica_mock import Fault
from cavatica_upload import FileChanged, StorageError
from cavatica_upload.plan import Part, PartUrl
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.storage import Storage
from cavatica_upload.timing import Timing

PARTS = 6
PART = 700 * KIB + 1


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a storage that accepts connections and never reads from them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("verify", [True, False])
def test_file_cut_short_is_reported(rig: Rig, deaf: int, verify: bool) -> None:
    """A file that ends before its part does is an error of one sentence."""
    path = rig.file(PARTS * KIB)
    target = PartUrl(url=f"http://127.0.0.1:{deaf}/part")
    with closing(LocalFile(path)) as source, closing(Storage(hashing=verify)) as store:
        os.truncate(path, KIB)
        with pytest.raises(FileChanged, match="cut short"):
            store.put(target, Part(1, 0, PARTS * KIB), source)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("fault", [{"then": "reset", "after_bytes": 300 * KIB}, {"then": "close"}])
def test_connection_that_breaks_costs_one_more_try(rig: Rig, fault: dict[str, object], verify: bool) -> None:
    """A connection that breaks during a part costs one more attempt for that part, and the file arrives whole."""
    rig.mock.faults.add(Fault("putPart", part=2, **fault))  # type: ignore[arg-type]
    path = rig.file(PARTS * PART)
    receipt = rig.upload(path, part_size=PART, uploader={"verify": verify})
    assert rig.stored(receipt) == path.read_bytes()
    assert rig.calls["putPart"] == PARTS + 1


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("silence", "left", "said"),
    [
        (0.2, float("inf"), "accepted no more bytes"),
        (60.0, 0.2, "took too long"),
        (0.5, 60.0, "accepted no more bytes"),
    ],
)
def test_storage_that_reads_nothing_is_given_up(
    rig: Rig, deaf: int, verify: bool, silence: float, left: float, said: str
) -> None:
    """A connection that accepts no more bytes fails after its timeout, or at the deadline of the part."""
    path = rig.file(1)
    os.truncate(path, 64 << 20)  # more than the kernel keeps for a connection
    part, target = Part(1, 0, 64 << 20), PartUrl(url=f"http://127.0.0.1:{deaf}/part")
    with (
        closing(LocalFile(path)) as source,
        closing(Storage(hashing=verify, timing=Timing(silence=silence))) as store,
        pytest.raises(StorageError, match=said),
    ):
        store.put(target, part, source, deadline=time.monotonic() + left)
