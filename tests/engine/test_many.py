import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from engine_rig import KIB, PROJECT, QUICK, Rig

from cavatica_mock import Fault
from cavatica_upload import Interrupted, NameTaken, SourceError, UploadRequest, UsageError
from cavatica_upload.engine.engine import FIRST_FILES, MOST_FILES, MOST_READ_AHEAD
from cavatica_upload.engine.parts import MOST_THREADS
from cavatica_upload.errors import Forbidden, Unauthorized
from cavatica_upload.events import PartSent, UploadCompleted, UploadFailed
from cavatica_upload.request import Outcome

ALL_READ = attrs.evolve(QUICK, gathering=600.0)
"""No file starts before all requests are read."""


def request(rig: Rig, number: int, size: int = 100, **options: object) -> UploadRequest:
    return UploadRequest(
        source=rig.file(size, f"file-{number:04}", seed=number),
        destination=PROJECT,
        part_size=KIB,
        **options,  # type: ignore[arg-type]
    )


def test_many_files_arrive_whole(rig: Rig) -> None:
    """Small and large files over one pool are whole, and each small one costs three calls."""
    requests = [request(rig, number, size=9 * KIB if number % 10 == 0 else 100) for number in range(40)]
    with rig.uploader() as uploader:
        outcomes = list(uploader.upload_many(requests))
    assert [outcome.error for outcome in outcomes] == [None] * 40
    assert {outcome.request for outcome in outcomes} == set(requests)
    for outcome in outcomes:
        assert outcome.receipt is not None
        rig.assert_whole(outcome.receipt, outcome.request.source)  # type: ignore[arg-type]
    assert rig.api_calls == 36 * 3 + 4 * (9 + 2)


def test_failed_file_does_not_stop_the_others(rig: Rig) -> None:
    """A missing file and a taken name fail alone."""
    rig.upload(rig.file(10, "file-0001"))
    requests = [request(rig, number) for number in range(5)]
    requests.append(UploadRequest(source=rig.folder / "missing", destination=PROJECT))
    with rig.uploader() as uploader:
        outcomes = list(uploader.upload_many(requests))
    errors = {outcome.request.key: type(outcome.error) for outcome in outcomes if outcome.error}
    assert set(errors.values()) == {NameTaken, SourceError}
    assert len(outcomes) == 6


def test_largest_files_start_first(rig: Rig) -> None:
    """The largest of the waiting files start first, although the requests come one by one; what is gone comes last."""

    def slowly() -> Iterator[UploadRequest]:
        for number in range(FIRST_FILES):
            yield UploadRequest(source=rig.folder / f"missing-{number}", destination=PROJECT)
        for number in range(20):
            yield request(rig, number, size=(number + 1) * KIB)
            threading.Event().wait(0.01)  # longer than a tick of the engine

    # a refused token ends the run with the first files, in whatever order these are answered
    with rig.uploader(token="f" * 32, jobs=1, timing=ALL_READ) as uploader:
        list(uploader.upload_many(slowly()))
    tried = {Path(event.file).name for event in rig.told(UploadFailed)}
    assert "file-0019" in tried
    assert tried <= {f"file-{number:04}" for number in range(20 - FIRST_FILES, 20)}


def test_refused_token_stops_the_run(rig: Rig) -> None:
    """After a 401 every file fails with that error, without further calls."""
    requests = [request(rig, number) for number in range(100)]
    with rig.uploader(token="f" * 32) as uploader:
        outcomes = list(uploader.upload_many(requests))
    assert len(outcomes) == 100
    assert {type(outcome.error) for outcome in outcomes} == {Unauthorized}
    assert rig.api_calls <= 20


def test_project_without_rights_stops_the_run(rigged: object) -> None:
    """Three files refused in a row stop the run."""
    rig = rigged(projects={PROJECT: False})  # type: ignore[operator]
    requests = [request(rig, number) for number in range(100)]
    with rig.uploader() as uploader:
        outcomes = list(uploader.upload_many(requests))
    assert {type(outcome.error) for outcome in outcomes} == {Forbidden}
    assert rig.api_calls <= 30


def test_token_that_is_revoked_during_an_upload(rig: Rig) -> None:
    """If the token is revoked during an upload, the file fails, and resumes with another token."""
    path = rig.file(10 * KIB)
    rig.mock.faults.add(Fault("getPartUrl", "status", status=401, code=90001, after=5, times=None))
    with pytest.raises(Unauthorized):
        rig.upload(path, part_size=KIB, uploader={"jobs": 1})
    rig.mock.faults.clear()
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == 10 * KIB


def test_requests_are_read_as_they_are_needed(rig: Rig) -> None:
    """Requests are read a few ahead, so that their iterable may be endless."""
    read = 0

    def endless() -> Iterator[UploadRequest]:
        nonlocal read
        source = rig.file(1, "same")
        while True:
            read += 1
            yield UploadRequest(source=source, destination=PROJECT, name=f"n{read}")

    with rig.uploader() as uploader:
        outcomes = uploader.upload_many(endless())
        for _ in range(5):
            assert next(outcomes).error is None
        outcomes.close()
        uploader.cancel(at_once=True)
    assert read <= MOST_READ_AHEAD + len(rig.told(UploadCompleted)) + MOST_FILES


def test_upload_in_a_listener_is_refused(rig: Rig) -> None:
    """A listener that uploads with the uploader that calls it gets an error; with another one it may."""
    path, other = rig.file(KIB), rig.file(KIB, "other")
    caught: list[Exception] = []

    def listener(event: object) -> None:
        if isinstance(event, UploadCompleted):
            rig.upload(other)
            try:
                uploader.upload(other, PROJECT)
            except UsageError as error:
                caught.append(error)

    with rig.uploader(listeners=[listener]) as uploader:
        uploader.upload(path, PROJECT)
        uploader.upload(rig.file(KIB, "third"), PROJECT)
    assert len(caught) == 2
    assert "listener" in str(caught[0])
    assert len(rig.mock.files()) == 3


def test_threads_do_not_grow_with_files(rig: Rig) -> None:
    """The number of threads does not depend on the number of files."""
    requests = [request(rig, number) for number in range(100)]
    most = 0

    def listener(_event: object) -> None:
        nonlocal most
        most = max(most, sum(thread.name.startswith("cavatica-") for thread in threading.enumerate()))

    with rig.uploader(listeners=[listener]) as uploader:
        outcomes = list(uploader.upload_many(requests))
    assert len(outcomes) == 100
    assert most <= MOST_FILES + MOST_THREADS + 1


def test_cancel_ends_what_waits(rig: Rig) -> None:
    """After cancel() every request is completed or interrupted."""
    requests = [request(rig, number, size=3 * KIB) for number in range(60)]
    with rig.uploader(jobs=2, timing=ALL_READ) as uploader:
        uploader.listen(lambda event: uploader.cancel() if isinstance(event, PartSent) else None)
        outcomes: list[Outcome] = list(uploader.upload_many(requests))
    assert len(outcomes) == 60
    assert any(isinstance(outcome.error, Interrupted) for outcome in outcomes)
    assert all(outcome.receipt is not None or isinstance(outcome.error, Interrupted) for outcome in outcomes)


def test_uploader_is_used_by_several_threads(rig: Rig) -> None:
    """Two threads share an uploader, and each gets its own receipts."""
    paths = [rig.file(5 * KIB, f"t{number}", seed=number) for number in range(6)]
    receipts = {}
    with rig.uploader() as uploader:

        def work(index: int) -> None:
            receipts[index] = uploader.upload(paths[index], PROJECT, part_size=KIB)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for index, receipt in receipts.items():
        assert receipt is not None
        rig.assert_whole(receipt, paths[index])
