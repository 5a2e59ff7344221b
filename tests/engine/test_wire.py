"""How the bytes of a part reach a plain connection: sent by the kernel where nobody hashes them, and never for ever."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from engine_rig import KIB, Rig

from cavatica_mock import Fault
from cavatica_upload import SourceError, StorageError
from cavatica_upload.plan import Part
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.storage import client, spans, wire
from cavatica_upload.storage.client import Storage, Target
from cavatica_upload.storage.spans import Span, Spans

PARTS = 6
PART = 700 * KIB + 1
UNVERIFIED = {"verify": False}

sendfile = pytest.mark.skipif(not spans.POSSIBLE, reason="parts go by sendfile on Linux only")


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a storage that takes connections and never reads from them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offsets from which files were read."""
    offsets: list[int] = []
    real = os.pread

    def reading(fd: int, count: int, offset: int) -> bytes:
        offsets.append(offset)
        return real(fd, count, offset)

    monkeypatch.setattr(os, "pread", reading)
    return offsets


@sendfile
def test_unverified_bytes_stay_in_the_kernel(rig: Rig, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no MD5 is taken and nothing encrypted, a file arrives whole and none of it is read."""
    monkeypatch.setattr(spans, "BLOCK", 100_000)  # several a part
    path = rig.file(PARTS * PART)
    receipt = rig.upload(path, part_size=PART, uploader=UNVERIFIED)
    assert reads == []
    assert rig.stored(receipt) == path.read_bytes()


@sendfile
@pytest.mark.parametrize("after", [0, 2])
def test_file_that_the_kernel_cannot_send_is_read(
    rig: Rig, reads: list[int], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel cannot send a file, or no further, the rest is read and sent, and it arrives whole."""
    real, calls = os.sendfile, []

    def failing(out: int, file: int, offset: int, count: int) -> int:
        calls.append(offset)
        if len(calls) > after:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(out, file, offset, count // 2)

    monkeypatch.setattr(os, "sendfile", failing)
    path = rig.file(PARTS * PART)
    receipt = rig.upload(path, part_size=PART, uploader=UNVERIFIED)
    assert len(calls) > after
    assert reads
    assert rig.stored(receipt) == path.read_bytes()


@sendfile
def test_disk_that_fails_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails while the kernel sends is an error of the file and not of the network."""

    def failing(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "sendfile", failing)
    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(SourceError, match="Input/output error"):
        rig.upload(rig.file(PART), uploader=UNVERIFIED)
    assert rig.mock.files() == []


@sendfile
def test_file_cut_short_is_told(rig: Rig, deaf: int) -> None:
    """A file that ends before its part does is an error of one sentence, whoever sends it."""
    path = rig.file(PARTS * KIB)
    part = Part(1, 0, PARTS * KIB)
    target = Target("PUT", f"http://127.0.0.1:{deaf}/part")
    with closing(LocalFile(path)) as source, closing(Storage(hashing=False)) as store:
        os.truncate(path, KIB)
        with pytest.raises(SourceError, match="cut short"):
            store.put(target, part, source)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("fault", [{"then": "reset", "after_bytes": 300 * KIB}, {"then": "close"}])
def test_connection_that_breaks_costs_one_more_try(rig: Rig, fault: dict[str, object], verify: bool) -> None:
    """A connection that breaks amid a part costs one more try of that part, and the file arrives whole."""
    rig.mock.faults.add(Fault("putPart", part=2, **fault))  # type: ignore[arg-type]
    path = rig.file(PARTS * PART)
    receipt = rig.upload(path, part_size=PART, uploader={"verify": verify})
    assert rig.stored(receipt) == path.read_bytes()
    assert rig.calls["putPart"] == PARTS + 1


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("silence", "left", "said"),
    [
        (0.2, float("inf"), "took nothing more"),
        (60.0, 0.2, "took too long"),
        (2.0, 3.8, "took nothing more"),  # not after twice the time, though something was taken at first
    ],
)
def test_storage_that_reads_nothing_is_given_up(
    rig: Rig, deaf: int, verify: bool, silence: float, left: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that takes no more bytes is given up after its silence, or when the part's time is over."""
    monkeypatch.setattr(client, "SILENCE_SECONDS", silence)
    monkeypatch.setattr(wire, "LOOK_SECONDS", 0.05)
    path = rig.file(1)
    os.truncate(path, 64 << 20)  # more than the kernel keeps for a connection
    part, target = Part(1, 0, 64 << 20), Target("PUT", f"http://127.0.0.1:{deaf}/part")
    with (
        closing(LocalFile(path)) as source,
        closing(Storage(hashing=verify)) as store,
        pytest.raises(StorageError, match=said),
    ):
        store.put(target, part, source, deadline=time.monotonic() + left)


def test_stand_in_never_goes_out_itself(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that was changed on its way, or not written at all, is a fault that raises."""
    monkeypatch.setattr(spans, "BLOCK", KIB)
    waiting = Spans()
    with closing(LocalFile(rig.file(3 * KIB))) as source:
        blocks = waiting.blocks(source, 0, 3 * KIB)
        assert waiting.take(next(blocks)) == Span(source, 0, KIB)
        next(blocks)
        with pytest.raises(RuntimeError, match="changed"):
            waiting.take(bytes(KIB + 1))
        next(blocks)
        with pytest.raises(RuntimeError, match="not written"):
            next(blocks)
