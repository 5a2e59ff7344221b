"""Whatever happens in whatever order, the file arrives whole or the error is reported, and nothing is sent twice."""

import random
import shutil
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from drift_matrix import Cell, cells, the
from drifting_proxy import DriftingProxy
from engine_rig import KIB, PROJECT, QUICK
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from test_true_success import rewrite

from cavatica_mock import Fault, MockServer
from cavatica_upload import CavaticaError, Event, FileChanged, Interrupted, Uploader
from cavatica_upload.events import PartSent, UploadStarted
from cavatica_upload.request import IfExists

FAULTS = st.one_of(
    st.builds(
        Fault,
        st.just("putPart"),
        st.sampled_from(["reset", "close", "lost_answer", "corrupt", "no_etag", "expired", "expired_token"]),
        part=st.one_of(st.none(), st.integers(1, 8)),
        times=st.integers(1, 10),
        after=st.integers(0, 4),
    ),
    st.builds(
        Fault,
        st.sampled_from(["putPart", "startUpload", "getPartUrl", "completeUpload", "getUpload", "listFiles", "*"]),
        st.just("status"),
        status=st.sampled_from([400, 401, 403, 500, 502]),
        times=st.integers(1, 6),
        after=st.integers(0, 6),
    ),
    st.builds(
        Fault,
        st.sampled_from(["startUpload", "getPartUrl", "completeUpload", "getUpload", "reportUploadedParts", "*"]),
        st.sampled_from(["reset", "close", "lost_answer", "truncate", "html", "bad_json"]),
        times=st.integers(1, 4),
        after=st.integers(0, 6),
    ),
)

DRIFTS = list(cells())


class UploadLife(RuleBasedStateMachine):
    """One file, one server, one journal, and everything that can happen to them."""

    @initialize(size=st.integers(0, 8 * KIB), seed=st.integers(0, 1000))
    def begin(self, size: int, seed: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="engine-machine-"))
        self.mock = MockServer(min_part_size=1).start()
        self.proxy = DriftingProxy(self.mock.base_url)
        self.proxy.__enter__()
        self.path = self.folder / "sample.bam"
        self.dice = random.Random(seed)
        self.path.write_bytes(self.dice.randbytes(size))
        self.sent: Counter[tuple[str, int]] = Counter()
        self.edited = self.lossy = False

    def _upload(
        self,
        *,
        stop_after: int | None = None,
        at_once: bool = False,
        rewrite_after: int | None = None,
        if_exists: IfExists = "overwrite",
        **options: Any,
    ) -> bool:
        """Upload; return whether the file arrived. Only errors of this package may be raised."""
        upload_id = ""
        count = 0
        stopped, ended = threading.Event(), threading.Event()
        there_before = self._files()

        def listener(event: Event) -> None:
            nonlocal upload_id, count
            if isinstance(event, UploadStarted):
                upload_id = event.upload_id
            if isinstance(event, PartSent) and not ended.is_set():
                count += 1
                self.sent[upload_id, event.number] += 1
                if count == rewrite_after:
                    self.rewrite_in_place()
                if stop_after is not None and count >= stop_after:
                    stopped.set()
                    uploader.cancel(at_once=at_once)

        uploader = Uploader(
            token=self.mock.token,
            endpoint=self.proxy.base_url,
            state_dir=self.folder / "state",
            listeners=[listener],
            jobs=3,
            retry_for=0,
            timing=QUICK,
        )
        failed = receipt = None
        try:
            receipt = uploader.upload(self.path, PROJECT, part_size=KIB, if_exists=if_exists, **options)
        except CavaticaError as error:
            failed = error
        finally:
            ended.set()  # a part that was dropped may yet arrive, and its upload is told of no more
            uploader.close()
        if stopped.is_set():
            assert isinstance(failed, CavaticaError)
            assert self._files() == there_before, "a file was completed after the stop"
        if if_exists != "overwrite":
            assert there_before <= self._files(), "a file was replaced that this run was not to replace"
        if failed is not None:
            assert failed.message
            assert not isinstance(failed, FileChanged) or self.edited
            assert not isinstance(failed, Interrupted) or stopped.is_set()
            return False
        if receipt is None:
            assert if_exists == "skip"
            return False
        assert receipt.verified
        assert self.mock.file_bytes(receipt.file_id) == self.path.read_bytes()
        self.edited = False
        return True

    def _files(self) -> set[str]:
        return {file["id"] for file in self.mock.files()}

    @rule(fault=FAULTS)
    def something_will_go_wrong(self, fault: Fault) -> None:
        self.mock.faults.add(fault)

    @rule(part=st.integers(1, 8), times=st.integers(1, 4))
    def storage_will_lose_a_part(self, part: int, times: int) -> None:
        self.mock.faults.add(Fault("putPart", "lost_part", part=part, times=times))
        self.lossy = True

    @rule(cell=st.sampled_from(DRIFTS))
    def the_server_differs(self, cell: Cell) -> None:
        """From now on the answers to one operation differ from the document."""
        self.proxy.drift = the(cell.operation, cell.change)
        self.lossy = True

    @rule()
    def all_is_well_again(self) -> None:
        self.mock.faults.clear()
        self.proxy.drift = None

    @rule()
    def upload(self) -> None:
        self._upload()

    @rule(parts=st.integers(1, 6), at_once=st.booleans())
    def upload_and_stop(self, parts: int, at_once: bool) -> None:
        self._upload(stop_after=parts, at_once=at_once)

    @rule()
    def upload_anew_if_changed(self) -> None:
        self._upload(changed="restart")

    @rule(size=st.integers(0, 8 * KIB))
    def edit(self, size: int) -> None:
        self.path.write_bytes(self.dice.randbytes(size))
        self.edited = True

    @rule()
    def rewrite_in_place(self) -> None:
        """Write other bytes to the file in place, and restore its time."""
        rewrite(self.path, self.dice.randbytes(self.path.stat().st_size))
        self.edited = True

    @rule(part=st.integers(1, 6))
    def upload_and_rewrite(self, part: int) -> None:
        self._upload(rewrite_after=part)

    @rule(if_exists=st.sampled_from(["fail", "skip", "rename", "overwrite"]), parts=st.none() | st.integers(1, 6))
    def upload_in_another_mode(self, if_exists: IfExists, parts: int | None) -> None:
        self._upload(if_exists=if_exists, stop_after=parts)

    @rule()
    def touch(self) -> None:
        self.path.chmod(self.path.stat().st_mode ^ 0o040)

    @rule(same_size=st.booleans())
    def somebody_takes_the_name(self, same_size: bool) -> None:
        """Another machine uploads a file of this name, perhaps of the same size."""
        other = self.folder / "theirs" / self.path.name
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(self.dice.randbytes(self.path.stat().st_size if same_size else 5))
        self.mock.faults.clear()
        with Uploader(token=self.mock.token, endpoint=self.mock.base_url, state_dir=self.folder / "other") as uploader:
            uploader.upload(other, PROJECT, part_size=KIB, if_exists="overwrite")

    @rule()
    def lose_the_journal(self) -> None:
        for file in (self.folder / "state").glob("journal*"):
            file.unlink()

    @rule()
    def somebody_aborts(self) -> None:
        """Another machine aborts what is open. No precondition: after a stop that may differ from run to run."""
        self.mock.faults.clear()
        with Uploader(
            token=self.mock.token, endpoint=self.mock.base_url, state_dir=self.folder / "other", timing=QUICK
        ) as uploader:
            for upload in self.mock.uploads():
                uploader.api.abort_upload(upload["upload_id"])

    def teardown(self) -> None:
        """At the end all faults are removed, and one more run uploads the file whole."""
        if not hasattr(self, "mock"):
            return
        try:
            self.all_is_well_again()
            assert self._upload(changed="restart")
            if not self.lossy:
                assert [number for number, count in self.sent.items() if count > 1] == []
        finally:
            self.proxy.__exit__(None, None, None)
            self.mock.stop()
            shutil.rmtree(self.folder)


UploadLife.TestCase.settings = settings(
    max_examples=14, stateful_step_count=14, suppress_health_check=list(HealthCheck)
)
TestUploadLife = UploadLife.TestCase
