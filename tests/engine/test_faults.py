"""Each fault of the mock on each call of an upload: the file arrives whole, or the error is reported."""

from collections.abc import Iterator
from contextlib import closing
from math import inf
from typing import Any

import attrs
import pytest
from engine_rig import KIB, PROJECT, QUICK, Rig

from cavatica_mock import Fault
from cavatica_upload import CavaticaError, StorageError
from cavatica_upload.errors import EtagMismatch, MissingHeader, PartRefused
from cavatica_upload.events import PartRetried, PartSent, UploadFailed
from cavatica_upload.plan import Part, PartUrl
from cavatica_upload.storage import SentPart, Storage
from cavatica_upload.timing import Timing

PARTS = 4
SLOW = {"then": "slow", "bytes_per_second": 5000}
OPERATIONS = ["startUpload", "getPartUrl", "reportUploadedParts", "completeUpload"]
API_FAULTS = [
    {"then": "status", "status": 500},
    {"then": "status", "status": 502, "html": True},
    {"then": "status", "status": 503, "code": 8000},
    {"then": "status", "status": 429, "headers": {"X-RateLimit-Reset": "1"}},
    {"then": "reset"},
    {"then": "close"},
    {"then": "lost_answer"},
    {"then": "truncate"},
    {"then": "html"},
    {"then": "bad_json"},
    {"then": "stall"},
    {"then": "delay", "seconds": 0.2},
    SLOW,
]
STORAGE_FAULTS = [
    {"then": "status", "status": 403},
    {"then": "status", "status": 500},
    {"then": "status", "status": 503},
    {"then": "status", "status": 400},
    {"then": "reset"},
    {"then": "reset", "after_bytes": 700},
    {"then": "close"},
    {"then": "lost_answer"},
    {"then": "stall", "after_bytes": 100},
    {"then": "corrupt"},
    {"then": "no_etag"},
    {"then": "expired"},
    {"then": "expired_token"},
]


def named(fault: dict[str, object]) -> str:
    return "-".join(str(value) for value in fault.values() if not isinstance(value, dict))


@pytest.fixture
def impatient(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A put that meets a fault is given up after a second, and no other one, however slow the machine is."""
    put = Storage.put

    def meets_a_fault(part: Part) -> bool:
        faults = rig.mock.faults.to_json()
        return any(fault.get("part") == part.number and fault["fired"] < fault.get("times", inf) for fault in faults)

    with closing(Storage(timing=Timing(silence=1.0))) as hasty, closing(Storage()) as patient:

        def put_with_patience(_: Storage, target: PartUrl, part: Part, *given: Any, **options: Any) -> SentPart:
            return put(hasty if meets_a_fault(part) else patient, target, part, *given, **options)

        monkeypatch.setattr(Storage, "put", put_with_patience)
        yield


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", API_FAULTS, ids=named)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_failure_of_an_api_call_is_retried(rig: Rig, operation: str, fault: dict[str, object]) -> None:
    """After one failure of an API call the file is whole, there is one file, and no part was sent twice."""
    if fault["then"] == "stall":  # on a slow machine other calls may be given up, too, but no put
        rig.options |= {"timing": attrs.evolve(QUICK, silence=1.0, slow_silence=1.0), "retry_for": 600}
    rig.mock.faults.add(Fault(operation, **fault))  # type: ignore[arg-type]
    parts = 40 if operation == "reportUploadedParts" else PARTS
    path = rig.file(parts * KIB)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert len(rig.mock.files()) == 1
    assert rig.mock.uploads() == []
    assert rig.mock.bytes_received == parts * KIB


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [*STORAGE_FAULTS, SLOW], ids=named)
def test_failure_of_storage_is_retried(rig: Rig, fault: dict[str, object]) -> None:
    """After one failure of a put only that part is sent again, and the progress adds up to the file."""
    rig.mock.faults.add(Fault("putPart", part=2, **fault))  # type: ignore[arg-type]
    path = rig.file(PARTS * KIB)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received <= (PARTS + 1) * KIB
    assert rig.bytes_told() == PARTS * KIB
    assert {event.number for event in rig.told(PartRetried)} <= {2}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", STORAGE_FAULTS, ids=named)
def test_lasting_failure_of_storage_is_reported(rig: Rig, fault: dict[str, object]) -> None:
    """If a part always fails, the error is one sentence after a bounded number of attempts, and there is no file."""
    rig.mock.faults.add(Fault("putPart", part=2, times=None, **fault))  # type: ignore[arg-type]
    path = rig.file(PARTS * KIB)
    with pytest.raises(CavaticaError) as caught:
        rig.upload(path, part_size=KIB)
    assert isinstance(caught.value, StorageError | EtagMismatch)
    assert "part 2" in caught.value.message.lower()
    assert rig.mock.files() == []
    assert rig.calls["putPart"] <= PARTS - 1 + 10
    (failed,) = rig.told(UploadFailed)
    assert failed.error is caught.value
    arrived = {event.number for event in rig.told(PartSent)}
    assert 2 not in arrived
    assert rig.bytes_told() == len(arrived) * KIB
    # The parts that arrived were reported, and are not sent again.
    rig.mock.faults.clear()
    before = rig.mock.bytes_received
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == before + (PARTS - len(arrived)) * KIB


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("then", ["status", "close", "html", "lost_answer"])
def test_lasting_failure_of_the_api_is_reported(rig: Rig, operation: str, then: str) -> None:
    """If an API call always fails, the error is reported and no file is claimed; failed reports do no harm."""
    rig.mock.faults.add(Fault(operation, then, times=None, status=500))
    parts = 40 if operation == "reportUploadedParts" else PARTS
    path = rig.file(parts * KIB)
    if operation == "reportUploadedParts":
        rig.assert_whole(rig.upload(path, part_size=KIB), path)
        return
    if (operation, then) in (("startUpload", "lost_answer"), ("completeUpload", "lost_answer")):
        # The completed file is found.
        rig.assert_whole(rig.upload(path, part_size=KIB), path)
        assert len(rig.mock.files()) == 1
        return
    with pytest.raises(CavaticaError):
        rig.upload(path, part_size=KIB)
    assert rig.mock.files() == []
    rig.mock.faults.clear()
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    if operation == "completeUpload":
        assert rig.mock.bytes_received == parts * KIB


@pytest.mark.parametrize(
    ("fault", "error"),
    [("corrupt", EtagMismatch), ("no_etag", MissingHeader), ("status", PartRefused)],
)
def test_each_failure_has_its_error(rig: Rig, fault: str, error: type[CavaticaError]) -> None:
    """Each kind of lasting failure has its own error with a hint."""
    rig.mock.faults.add(Fault("putPart", fault, times=None, status=500))
    with pytest.raises(error) as caught:
        rig.upload(rig.file(KIB), part_size=KIB)
    assert caught.value.hint


def test_signed_urls_are_in_no_error_and_no_log(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Errors, logs and events show neither the query of a signed URL nor the token."""
    caplog.set_level(0)
    rig.mock.faults.add(Fault("putPart", "reset", times=None))
    with pytest.raises(StorageError) as caught:
        rig.upload(rig.file(KIB), part_size=KIB)
    shown = f"{caught.value!r} {caught.value} {rig.events} {caplog.text}"
    assert "ignature=" not in shown
    assert rig.mock.token not in shown


def test_expired_url_is_replaced_without_counting(rig: Rig) -> None:
    """After a 403 a new URL is requested immediately, and concurrency is not lowered."""
    rig.mock.faults.add(Fault("putPart", "expired", part=1))
    with rig.uploader(jobs=4) as uploader:
        uploader.upload(rig.file(PARTS * KIB), PROJECT, part_size=KIB)
    assert rig.calls["getPartUrl"] == PARTS + 1
    assert [event.delay for event in rig.told(PartRetried)] == [0.0]


def test_url_is_reused_after_an_error_of_storage(rig: Rig) -> None:
    """A 503 of storage costs no API call, since the URL is still valid."""
    rig.mock.faults.add(Fault("putPart", "status", status=503, times=3))
    path = rig.file(PARTS * KIB)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["getPartUrl"] == PARTS


def test_wrong_success_code_is_a_failed_part(rig: Rig) -> None:
    """A 2xx that is not among the success codes is a failure."""
    rig.mock.faults.add(Fault("putPart", "status", status=204, part=1))
    path = rig.file(2 * KIB)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["putPart"] == 3
