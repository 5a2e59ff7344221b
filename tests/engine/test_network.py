"""A bad network costs waits with few messages, and never more than the parts in flight."""

import multiprocessing
import pickle
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import attrs
import pytest
from engine_rig import KIB, PROJECT, QUICK, Rig

from cavatica_mock import Fault
from cavatica_upload import ConnectionFailed, Interrupted, StorageError, UploadRequest, UsageError
from cavatica_upload.disk import identity_of
from cavatica_upload.engine.send_part import ATTEMPTS, PartAttempts
from cavatica_upload.engine.workers import PartTask, send_part_on_worker
from cavatica_upload.errors import Conflict, EtagMismatch, PartRefused, RateLimited
from cavatica_upload.events import (
    BytesSent,
    Emitter,
    Event,
    Outage,
    OutageWatch,
    PartRetried,
    PartSent,
    UploadCompleted,
)
from cavatica_upload.plan import Part, PartUrl
from cavatica_upload.timing import Timing
from tests.clock import Clock

PARTS = 6


# How long to try


@pytest.mark.parametrize("retry_for", [0, 60, 3600])
@pytest.mark.parametrize("error", [StorageError("reset"), PartRefused("busy", status=503), ConnectionFailed("no")])
def test_network_failures_are_retried_for_the_given_time(retry_for: float, error: Exception) -> None:
    """A part is retried until --retry-for is over; failures of storage are retried eight times at least."""
    attempts, now, count = PartAttempts(retry_for=retry_for, deadline=float("inf")), 0.0, 1
    while (delay := attempts.delay_after(error, now, lambda _failures: 10.0)) is not None:
        now += delay
        count += 1
    assert now >= retry_for
    assert now < retry_for + 10 * ATTEMPTS
    assert count >= (ATTEMPTS if isinstance(error, StorageError) else 1)


def test_rate_limit_costs_a_wait_and_never_the_part() -> None:
    """A 429 is never counted as a failure."""
    attempts = PartAttempts(retry_for=0, deadline=float("inf"))
    for second in range(100):
        assert attempts.delay_after(RateLimited("429", status=429), second, lambda _failures: 1.0) is not None


def test_no_retry_after_the_deadline_of_the_part() -> None:
    """The deadline of a part holds for all its attempts and pauses together."""
    attempts = PartAttempts(retry_for=1000, deadline=100)
    assert attempts.delay_after(StorageError("reset"), 89, lambda _failures: 10.0) is not None
    assert attempts.delay_after(StorageError("reset"), 91, lambda _failures: 10.0) is None


@pytest.mark.parametrize("error", [EtagMismatch("damaged"), PartRefused("no", status=400), Conflict("no", status=409)])
def test_lasting_failures_are_retried_a_few_times(error: Exception) -> None:
    """Damaged bytes and refusals are retried a few times, whatever --retry-for is."""
    attempts, count = PartAttempts(retry_for=3600, deadline=float("inf")), 1
    while attempts.delay_after(error, 0, lambda _failures: 1.0) is not None:
        count += 1
    assert count <= 4


def test_part_outlives_an_outage(rig: Rig) -> None:
    """With a long --retry-for a part survives an outage; without it, the file fails and can be resumed."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("putPart", "reset", part=2, times=3 * ATTEMPTS))
    rig.assert_whole(rig.upload(path, part_size=KIB, uploader={"retry_for": 600}), path)
    assert max(event.attempt for event in rig.told(PartRetried)) == 3 * ATTEMPTS + 1


@pytest.mark.parametrize("operation", ["startUpload", "getPartUrl", "completeUpload"])
def test_call_outlives_an_outage(rig: Rig, operation: str) -> None:
    """A call without a connection is retried until --retry-for is over."""
    path = rig.file(PARTS * KIB)
    with rig.uploader(retry_for=600) as uploader:
        uploader.api.get_rate_limit()
    rig.mock.faults.add(Fault(operation, "status", status=503, code=8000, times=3))
    rig.assert_whole(rig.upload(path, part_size=KIB, uploader={"retry_for": 600}), path)


@pytest.mark.parametrize("options", [{"retry_for": -1}, {"stop_within": -0.1}, {"retry_for": float("nan")}])
def test_negative_time_is_refused(rig: Rig, options: dict[str, float]) -> None:
    """A negative time is refused by name."""
    with pytest.raises(UsageError, match=next(iter(options))):
        rig.uploader(**options)


# Reports of an outage


def test_outage_is_reported_once_a_minute() -> None:
    """An outage is reported after ten seconds, then once a minute, and when it ends."""
    hand, heard = Clock(), list[Event]()
    watch = OutageWatch(Emitter([heard.append]), Timing(), hand)
    watch.answered()
    hand.now += 1
    for _ in range(200):
        watch.failed("no connection to storage.")
        watch.tick(9)
        hand.now += 1
    told = [event for event in heard if isinstance(event, Outage)]
    assert [(round(event.seconds), event.parts) for event in told] == [(10, 9), (70, 9), (130, 9), (190, 9)]
    assert told[0].reason == "no connection to storage"
    watch.answered()
    watch.tick(0)
    watch.tick(0)
    (last,) = [event for event in heard if isinstance(event, Outage) and event.over]
    assert last is heard[-1]


def test_server_error_is_no_outage() -> None:
    """Any answer, even an error, shows that there is a connection."""
    hand, heard = Clock(), list[Event]()
    watch = OutageWatch(Emitter([heard.append]), Timing(), hand)
    for _ in range(200):
        watch.answered()
        watch.failed("503")
        hand.now += 30
        watch.tick(3)
    assert heard == []


def test_outage_reaches_listeners(rig: Rig) -> None:
    """An event reports that storage accepts nothing, and another one that it does again."""
    rig.mock.faults.add(Fault("putPart", "reset", times=None))
    timing = attrs.evolve(QUICK, first_outage=0.0)
    path = rig.file(KIB)
    with rig.uploader(retry_for=600, timing=timing) as uploader:
        uploader.listen(lambda event: rig.mock.faults.clear() if isinstance(event, Outage) else None)
        receipt = uploader.upload(path, PROJECT, part_size=KIB)
        over = threading.Event()
        uploader.listen(lambda event: over.set() if isinstance(event, Outage) and event.over else None)
        assert rig.told(Outage)[-1].over or over.wait()
    rig.assert_whole(receipt, path)
    assert [event.over for event in rig.told(Outage)] == [False] * (len(rig.told(Outage)) - 1) + [True]


# Parts in flight


def test_slow_link_has_two_parts_in_flight_at_most(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a limited rate at most two slow parts are in flight."""
    monkeypatch.setattr(
        "cavatica_upload.engine.concurrency.GAIN_TO_GROW", float("inf")
    )  # the speed of a busy machine varies
    part = 64 * KIB
    sent = stored = most = 0

    def listener(event: Event) -> None:
        nonlocal sent, stored, most
        sent += event.count if isinstance(event, BytesSent) else 0
        stored += event.size if isinstance(event, PartSent) else 0
        most = max(most, sent - stored)

    path = rig.file(9 * part)
    options = {
        "bwlimit": 600_000,
        "listeners": [listener],
        "timing": attrs.evolve(QUICK, at_stake=0.0),
    }
    rig.assert_whole(rig.upload(path, part_size=part, uploader=options), path)
    assert most <= 2 * part


def test_lowest_parts_go_first(rig: Rig) -> None:
    """With one part in flight no part is sent more than one place early, if one URL arrives before another."""
    rig.upload(rig.file(20 * KIB), part_size=KIB, uploader={"jobs": 1})
    numbers = [event.number for event in rig.told(PartSent)]
    assert sorted(numbers) == list(range(1, 21))
    assert all(number <= place + 1 for place, number in enumerate(numbers, start=1))


def test_runs_share_the_pool_fairly(rig: Rig) -> None:
    """The parts of a small run do not wait for those of a large run that started before."""
    rig.mock.faults.add(Fault("putPart", "delay", seconds=0.03, times=None))  # the large run would take minutes
    with rig.uploader(jobs=2) as uploader, ThreadPoolExecutor(1) as pool:
        begun = threading.Event()

        def listener(event: Event) -> None:
            if isinstance(event, PartSent):
                begun.set()
            if isinstance(event, UploadCompleted):
                uploader.cancel()

        uploader.listen(listener)
        small = rig.file(4 * KIB, "small", seed=2)
        large = pool.submit(uploader.upload, rig.file(4000 * KIB, "large"), PROJECT, part_size=KIB)
        begun.wait()
        receipt = uploader.upload(small, PROJECT, part_size=KIB)
        with pytest.raises(Interrupted):
            large.result()
    assert receipt is not None
    rig.assert_whole(receipt, small)


# Parts in executors


def task(rig: Rig) -> PartTask:
    target = PartUrl(url=f"{rig.mock.origin}/part?X-Amz-Signature=secret")
    return PartTask(Part(1, 0, 10), target, identity_of(rig.file(10)))


def test_part_is_sent_by_values_alone(rig: Rig) -> None:
    """A task to send a part can be pickled, and its repr shows no signature."""
    made = task(rig)
    assert pickle.loads(pickle.dumps(made)) == made
    assert "secret" not in repr(made)
    with pytest.raises(PartRefused) as caught:
        send_part_on_worker(made)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), PartRefused)


class Recording(ThreadPoolExecutor):
    """Counts the tasks that it was given, after a pickle."""

    count = 0

    def submit(self, function: Any, /, *given: Any, **named: Any) -> Future[Any]:
        self.count += 1
        assert not named
        return super().submit(function, *pickle.loads(pickle.dumps(given)))


def test_parts_go_through_an_executor(rig: Rig) -> None:
    """Any executor can send the parts of files; they are journalled, counted and verified here."""
    path = rig.file(PARTS * KIB)
    with Recording(2) as executor:
        rig.assert_whole(rig.upload(path, part_size=KIB, uploader={"executor": executor}), path)
    assert executor.count == PARTS
    assert rig.bytes_told() == PARTS * KIB


def test_parts_go_through_processes(rig: Rig) -> None:
    """Other processes send the parts; retries are decided here."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("putPart", "status", status=503, part=3))
    executor: Executor = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    with executor, rig.uploader(executor=executor) as uploader:
        (outcome,) = uploader.upload_many([UploadRequest(source=path, destination=PROJECT, part_size=KIB)])
    assert outcome.receipt is not None
    rig.assert_whole(outcome.receipt, path)
