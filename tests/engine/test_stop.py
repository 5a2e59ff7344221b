"""After a stop nothing is completed, stored parts are reported, and the wait is bounded."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from engine_rig import KIB, PROJECT, QUICK, Rig

from cavatica_mock import Fault
from cavatica_upload import Interrupted, Uploader, UploadRequest, UsageError
from cavatica_upload.engine.context import Stop
from cavatica_upload.events import Notice, PartSent, PartsReported, UploadCompleted, UploadStarted
from cavatica_upload.timing import Timing

PARTS = 6


def cancel_at(uploader: Uploader, kind: type, number: int = 1) -> None:
    """Stop an uploader after a number of events of one class."""
    count = 0

    def listener(event: object) -> None:
        nonlocal count
        count += isinstance(event, kind)
        if isinstance(event, kind) and count == number:
            uploader.cancel()

    uploader.listen(listener)


@pytest.mark.parametrize("part", range(1, PARTS + 1))
def test_nothing_is_completed_after_a_stop(rig: Rig, part: int) -> None:
    """After a stop at any part, even the last, no file appears, and the parts are reported."""
    path = rig.file(PARTS * KIB)
    with rig.uploader(jobs=2) as uploader:
        cancel_at(uploader, PartSent, part)
        with pytest.raises(Interrupted, match=f"of {PARTS} parts sent") as caught:
            uploader.upload(path, PROJECT, part_size=KIB)
    assert caught.value.hint == "Run the same command again to resume."
    assert rig.mock.files() == []
    assert rig.calls["completeUpload"] == 0
    (upload,) = rig.mock.uploads()
    assert sorted(one["part_number"] for one in upload["parts"]) == sorted(event.number for event in rig.told(PartSent))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == PARTS * KIB


@pytest.mark.parametrize("kind", [UploadStarted, PartsReported])
def test_stop_at_other_moments(rig: Rig, kind: type) -> None:
    """After a stop when the upload is opened or during a report, no file appears."""
    path = rig.file(80 * KIB)
    with rig.uploader(jobs=2) as uploader:
        cancel_at(uploader, kind)
        with pytest.raises(Interrupted):
            uploader.upload(path, PROJECT, part_size=KIB)
    assert rig.mock.files() == []


def test_completion_in_progress_is_waited_for(rig: Rig) -> None:
    """A stop waits for a completion in progress, and the outcome is the file."""
    path = rig.file(KIB)
    with rig.uploader() as uploader:
        complete = uploader.api.complete_upload

        def stopped_meanwhile(*given: Any) -> Any:
            uploader.cancel()
            return complete(*given)

        uploader.api.complete_upload = stopped_meanwhile  # type: ignore[method-assign]
        try:
            receipt = uploader.upload(path, PROJECT)
        except Interrupted:
            receipt = None  # the stop came before the call went out
    assert (receipt is not None) == bool(rig.mock.files())


def test_completion_that_failed_is_not_tried_again_after_a_stop(rig: Rig) -> None:
    """A completion that failed before the stop is not retried after it."""
    rig.mock.faults.add(Fault("completeUpload", "status", status=503, code=8000, times=1))
    with rig.uploader() as uploader:
        uploader.listen(lambda event: uploader.cancel() if type(event).__name__ == "Retrying" else None)
        with pytest.raises(Interrupted):
            uploader.upload(rig.file(3 * KIB), PROJECT, part_size=KIB)
    assert rig.mock.files() == []


class Ending(io.BytesIO):
    """A stream that calls a function at its end."""

    def __init__(self, content: bytes, at_end: Callable[[], object]) -> None:
        super().__init__(content)
        self.at_end = at_end

    def read(self, count: int | None = -1, /) -> bytes:
        found = super().read(count)
        if not found:
            self.at_end()
        return found


@pytest.mark.parametrize("size", [0, 1, KIB, 3 * KIB])
def test_stream_that_ends_after_a_stop_is_not_completed(rig: Rig, size: int) -> None:
    """A stream that ends at the stop is not completed, and its upload is aborted."""
    content = rig.file(size).read_bytes()
    with rig.uploader() as uploader, pytest.raises(Interrupted):
        uploader.upload(Ending(content, uploader.cancel), PROJECT, name="cut", part_size=KIB, allow_empty=True)
    assert rig.mock.files() == []
    assert rig.mock.uploads() == []


@pytest.mark.parametrize("refusal", [{"status": 500}, {"status": 429, "headers": {"Retry-After": "300"}}])
def test_stream_whose_upload_cannot_be_aborted(rig: Rig, refusal: dict[str, Any]) -> None:
    """If the upload of a stopped stream cannot be aborted, or not now, a notice says how to do that."""
    rig.mock.faults.add(Fault("abortUpload", "status", times=None, **refusal))
    with rig.uploader() as uploader, pytest.raises(Interrupted):
        uploader.upload(Ending(b"x" * KIB, uploader.cancel), PROJECT, name="cut", part_size=KIB)
    (left,) = rig.mock.uploads()
    assert any(f"uploads abort {left['upload_id']}" in notice.text for notice in rig.told(Notice))


def test_stop_shortly_after_the_end_of_a_stream(rig: Rig) -> None:
    """A stream that ends shortly before the stop is not completed, since one signal may cause both."""
    with rig.uploader(timing=Timing(stream_end=60.0)) as uploader:
        ended = threading.Event()

        def stop() -> None:
            ended.wait()
            uploader.cancel()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(Interrupted):
            uploader.upload(Ending(b"x" * KIB, ended.set), PROJECT, name="cut", part_size=KIB)
        stopper.join()
    assert rig.mock.files() == []


def test_parts_that_take_longer_are_dropped(rig: Rig) -> None:
    """Parts in flight are dropped after the given time; the others are reported."""
    rig.mock.faults.add(Fault("putPart", "stall", part=2, after_bytes=100, times=None))
    path = rig.file(3 * KIB)
    with rig.uploader(jobs=3, stop_within=0) as uploader:
        cancel_at(uploader, PartSent, 2)
        with pytest.raises(Interrupted, match="2 of 3 parts sent"):
            uploader.upload(path, PROJECT, part_size=KIB)
    (upload,) = rig.mock.uploads()
    assert [part["part_number"] for part in upload["parts"]] == [1, 3]


def test_second_stop_waits_for_nothing(rig: Rig) -> None:
    """A second stop ends every file immediately, although its parts hang."""
    rig.mock.faults.add(Fault("putPart", "stall", after_bytes=100, times=None))
    requests = [
        UploadRequest(source=rig.file(KIB, f"f{number}"), destination=PROJECT, part_size=KIB) for number in range(5)
    ]
    with rig.uploader(jobs=3, stop_within=3600, timing=attrs.evolve(QUICK, gathering=600.0)) as uploader:
        outcomes: list[Any] = []
        runner = threading.Thread(target=lambda: outcomes.extend(uploader.upload_many(requests)))
        runner.start()
        while rig.calls["putPart"] < 1:
            threading.Event().wait(0.01)
        uploader.cancel()
        uploader.cancel(at_once=True)
        runner.join()
    assert [type(outcome.error) for outcome in outcomes] == [Interrupted] * 5
    assert rig.told(UploadCompleted) == []


def test_no_thread_is_left_whenever_the_uploader_is_closed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """If an uploader is closed while its engine looks whether to stop, its threads end all the same."""
    before = set(threading.enumerate())
    apply, looking, go_on = Stop.apply, threading.Event(), threading.Event()
    with rig.uploader() as uploader:
        uploader.upload(rig.file(KIB), PROJECT)
        left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("cavatica-part")]

        def look_slowly(stop: Stop, now: float) -> bool:
            found = apply(stop, now)
            looking.set()
            go_on.wait()
            return found

        monkeypatch.setattr(Stop, "apply", look_slowly)
        looking.wait()
        closer = threading.Thread(target=uploader.close)
        closer.start()
        while not uploader._engine._closed:
            threading.Event().wait(0.001)
        go_on.set()
        closer.join()
    for thread in left:
        thread.join(60)
    assert left
    assert not any(thread.is_alive() for thread in left)


PROGRAM = """
import os, signal, sys, threading
from cavatica_upload import Uploader
from cavatica_upload.events import PartSent
endpoint, token, state, file, after = sys.argv[1:]
cancelled = threading.Event()
count = 0
class Noticed(Uploader):
    def cancel(self, at_once=False):
        super().cancel(at_once)
        cancelled.set()
def listen(event):
    global count
    count += isinstance(event, PartSent)
    if isinstance(event, PartSent) and count == int(after):
        os.kill(os.getpid(), signal.SIGINT)
        cancelled.wait()
try:
    with Noticed(token=token, endpoint=endpoint, state_dir=state, listeners=[listen], jobs=2) as uploader:
        uploader.upload(file, "me/study", part_size=1024)
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(130)
"""


@pytest.mark.parametrize("after", [1, PARTS])
def test_no_file_appears_after_keyboard_interrupt(rig: Rig, after: int) -> None:
    """After KeyboardInterrupt in a program without signal handlers, no file appears."""
    program = [sys.executable, "-c", PROGRAM, rig.mock.base_url, rig.mock.token, str(rig.state)]
    done = subprocess.run(
        [*program, str(rig.file(PARTS * KIB)), str(after)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (130, "interrupted\n"), done.stderr
    assert rig.mock.files() == []
    (upload,) = rig.mock.uploads()
    assert len(upload["parts"]) >= after


READS_STANDARD_INPUT = """
import os, signal, sys
from cavatica_upload import Uploader
from cavatica_upload.events import UploadStarted
endpoint, token, state = sys.argv[1:]
def listen(event):
    if isinstance(event, UploadStarted):
        os.kill(os.getpid(), signal.SIGINT)
try:
    with Uploader(token=token, endpoint=endpoint, state_dir=state, listeners=[listen]) as uploader:
        uploader.upload(sys.stdin.buffer, "me/study", name="typed")
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(130)
"""


@pytest.mark.parametrize("typed", [b"", b"half a line"])
def test_interrupt_while_standard_input_waits_ends_the_program(rig: Rig, typed: bytes) -> None:
    """Ctrl-C ends the program cleanly while it waits for standard input."""
    reading, writing = os.pipe()
    try:
        os.write(writing, typed)
        program = [sys.executable, "-c", READS_STANDARD_INPUT, rig.mock.base_url, rig.mock.token, str(rig.state)]
        done = subprocess.run(program, stdin=reading, capture_output=True, text=True, check=False)
    finally:
        os.close(reading)
        os.close(writing)
    assert (done.returncode, done.stdout) == (130, "interrupted\n"), done.stderr
    assert rig.mock.files() == []
    assert rig.mock.uploads() == []


def test_stop_follows_the_clock() -> None:
    """Parts in flight and reports have their times after a stop; an immediate stop gives none."""
    stop = Stop(within=10, final_calls=5)
    assert not stop.apply(0)
    stop.request()
    assert stop.apply(100)
    assert [event.is_set() for event in (stop.stopping, stop.dropping, stop.abandoning)] == [True, False, False]
    assert not stop.apply(109)
    assert stop.apply(110)
    assert not stop.abandoning.is_set()
    assert stop.apply(115)
    assert stop.abandoning.is_set()
    assert stop.at_once
    now = Stop()
    now.request(at_once=True)
    assert now.apply(0)
    assert now.abandoning.is_set()


def test_final_calls_are_this_threads_alone() -> None:
    """After a stop only the thread that reports stored parts may call the API, and none after an immediate stop."""
    stop = Stop()
    stop.request()
    assert stop.calls.is_set()
    with stop.allow_final_calls():
        assert not stop.calls.is_set()
        other: list[bool] = []
        thread = threading.Thread(target=lambda: other.append(stop.calls.is_set()))
        thread.start()
        thread.join()
        assert other == [True]
        stop.request(at_once=True)
        assert stop.calls.is_set()


@pytest.fixture
def used(rig: Rig) -> Iterator[Uploader]:
    """An uploader that has uploaded something."""
    with rig.uploader() as uploader:
        uploader.upload(rig.file(KIB), PROJECT)
        yield uploader


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("use", ["upload", "upload_many", "api", "listen"])
def test_uploader_that_was_inherited_says_so(rig: Rig, used: Uploader, use: str) -> None:
    """In a forked child the parent's uploader raises an error that says what to do."""
    path = rig.file(KIB, "other")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with used:
                if use == "upload":
                    used.upload(path, PROJECT)
                elif use == "upload_many":
                    list(used.upload_many([UploadRequest(source=path, destination=PROJECT)]))
                elif use == "api":
                    used.api.get_rate_limit()
                else:
                    used.listen(print)
        except UsageError as error:
            status = 0 if "forked" in error.message and error.hint else 2
        finally:
            os._exit(status)
    killer = threading.Timer(60, os.kill, (child, signal.SIGKILL))
    killer.start()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    killer.cancel()
    assert used.upload(path, PROJECT) is not None  # the parent's still works


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_child_may_make_its_own(rig: Rig, used: Uploader) -> None:
    """A forked child uploads with an uploader of its own."""
    path: Path = rig.file(3 * KIB, "other")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with Uploader(token=rig.mock.token, endpoint=rig.mock.base_url, state_dir=rig.state) as uploader:
                status = 0 if uploader.upload(path, PROJECT, part_size=KIB) else 2
        finally:
            os._exit(status)
    killer = threading.Timer(60, os.kill, (child, signal.SIGKILL))
    killer.start()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    killer.cancel()
    assert len(rig.mock.files()) == 2


def test_uploader_does_not_go_to_a_process_that_is_spawned(used: Uploader) -> None:
    """An uploader cannot be pickled, and the error says what to do instead."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        multiprocessing.get_context("spawn").Process(target=print, args=(used,)).start()
