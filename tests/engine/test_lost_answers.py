"""Answers that are lost or wrong: only our own uploads and files are used."""

import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from engine_rig import KIB, PROJECT, Rig
from test_true_success import PARTS, begin, stranger

from cavatica_mock import Fault
from cavatica_upload import CavaticaError, ConnectionFailed, IntegrityError, UploadGone, connect
from cavatica_upload.events import Notice
from cavatica_upload.plan import MIB
from tests.cli.drifting_proxy import Drift, DriftingProxy, in_json

LIST = ("GET", "/upload/multipart")
SHOW = ("GET", "/upload/multipart/{id}")
COMPLETE = ("POST", "/upload/multipart/{id}/complete")


def drift(proxy: DriftingProxy, operation: tuple[str, str], change: Callable[[Any], Any]) -> None:
    proxy.drift = Drift(*operation, in_json(change))


def notices(rig: Rig) -> str:
    return " ".join(event.text for event in rig.told(Notice))


def begin_elsewhere(rig: Rig, **options: Any) -> str:
    """Start an upload of the same name from another machine, and return its ID."""
    with connect(token=rig.mock.token, endpoint=rig.mock.base_url) as api:
        return api.start_upload(PROJECT, "sample.bam", **options).upload_id


# Starts


@pytest.mark.parametrize("theirs", [{"size": 7 * KIB, "part_size": KIB}, {"size": PARTS * KIB, "part_size": 2 * KIB}])
def test_lost_start_does_not_claim_another_upload(rig: Rig, proxy: DriftingProxy, theirs: dict[str, int]) -> None:
    """An open upload of the same name with another size or part size is not taken for the lost start."""
    path = rig.file(PARTS * KIB)
    begun: list[str] = []

    def show(upload: Any) -> Any:
        return {**upload, "size": theirs["size"]} if upload["upload_id"] in begun else upload

    def listed(page: Any) -> Any:
        if not begun:
            begun.append(begin_elsewhere(rig, **theirs))
            template = {"name": "sample.bam", "project": PROJECT, "initiated": "2099-01-01T00:00:00Z"}
            page["items"].append({**template, "upload_id": begun[0]})
            proxy.drift = Drift(*SHOW, in_json(show))
        return page

    rig.mock.faults.add(Fault("startUpload", "close"))
    drift(proxy, LIST, listed)
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert [upload["upload_id"] for upload in rig.mock.uploads()] == begun
    assert rig.calls["startUpload"] == 3


@pytest.mark.parametrize(("part_size", "taken"), [(64 * MIB, True), (128 * MIB, True), (32 * MIB, False)])
def test_start_of_a_run_that_was_killed_is_found_whatever_its_speed(rig: Rig, part_size: int, taken: bool) -> None:
    """The lost start of an earlier run may have larger parts than this run would request, but not smaller ones."""
    path = rig.file(PARTS * KIB)
    with rig.uploader() as uploader:  # makes the journal
        endpoint = uploader.api.endpoint
    with sqlite3.connect(rig.state / "journal.sqlite") as database:
        row = (endpoint, f"project:{PROJECT}", path.name, path.name, time.time(), "fail")
        database.execute("INSERT INTO starts VALUES (?, ?, ?, ?, ?, ?)", row)
    database.close()
    begin_elsewhere(rig, size=PARTS * KIB, part_size=part_size)
    with rig.uploader() as uploader:
        receipt = uploader.upload(path, PROJECT)
    rig.assert_whole(receipt, path)
    assert rig.calls["startUpload"] == 2 - taken


def test_starts_that_are_never_answered_do_not_pile_up(rig: Rig, proxy: DriftingProxy) -> None:
    """If no start is answered or listed, a run starts one upload too many, and each later run one."""
    path = rig.file(PARTS * KIB)
    drift(proxy, LIST, lambda page: {**page, "items": []})
    rig.mock.faults.add(Fault("startUpload", "lost_answer", times=None))
    for starts in (2, 3, 4):
        with pytest.raises(ConnectionFailed, match=r"It is not known whether the upload of sample\.bam started"):
            rig.upload(path, part_size=KIB)
        assert rig.calls["startUpload"] <= starts


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "part_size", [0, -1, 1e30, 10**30, 5.5, "1024", "x", True, None, float("nan"), float("inf"), []]
)
def test_impossible_part_size_of_a_start(rig: Rig, proxy: DriftingProxy, part_size: Any, stream: bool) -> None:
    """After a start with an impossible part size, the upload succeeds or fails, and leaves no upload open."""
    path = rig.file(PARTS * KIB)
    proxy.drift = Drift("POST", "/upload/multipart", in_json(lambda body: {**body, "part_size": part_size}))
    try:
        receipt = rig.upload(io.BytesIO(path.read_bytes()) if stream else path, name="sample.bam", part_size=KIB)
    except CavaticaError:
        assert rig.mock.files() == []
    else:
        assert rig.stored(receipt) == path.read_bytes()
    assert rig.mock.uploads() == []


# Completions


def once(action: Callable[[], object]) -> Callable[[Any], Any]:
    """Do something before the first answer is passed on."""
    done: list[bool] = []

    def change(body: Any) -> Any:
        if not done:
            done.append(True)
            action()
        return body

    return change


@pytest.mark.parametrize("operation", ["listFiles", "getUpload"])
@pytest.mark.parametrize("size", [PARTS * KIB, PARTS * KIB - 1])
def test_file_that_comes_between_two_completions_is_not_ours(
    rig: Rig, proxy: DriftingProxy, operation: str, size: int
) -> None:
    """If our upload is aborted between two completions, a new file of the name is compared, not claimed."""
    path = rig.file(PARTS * KIB)
    theirs = rig.file(size, "theirs", seed=2).read_bytes()
    rig.mock.faults.add(Fault("completeUpload", "close"))
    where = {"listFiles": ("GET", "/files"), "getUpload": SHOW}[operation]
    drift(proxy, where, once(lambda: stranger(rig, theirs)))
    with pytest.raises(UploadGone, match="is not its result"):
        rig.upload(path, part_size=KIB)
    (file,) = rig.mock.files()
    assert rig.mock.file_bytes(file["id"]) == theirs


@pytest.mark.parametrize("again", [0, 1])
def test_own_file_is_found_after_completions_without_answers(rig: Rig, proxy: DriftingProxy, again: int) -> None:
    """Our file is found after lost completions, even if it replaces a file of equal size."""
    rig.upload(rig.file(PARTS * KIB, seed=3), part_size=KIB)
    path = rig.file(PARTS * KIB)
    if again:
        rig.mock.faults.add(Fault("completeUpload", "close"))
    rig.mock.faults.add(Fault("completeUpload", "lost_answer"))
    rig.assert_whole(rig.upload(path, part_size=KIB, if_exists="overwrite"), path)
    assert rig.calls["startUpload"] == 2


@pytest.mark.parametrize(
    "keep", [("id",), ("id", "size"), ("id", "name", "project"), ("id", "size", "name", "project", "href")]
)
@pytest.mark.parametrize("size", [PARTS * KIB, PARTS * KIB - 1])
def test_completion_that_names_another_file(rig: Rig, proxy: DriftingProxy, keep: tuple[str, ...], size: int) -> None:
    """A completion with the ID of another file is an error that names that file."""
    other = rig.upload(rig.file(size, "other.bam", seed=2), part_size=KIB)
    path = rig.file(PARTS * KIB)

    def change(body: Any) -> Any:
        kept = {key: body[key] for key in keep}
        return {**kept, "id": other.file_id}

    drift(proxy, COMPLETE, change)
    with pytest.raises(IntegrityError, match=other.file_id):
        rig.upload(path, part_size=KIB)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 1},
        {"size": 0},
        {"name": "other.bam"},
        {"project": "me/other"},
        {"project": "other/study"},
        {"size": PARTS * KIB, "name": "SAMPLE.bam"},
        {"id": "0" * 24},
        {"id": 7},
    ],
)
def test_completion_that_describes_another_file_is_checked(
    rig: Rig, proxy: DriftingProxy, wrong: dict[str, Any]
) -> None:
    """If a completion describes another file, the file itself is requested, and it decides."""
    path = rig.file(PARTS * KIB)
    drift(proxy, COMPLETE, lambda body: {**body, **wrong})
    rig.assert_whole(rig.upload(path, part_size=KIB), path)


# Resumes


@pytest.mark.parametrize("answer", ["html", "bad_json"])
def test_resume_without_a_readable_answer(rig: Rig, answer: str) -> None:
    """If the answer to getUpload cannot be read, the upload resumes from the journal."""
    path = rig.file(PARTS * KIB)
    begin(rig, path)
    rig.mock.faults.add(Fault("getUpload", answer))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == PARTS * KIB
    assert rig.calls["startUpload"] == 1


@pytest.mark.parametrize(
    "failed", [Fault("completeUpload", "close"), Fault("completeUpload", "status", status=409, code=8007)]
)
def test_completion_without_a_readable_answer(rig: Rig, failed: Fault) -> None:
    """After a completion without effect, a success of getUpload that cannot be read means that the upload is open."""
    path = rig.file(PARTS * KIB)
    rig.mock.faults.add(failed, Fault("getUpload", "html", times=None))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["startUpload"] == 1


def listed_by_command(rig: Rig, *options: str) -> str:
    """The output of `cavatica uploads list --mine`."""
    environment = {
        **os.environ,
        "SB_AUTH_TOKEN": rig.mock.token,
        "SB_API_ENDPOINT": rig.mock.base_url,
        "CAVATICA_STATE_DIR": str(rig.state),
    }
    words = [sys.executable, "-m", "cavatica_upload", "uploads", "list", "--mine", *options]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


def test_upload_whose_abort_is_refused_is_not_forgotten(rig: Rig) -> None:
    """An upload that could not be aborted is listed, aborted by later runs, and never resumed."""
    path = rig.file(PARTS * KIB)
    begin(rig, path)
    (first,) = (upload["upload_id"] for upload in rig.mock.uploads())
    path.write_bytes(rig.file(PARTS * KIB, "new", seed=2).read_bytes())
    rig.mock.faults.add(Fault("abortUpload", "status", status=403, code=8001, times=2))
    rig.assert_whole(rig.upload(path, part_size=KIB, changed="restart"), path)
    assert f"cavatica uploads abort {first}" in notices(rig)
    assert json.loads(listed_by_command(rig, "--json"))["upload_id"] == first
    assert "could not be aborted" in listed_by_command(rig)
    for seed, left in ((3, {first}), (4, set())):
        path.write_bytes(rig.file(PARTS * KIB, "new", seed=seed).read_bytes())
        rig.assert_whole(rig.upload(path, part_size=KIB, if_exists="overwrite"), path)
        assert {upload["upload_id"] for upload in rig.mock.uploads()} == left
    assert listed_by_command(rig) == ""


def test_stream_whose_abort_is_refused_names_its_upload(rig: Rig) -> None:
    """If the upload of a stream cannot be aborted, the error names it."""
    rig.mock.faults.add(Fault("putPart", "status", status=400, times=None))
    rig.mock.faults.add(Fault("abortUpload", "status", status=403, code=8001, times=None))
    with pytest.raises(CavaticaError):
        rig.upload(io.BytesIO(bytes(PARTS * KIB)), name="sample.bam", part_size=KIB)
    (left,) = rig.mock.uploads()
    assert f"cavatica uploads abort {left['upload_id']}" in notices(rig)
