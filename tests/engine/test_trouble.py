import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from engine_rig import KIB, PROJECT, Rig

from cavatica_mock import Fault
from cavatica_upload import FileChanged, SourceError, StorageError, storage, timing
from cavatica_upload.engine import file_upload
from cavatica_upload.engine.send_part import ATTEMPTS, PartSender
from cavatica_upload.events import Event, Notice, PartSent
from cavatica_upload.plan import PartUrl

PARTS = 8


@contextmanager
def after_part(rig: Rig, number: int, action: object) -> Iterator[dict[str, object]]:
    """Options of an uploader that does something after a number of parts."""
    done = threading.Event()

    def listener(_event: Event) -> None:
        if len(rig.told(PartSent)) >= number and not done.is_set():
            done.set()
            action()  # type: ignore[operator]

    yield {"listeners": [rig.events.append, listener], "jobs": 1}
    assert done.is_set()


def test_file_cut_short_while_it_goes_up(rig: Rig) -> None:
    """A file that becomes shorter during its upload is an error, and nothing is completed."""
    path = rig.file(PARTS * KIB)
    with (
        after_part(rig, 3, lambda: os.truncate(path, 4 * KIB)) as options,
        pytest.raises(FileChanged, match=r"cut short .* has 4,096 bytes instead of 8,192"),
    ):
        rig.upload(path, part_size=KIB, uploader=options)
    assert rig.mock.files() == []


def test_file_written_to_while_it_goes_up(rig: Rig) -> None:
    """A file that is written to in place is noticed before anything is completed."""
    path = rig.file(PARTS * KIB)

    def write() -> None:
        with path.open("r+b") as file:
            file.write(b"other")

    with after_part(rig, 3, write) as options, pytest.raises(FileChanged, match="modification time has changed"):
        rig.upload(path, part_size=KIB, uploader=options)
    assert rig.mock.files() == []


def test_file_replaced_while_it_goes_up(rig: Rig) -> None:
    """A file that is replaced during its upload is noticed."""
    path = rig.file(PARTS * KIB)
    other = rig.file(PARTS * KIB, "other", seed=2)
    with after_part(rig, 3, lambda: other.replace(path)) as options, pytest.raises(FileChanged):
        rig.upload(path, part_size=KIB, uploader=options)
    assert rig.mock.files() == []


def test_file_deleted_while_it_goes_up(rig: Rig) -> None:
    """A file that is deleted during its upload arrives whole, since it is open."""
    path = rig.file(PARTS * KIB)
    content = path.read_bytes()
    with after_part(rig, 3, path.unlink) as options:
        receipt = rig.upload(path, part_size=KIB, uploader=options)
    assert rig.stored(receipt) == content


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is not a regular file|is a directory"),
        (lambda path: None, "does not exist"),
        (lambda path: path.symlink_to("nowhere"), "does not exist"),
        (lambda path: path.symlink_to("/dev/null"), "is not a regular file"),
    ],
)
def test_source_that_is_not_a_file(rig: Rig, make: object, message: str) -> None:
    """What cannot be uploaded is reported in a sentence, before any call."""
    path = rig.folder / "odd"
    make(path)  # type: ignore[operator]
    with pytest.raises(SourceError, match=message):
        rig.upload(path)
    assert rig.api_calls == 0


def test_read_error_is_reported(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read error in the middle of a part is an error of one sentence, and nothing is completed."""
    path = rig.file(PARTS * KIB)
    real = os.pread

    def failing(fd: int, count: int, offset: int) -> bytes:
        if offset >= 5 * KIB:
            raise OSError(5, "Input/output error")
        return real(fd, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(SourceError, match="Input/output error"):
        rig.upload(path, part_size=KIB)
    assert rig.mock.files() == []


def test_slow_storage_meets_the_deadline(rig: Rig) -> None:
    """If storage reads a few bytes a second, the part fails at its deadline."""
    rig.mock.faults.add(Fault("putPart", "slow", bytes_per_second=1000, times=None))
    with pytest.raises(StorageError):
        rig.upload(rig.file(60_000_000), part_size=60_000_000, uploader={"part_deadline": 0.5})
    assert rig.calls["putPart"] <= ATTEMPTS


class Dripping(http.server.BaseHTTPRequestHandler):
    """Answers one byte at a time without end."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.over.wait(0.02):  # type: ignore[attr-defined]
                self.wfile.write(b".")
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_answer_that_drips_meets_the_deadline(rig: Rig) -> None:
    """An answer whose header never ends fails at the deadline of the part, although bytes arrive."""
    from cavatica_upload.plan import Part
    from cavatica_upload.sources.local import LocalFile

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    server.over = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    store = storage.Storage()
    source = LocalFile(rig.file(10))
    try:
        target = PartUrl(url=f"http://127.0.0.1:{server.server_port}/part?signature=x")
        with pytest.raises(StorageError, match=r"took too long"):
            store.put(target, Part(1, 0, 10), source, deadline=time.monotonic() + 0.3)
    finally:
        server.over.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()
        source.close()
        store.close()


@pytest.mark.parametrize("hours", [-1, 1])
def test_clock_that_is_wrong_by_an_hour(rig: Rig, hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this machine's clock is wrong by an hour, no URL is requested twice, and the file is whole."""
    real = time.time
    monkeypatch.setattr(timing.time, "time", lambda: real() + hours * 3600)
    path = rig.file(PARTS * KIB)
    monkeypatch.setattr(timing.ServerClock.__init__, "__defaults__", (lambda: real() + hours * 3600,))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["getPartUrl"] == PARTS


def test_disk_full_for_the_journal(rig: Rig) -> None:
    """Without disk space for journal and receipt the file arrives, and both losses are reported."""
    path = rig.file(PARTS * KIB)
    program = (
        "import resource, sys\n"
        "from cavatica_upload import Uploader, Notice\n"
        "endpoint, token, state, file = sys.argv[1:]\n"
        "notices = []\n"
        "listen = lambda event: notices.append(event.text) if isinstance(event, Notice) else None\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, resource.RLIM_INFINITY))\n"
        "with Uploader(token=token, endpoint=endpoint, state_dir=state, listeners=[listen]) as uploader:\n"
        "    receipt = uploader.upload(file, 'me/study', part_size=1024)\n"
        "print(receipt.file_id, receipt.verified, receipt.path)\n"
        "print(' '.join(notices))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, rig.mock.base_url, rig.mock.token, rig.state, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, told = done.stdout.splitlines()
    file_id, verified, kept = first.split()
    assert (verified, kept) == ("True", "None")
    assert rig.mock.file_bytes(file_id) == path.read_bytes()
    assert "journal" in told
    assert "receipt could not be written" in told


def test_state_folder_that_cannot_be_made(rig: Rig) -> None:
    """Without a state folder the file arrives, and a message says what is missing."""
    blocked = rig.folder / "blocked"
    blocked.write_text("a file, not a folder")
    path = rig.file(10)
    receipt = rig.upload(path, uploader={"state_dir": blocked / "state"})
    assert rig.stored(receipt) == path.read_bytes()
    assert receipt.path is None
    assert len(rig.told(Notice)) == 2


@pytest.mark.parametrize(("jobs", "part_size"), [(4, 200_000_000), (None, 8_000_000)])
def test_memory_stays_small(rig: Rig, jobs: int | None, part_size: int) -> None:
    """Memory depends neither on the size nor on the number of parts."""
    path = rig.folder / "sparse"
    with path.open("wb") as file:
        file.truncate(400_000_000)
    program = (
        "import sys\n"
        "from cavatica_upload import Uploader\n"
        "endpoint, token, state, file = sys.argv[1:]\n"
        f"with Uploader(token=token, endpoint=endpoint, state_dir=state, jobs={jobs}) as uploader:\n"
        f"    uploader.upload(file, 'me/study', part_size={part_size})\n"
        "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, rig.mock.base_url, rig.mock.token, rig.state, path],
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},  # needs memory
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 100 * 1024  # KiB


def test_stream_without_room_for_temporary_files_fails(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a part of a stream cannot be kept in a temporary file, the upload fails with a sentence and is aborted."""
    import io

    from cavatica_upload.sources import stream

    class Full:
        def write(self, _block: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            """Nothing to close."""

    monkeypatch.setattr(stream.tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(SourceError, match="No space left"):
        rig.upload(io.BytesIO(b"x" * 10), name="n")
    assert rig.mock.uploads() == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), FileNotFoundError(2, "No usable folder")])
def test_without_a_temporary_file_a_stream_fails(rig: Rig, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """If no temporary file can be made, a stream fails with a sentence."""
    import io

    from cavatica_upload.sources import stream

    def refuse(**_: object) -> None:
        raise error

    monkeypatch.setattr(stream.tempfile, "TemporaryFile", refuse)
    with pytest.raises(SourceError, match=f"could not be stored.*{error.strerror}"):
        rig.upload(io.BytesIO(b"x" * 10), name="n")
    assert rig.mock.uploads() == []


def test_non_blocking_stream_is_refused(rig: Rig) -> None:
    """A non-blocking stream, which returns None, is refused, and nothing is completed."""
    import io

    class Hasty(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, _count: int = -1) -> None:  # type: ignore[override]
            return None

    with pytest.raises(SourceError, match="no bytes yet"):
        rig.upload(Hasty(), name="n")
    assert rig.mock.files() == []


def test_permission_lost(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can no longer be read is reported, and its upload stays open."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(Fault("putPart", "status", status=500, after=3, times=None))
    with pytest.raises(StorageError):
        rig.upload(path, part_size=KIB, uploader={"jobs": 1})
    rig.mock.faults.clear()
    real = os.open

    def denied(file: str | Path, flags: int, *rest: int) -> int:
        if Path(file) == path:
            raise PermissionError(13, "Permission denied")
        return real(file, flags, *rest)

    with monkeypatch.context() as context:
        context.setattr(os, "open", denied)
        with pytest.raises(SourceError, match="permission denied"):
            rig.upload(path, part_size=KIB)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == PARTS * KIB
    assert PROJECT


@pytest.mark.parametrize("step", ["open", "put", "finish"])
def test_unexpected_exception_ends_the_file(rig: Rig, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """An unexpected exception in a step ends the file with that exception."""

    def unforeseen(*_: object, **__: object) -> None:
        raise RuntimeError("unforeseen")

    room, name = {
        "open": (file_upload, "open_upload"),
        "put": (PartSender, "_attempt"),
        "finish": (file_upload, "complete_upload"),
    }[step]
    monkeypatch.setattr(room, name, unforeseen)
    with rig.uploader() as uploader, pytest.raises(RuntimeError, match="unforeseen"):
        uploader.upload(rig.file(10), PROJECT)
