"""Parts that an executor sends: workers are lost, wrong or fail, and each file arrives whole with few calls."""

import io
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme
from engine_rig import KIB, PROJECT, QUICK, Rig

from cavatica_mock import Fault, MockServer
from cavatica_upload import Interrupted, Notice, Uploader, UsageError
from cavatica_upload.disk import identity_of
from cavatica_upload.engine.workers import PartTask, send_part_on_worker
from cavatica_upload.errors import CertificateUntrusted, WorkerFailed
from cavatica_upload.events import PartRetried, UploadStarted
from cavatica_upload.plan import GIB, MIB, Part, PartUrl

PARTS = 12
CALLS = PARTS + 2 + 1
HOST = socket.gethostname()


class Workers(Executor):
    """Workers that send with `send(number, task)`; numbers start at 0."""

    def __init__(self, send: Callable[[int, PartTask], Any], size: int | None = 2) -> None:
        self._threads = ThreadPoolExecutor(size or 2)
        self._send = send
        self._lock = threading.Lock()
        self.tasks: list[PartTask] = []
        if size is not None:
            self.max_workers = size

    def submit(self, function: Any, /, *given: Any, **_: Any) -> Future[Any]:
        task = task_in(function, *given)
        with self._lock:
            self.tasks.append(task)
            return self._threads.submit(self._send, len(self.tasks) - 1, task)


class Reader(pickle.Unpickler):
    """Reads the tasks of workers, and sends nothing."""

    def find_class(self, module: str, name: str) -> Any:
        return (lambda task: task) if name == "send_part_on_worker" else super().find_class(module, name)


def task_in(function: Any, *given: Any) -> PartTask:
    """The task in the arguments of an executor: a function that every worker has, and bytes."""
    assert function is pickle.loads
    (data,) = given
    return Reader(io.BytesIO(data)).load()


def send_whole(rig: Rig, executor: Executor, **options: Any) -> None:
    """Send a file through an executor, and check that it arrives whole with one call for each part."""
    path = rig.file(PARTS * KIB)
    rig.assert_whole(rig.upload(path, part_size=KIB, uploader={"executor": executor, **options}), path)
    assert rig.bytes_told() == PARTS * KIB
    assert rig.api_calls <= CALLS


def notices(rig: Rig) -> list[str]:
    """The notices, without the one about the call budget."""
    return [notice.text for notice in rig.told(Notice) if "API calls" not in notice.text]


def of_calls(rig: Rig) -> list[str]:
    return [notice.text for notice in rig.told(Notice) if "API calls" in notice.text]


def reasons(rig: Rig) -> list[str]:
    return [retried.reason for retried in rig.told(PartRetried)]


# Tasks


def test_tasks_hold_no_token(rig: Rig) -> None:
    """A task has neither the token nor the address of the API, and no two tasks are the same."""
    executor = Workers(lambda _, task: send_part_on_worker(task))
    send_whole(rig, executor)
    assert len(executor.tasks) == PARTS
    pickled = b"".join(map(pickle.dumps, executor.tasks))
    assert rig.mock.token.encode() not in pickled
    assert rig.mock.base_url.encode() not in pickled


def test_worker_imports_little() -> None:
    """A worker imports neither the API client nor the journal nor the command line."""
    code = "import sys, cavatica_upload.engine.workers; print(*sys.modules)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    kept_out = {"cavatica_client", "sqlite3", "cavatica_upload.api", "cavatica_upload.cli", "cavatica_upload.uploader"}
    assert not kept_out & set(loaded)


def test_broken_connections_cost_no_call(rig: Rig) -> None:
    """A worker retries a broken connection without an API call."""
    rig.mock.faults.add(Fault("putPart", "reset", part=3))
    send_whole(rig, Workers(lambda _, task: send_part_on_worker(task)))
    assert rig.calls["getPartUrl"] == PARTS
    assert reasons(rig) == []


def test_refused_url_costs_one_call(rig: Rig) -> None:
    """For an expired URL the task returns, and a new URL is requested."""
    rig.mock.faults.add(Fault("putPart", "expired", part=3))
    path = rig.file(PARTS * KIB)
    executor = Workers(lambda _, task: send_part_on_worker(task))
    rig.assert_whole(rig.upload(path, part_size=KIB, uploader={"executor": executor}), path)
    assert rig.calls["getPartUrl"] == PARTS + 1
    assert HOST in reasons(rig)[0]


def test_clock_of_a_worker_does_not_matter(rig: Rig) -> None:
    """The expiry of a URL is checked on this machine, not with the worker's clock."""
    send_whole(
        rig,
        Workers(
            lambda _, task: send_part_on_worker(
                attrs.evolve(task, target=attrs.evolve(task.target, expires=float("-inf")))
            )
        ),
    )
    assert reasons(rig) == []


# Workers that fail


def raises(error: BaseException) -> Callable[[int, PartTask], Any]:
    """Fail with every third task."""

    def send(number: int, task: PartTask) -> Any:
        if number % 3 == 0:
            raise error
        return send_part_on_worker(task)

    return send


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'cavatica_upload'"),
        AttributeError("Can't get attribute 'PartTarget' on <module 'cavatica_upload.engine.workers'>"),
        KeyboardInterrupt(),
        SystemExit(1),
        MemoryError(),
        TimeoutError("task"),
        RuntimeError("killed https://storage.example/p?X-Amz-Signature=abc"),
        WorkerFailed("node07: it has no disk."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_part_of_a_failed_worker_is_sent_elsewhere(rig: Rig, error: BaseException) -> None:
    """If a worker fails in any way, another sends its part with the same URL, and one sentence says so."""
    executor = Workers(raises(error))
    send_whole(rig, executor)
    assert len(executor.tasks) > PARTS
    assert reasons(rig)
    (text,) = notices(rig)
    assert "The part is sent again." in text
    assert ("Install the same version" in text) == isinstance(error, ImportError | AttributeError)
    assert "X-Amz-Signature=abc" not in " ".join([*reasons(rig), text])


@pytest.mark.parametrize("answer", [None, 7, "part"])
def test_answer_of_another_version_is_no_part(rig: Rig, answer: object) -> None:
    """A result that is no sent part counts as a failure."""
    executor = Workers(lambda number, task: answer if number % 2 else send_part_on_worker(task))
    send_whole(rig, executor)
    assert all("other than a sent part" in reason for reason in reasons(rig))
    (text,) = notices(rig)
    assert text.endswith("Install the same version of cavatica-upload for the workers as here.")


@pytest.mark.parametrize("size", [1, 2, None])
def test_executor_that_always_fails_is_replaced(rig: Rig, size: int | None) -> None:
    """If all workers fail, messages say why, and that this machine sends the parts."""

    def send(_number: int, _task: PartTask) -> Any:
        raise ModuleNotFoundError("No module named 'cavatica_upload'")

    executor = Workers(send, size)
    send_whole(rig, executor)
    assert len(executor.tasks) <= 3 * PARTS
    first, text = notices(rig)
    assert "No module named" in first
    assert "Install the same version" in first
    assert "No module named" in text
    assert text.endswith("Parts are sent from this machine from now on.")


@pytest.mark.parametrize("error", [RuntimeError("cannot schedule new futures after shutdown"), BrokenExecutor("gone")])
def test_executor_that_was_shut_down_is_replaced(rig: Rig, error: Exception) -> None:
    """An executor that was shut down costs one message."""

    class Closed(Executor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            raise error

    send_whole(rig, Closed())
    (text,) = notices(rig)
    assert "accepts no more parts" in text


def test_cancelled_part_is_sent_again(rig: Rig) -> None:
    """A part that the scheduler cancelled is sent again."""

    class Cancelling(Workers):
        def submit(self, function: Any, /, *given: Any, **named: Any) -> Future[Any]:
            sent = task_in(function, *given)
            if (sent.part.number, sent.attempt) != (2, 1):
                return super().submit(function, *given, **named)
            cancelled: Future[Any] = Future()
            cancelled.cancel()
            cancelled.set_running_or_notify_cancel()
            return cancelled

    send_whole(rig, Cancelling(lambda _, task: send_part_on_worker(task)))
    assert len(reasons(rig)) == 1


def test_killed_processes_lose_nothing(rig: Rig) -> None:
    """If a process of a pool is killed during a part, this machine sends the rest."""
    rig.mock.faults.add(Fault("putPart", "stall", part=5))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:

        def kill() -> None:
            while not rig.mock.faults.to_json()[0]["fired"]:
                time.sleep(0.001)
            os.kill(next(iter(pool._processes)), signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        path = rig.file(PARTS * KIB)
        rig.assert_whole(rig.upload(path, part_size=KIB, uploader={"executor": pool}), path)
        killer.join()
    assert any("lost its workers" in text or "accepts no more parts" in text for text in notices(rig))
    assert rig.calls["getPartUrl"] == PARTS
    assert rig.bytes_told() == PARTS * KIB


# Other files, other networks


def task(rig: Rig, file: Path, **changed: Any) -> PartTask:
    target = PartUrl(url=f"{rig.mock.origin}/part?X-Amz-Signature=secret")
    return PartTask(Part(1, 0, 10), target, attrs.evolve(identity_of(file), **changed))


def elsewhere(task: PartTask) -> PartTask:
    """The task with a path that does not exist."""
    return attrs.evolve(task, file=attrs.evolve(task.file, path="/nowhere/sample.bam"))


def test_file_that_a_worker_does_not_see(rig: Rig) -> None:
    """A path that a worker does not see, or that has other bytes there, is reported with the host."""
    path = rig.file(10)
    for changed, said in (
        ({"path": "/nowhere/sample.bam"}, "does not exist"),
        ({"size": 11}, "is another file here, of 10 bytes instead of 11"),
        ({"mtime_ns": 1}, "is another file here, of the same size, written at another time"),
    ):
        with pytest.raises(WorkerFailed) as caught:
            send_part_on_worker(task(rig, path, **changed))
        assert caught.value.message.startswith(f"{HOST}: ")
        assert said in caught.value.message
        assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message
    assert rig.calls["putPart"] == 0


def test_file_that_only_this_machine_has_is_sent_from_here(rig: Rig) -> None:
    """If no worker sees the file, this machine sends it."""
    executor = Workers(lambda _, task: send_part_on_worker(elsewhere(task)))
    send_whole(rig, executor)
    assert any("does not exist" in reason and HOST in reason for reason in reasons(rig))


@pytest.mark.usefixtures("authority")
def test_worker_that_does_not_trust_storage(tmp_path: Path, authority: trustme.CA) -> None:
    """If a worker refuses the certificate of storage, others send its parts."""
    with MockServer(https=True, min_part_size=1) as mock, Rig(mock, tmp_path) as rig, pytest.raises(WorkerFailed) as no:
        send_part_on_worker(task(rig, rig.file(10)))
    assert HOST in no.value.message
    assert isinstance(no.value.__cause__, CertificateUntrusted)


# Number of parts in flight


def test_as_many_parts_in_flight_as_workers(rig: Rig) -> None:
    """Forty workers have forty parts of one file at the same time."""
    together = threading.Barrier(40, timeout=60)

    def send(number: int, task: PartTask) -> Any:
        if number < 40:
            together.wait()
        return send_part_on_worker(task)

    path = rig.file(40 * KIB)
    rig.assert_whole(rig.upload(path, part_size=KIB, uploader={"executor": Workers(send, 40)}), path)
    assert not together.broken


def test_no_more_parts_than_workers(rig: Rig) -> None:
    """No part waits for a worker, since its URL would expire."""
    lock, now, most = threading.Lock(), 0, 0

    class Counting(Workers):
        def submit(self, function: Any, /, *given: Any, **named: Any) -> Future[Any]:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            return super().submit(function, *given, **named)

    def send(_number: int, task: PartTask) -> Any:
        nonlocal now
        try:
            return send_part_on_worker(task)
        finally:
            with lock:
                now -= 1

    send_whole(rig, Counting(send, 3))
    assert most <= 3


class Silent(Executor):
    """Accepts every task, and does nothing."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self.given = threading.Event()

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self.futures.append(Future())
        self.given.set()
        return self.futures[-1]


class Scheduler:
    """The methods of a Dask client that are used."""

    status = "running"

    def __init__(self, workers: dict[str, int]) -> None:
        self.workers = workers

    def nthreads(self, **_: Any) -> dict[str, int]:
        return self.workers


def test_without_workers_parts_are_sent_from_here(rig: Rig) -> None:
    """Parts wait for a first worker as long as --retry-for allows; then this machine sends them."""
    executor = Silent()
    executor._client = Scheduler({})  # type: ignore[attr-defined]
    send_whole(rig, executor, retry_for=0)
    assert [text.partition("; ")[2] for text in notices(rig)] == [
        "parts wait for one.",
        "parts are sent from this machine until it has.",
    ]
    assert all(future.cancelled() for future in executor.futures)


# Stop and plan


def test_stop_cancels_what_workers_have(rig: Rig) -> None:
    """A stop cancels parts that do not return, and the upload can be resumed."""
    executor = Silent()
    path = rig.file(PARTS * KIB)
    with rig.uploader(executor=executor, stop_within=0) as uploader:
        stopper = threading.Thread(target=lambda: executor.given.wait(60) and uploader.cancel())
        stopper.start()
        with pytest.raises(Interrupted):
            uploader.upload(path, PROJECT, part_size=KIB)
        stopper.join()
    assert executor.futures
    while not all(future.cancelled() for future in executor.futures):  # by threads that the stop does not wait for
        time.sleep(0.001)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


def sparse(rig: Rig, size: int) -> Path:
    path = rig.folder / "large.cram"
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize(
    ("options", "part_size"),
    [
        ({}, 32 * MIB),
        ({"expected_rate": GIB}, 312 * MIB),
        ({"executor": Workers(lambda _, task: send_part_on_worker(task), 16)}, 312 * MIB),
        ({"executor": Workers(lambda _, task: send_part_on_worker(task), 16), "expected_rate": MIB}, 32 * MIB),
        ({"expected_rate": 100 * GIB}, GIB),
    ],
)
def test_parts_are_planned_for_all_machines(rig: Rig, options: dict[str, Any], part_size: int) -> None:
    """Parts are planned so that calls do not limit the expected rate, and a notice says if they do."""
    path = sparse(rig, 2 * GIB)
    with (
        Uploader(
            token=rig.mock.token,
            endpoint=rig.mock.base_url,
            state_dir=rig.state,
            timing=QUICK,
            listeners=[
                rig.events.append,
                lambda event: isinstance(event, UploadStarted) and uploader.cancel(at_once=True),
            ],
            **options,
        ) as uploader,
        pytest.raises(Interrupted),
    ):
        uploader.upload(path, PROJECT)
    assert rig.told(UploadStarted)[0].part_size == part_size
    assert bool(of_calls(rig)) == (part_size == GIB)


def test_calls_as_the_limit_are_said(rig: Rig) -> None:
    """If parts are too small for the expected rate, one notice says so in numbers."""
    for name in ("a", "b"):
        rig.upload(rig.file(4 * KIB, name), part_size=KIB, uploader={"expected_rate": 100 * MIB})
    said = of_calls(rig)
    assert len(said) == 2  # two uploaders
    assert said[0].startswith("1,000 API calls in 5 minutes allow 3.33 KiB/s with parts of 1.00 KiB.")


@pytest.mark.parametrize("rate", [0, -1.0, float("nan")])
def test_rate_of_zero_is_refused(rig: Rig, rate: float) -> None:
    """A rate of zero or less is refused."""
    with pytest.raises(UsageError, match="expected_rate"):
        rig.uploader(expected_rate=rate)
