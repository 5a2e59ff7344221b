"""The Python interface for scripts: destinations, metadata, mistakes, help."""

import asyncio
import gc
import inspect
import io
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest
from engine_rig import PROJECT, QUICK, Rig

import cavatica_upload
from cavatica_client import AuthenticatedClient
from cavatica_mock import Fault
from cavatica_upload import (
    CavaticaError,
    Destination,
    Uploader,
    UploadRequest,
    UsageError,
    connect,
    requests_for,
    upload,
    upload_async,
)
from cavatica_upload.errors import Forbidden
from cavatica_upload.events import UploadCompleted, UploadFailed, UploadSkipped


def options(rig: Rig) -> dict[str, object]:
    """The arguments of each call."""
    return {"token": rig.mock.token, "endpoint": rig.mock.base_url, "state_dir": rig.state}


def entries(rig: Rig, kind: str) -> dict[str, dict[str, object]]:
    """The files or the folders on the server, by name."""
    return {str(file["name"]): file for file in rig.mock.files() if file["type"] == kind}


def test_a_path_of_folders(rig: Rig) -> None:
    """“owner/name/run-7/reads” makes each missing folder once, and the file is in the last one."""
    first = upload(rig.file(10, "a.bam"), f"{PROJECT}/run-7/reads", **options(rig))  # type: ignore[call-overload]
    second = upload(rig.file(10, "b.bam"), f"{PROJECT}/run-7/reads", **options(rig))  # type: ignore[call-overload]
    folders = entries(rig, "folder")
    assert set(folders) == {"run-7", "reads"}
    assert folders["reads"]["parent"] == folders["run-7"]["id"]
    assert {first.parent, second.parent} == {folders["reads"]["id"]}


def test_folders_for_many(rig: Rig) -> None:
    """Requests of one run share the folders, and one whose folder cannot be made fails alone."""
    rig.upload(rig.file(10, "taken"))
    requests = [
        UploadRequest(source=rig.file(10, f"{number}.bam"), destination=f"{PROJECT}/run/{place}")
        for number, place in enumerate(["x", "y", "x"])
    ]
    requests.insert(1, UploadRequest(source=rig.file(10, "lost.bam"), destination=f"{PROJECT}/taken"))
    with rig.uploader() as uploader:
        outcomes = {Path(outcome.request.key).name: outcome for outcome in uploader.upload_many(requests)}
    assert {name for name, outcome in outcomes.items() if outcome.receipt} == {"0.bam", "1.bam", "2.bam"}
    assert isinstance(outcomes["lost.bam"].error, CavaticaError)
    assert set(entries(rig, "folder")) == {"run", "x", "y"}
    assert rig.calls["createFolder"] == 3


def test_metadata_and_tags(rig: Rig) -> None:
    """Metadata and tags are set on a new file, and on one that is already there."""
    path = rig.file(10)
    rig.upload(path, metadata={"sample_id": "s1"}, tags=["pilot"])
    rig.upload(path, metadata={"lane": "2"})
    file = entries(rig, "file")[path.name]
    assert file["metadata"] == {"sample_id": "s1", "lane": "2"}
    assert file["tags"] == ["pilot"]
    assert rig.mock.bytes_received == 10


def test_metadata_that_could_not_be_set(rig: Rig) -> None:
    """A file whose metadata could not be set is an error that says so, and the same call sets it."""
    path = rig.file(10)
    rig.mock.faults.add(Fault("editFiles", "status", status=403, code=5001))
    with pytest.raises(CavaticaError, match=r"is uploaded .* without its metadata: Setting metadata failed"):
        rig.upload(path, metadata={"sample_id": "s1"})
    rig.upload(path, metadata={"sample_id": "s1"})
    assert entries(rig, "file")[path.name]["metadata"] == {"sample_id": "s1"}


def test_a_folder_and_a_manifest(rig: Rig) -> None:
    """`requests_for` accepts folders and manifests, and metadata costs one call for many files."""
    folder = rig.folder / "run-7"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.bam", "sub/b.bam"):
        (folder / name).write_bytes(name.encode())
    (rig.folder / "c.bam").write_bytes(b"c")
    (rig.folder / "list.csv").write_text("path,lane\nc.bam,2\n")
    requests = requests_for(
        folder,
        destination=f"{PROJECT}/runs",
        manifest=rig.folder / "list.csv",
        metadata={"sample_id": "s1", "lane": "1"},
        tags=["pilot"],
    )
    with rig.uploader() as uploader:
        assert all(outcome.receipt and not outcome.error for outcome in uploader.upload_many(requests))
    files, folders = entries(rig, "file"), entries(rig, "folder")
    assert {name: files[name]["metadata"] for name in files} == {
        "a.bam": {"sample_id": "s1", "lane": "1"},
        "b.bam": {"sample_id": "s1", "lane": "1"},
        "c.bam": {"sample_id": "s1", "lane": "2"},
    }
    assert [files[name]["parent"] for name in ("a.bam", "b.bam", "c.bam")] == [
        folders[name]["id"] for name in ("run-7", "sub", "runs")
    ]
    assert rig.calls["editFiles"] <= 3


def test_what_is_wrong_with_a_folder(rig: Rig) -> None:
    """All problems of a folder are reported together, and nothing is sent."""
    with pytest.raises(UsageError, match=r"nowhere.bam.*gone.bam"):
        requests_for(rig.folder / "nowhere.bam", rig.folder / "gone.bam", destination=PROJECT)
    with pytest.raises(UsageError, match="'nope' is not a project"):
        requests_for(rig.folder, destination="nope")
    for path in ("", None, b"a.bam", ["a.bam"]):
        with pytest.raises(UsageError, match="is not a path"):
            requests_for(path, destination=PROJECT)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"field 'a\.b'.*field '\$'"):
        requests_for(rig.folder, destination=PROJECT, metadata={"a.b": "c", "$": "d"})
    manifest = rig.folder / "list.csv"
    manifest.write_text('path\n"a.bam\n')
    with pytest.raises(UsageError, match=r"list\.csv has 1 problem.*Line 2: a quoted cell"):
        requests_for(destination=PROJECT, manifest=manifest)


def test_what_is_no_list_of_requests(rig: Rig) -> None:
    """upload_many() reports arguments that are no requests, and a closed uploader."""
    request = UploadRequest(source=rig.file(10), destination=PROJECT)
    with rig.uploader() as uploader:
        for wrong in (None, "a.bam", request, ["a.bam"], [None]):
            with pytest.raises(UsageError, match="upload_many"):
                list(uploader.upload_many(wrong))  # type: ignore[arg-type]
        assert [outcome.error for outcome in uploader.upload_many([request])] == [None]
    with pytest.raises(UsageError, match="This Uploader is closed"):
        list(uploader.upload_many([request]))
    with pytest.raises(UsageError, match="This Uploader is closed"):
        uploader.upload(rig.file(10), PROJECT)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"destination": "nope"}, "'nope' is not a project"),
        ({"destination": "owner/"}, "is not a project"),
        ({"destination": f"{PROJECT}/__x"}, f"'__x' in '{PROJECT}/__x' cannot be a folder"),
        ({"destination": 7}, "Expected a destination, got int"),
        ({"part_size": "64MiB"}, "part_size='64MiB' is not a number of bytes"),
        ({"part_size": 0}, "part_size=0 is not a number of bytes"),
        ({"tags": "pilot"}, "tags='pilot' is not a list of tags"),
        ({"metadata": "a=b"}, "metadata='a=b' is not a mapping"),
        ({"metadata": {"a.b": "c"}}, "“.”"),
        ({"metadata": {"a": 7}}, "is not text"),
        ({"tags": [" "]}, "A tag is empty"),
        ({"tags": [7]}, "The tag 7 is not text"),
        ({"metadata": {7: "a"}}, "field 7 is not text"),
        ({"name": 7}, "name=7 is not text"),
        ({"name": Path("a")}, "is not text"),
        ({"key": 7}, "key=7 is not text"),
        ({"resume_id": 7}, "resume_id=7 is not text"),
        ({"expect_size": "7"}, "expect_size='7' is not a number of bytes"),
        ({"expect_size": True}, "expect_size=True is not a number of bytes"),
        ({"source": ""}, "'' is not a path"),
        ({"source": b"a.bam"}, "Expected a path or a binary file, got bytes"),
        ({"source": None}, "got NoneType"),
        ({"jobs": "4"}, "jobs='4'"),
        ({"jobs": 2.5}, "jobs=2.5"),
        ({"jobs": True}, "jobs=True"),
        ({"bwlimit": "1MiB"}, "bwlimit='1MiB'"),
        ({"bwlimit": float("nan")}, "bwlimit=nan"),
        ({"expected_rate": 0}, "expected_rate=0"),
        ({"part_deadline": -1}, "part_deadline=-1: a deadline is more than 0 seconds"),
        ({"file_deadline": "1h"}, "file_deadline='1h'"),
        ({"retry_for": None}, "retry_for=None"),
        ({"stop_within": "x"}, "stop_within='x'"),
        ({"share": 0}, "share=0"),
        ({"share": 2}, "share=2"),
        ({"share": "x"}, "share='x'"),
        ({"listeners": None}, "listeners=None"),
        ({"listeners": print}, "a list of functions is needed"),
        ({"listeners": [7]}, "a list of functions is needed"),
        ({"executor": 7}, "executor=7"),
        ({"token": 5}, "token is int, and text is needed"),
        ({"token": b"secret"}, "token is bytes, and text is needed"),
        ({"endpoint": 5}, "endpoint is int"),
        ({"profile": 5}, "profile is int"),
        ({"client": 5}, "client is int"),
        ({"client": AuthenticatedClient("https://platform.invalid/v2", token="x")}, "a client made by connect"),
        ({"state_dir": 5}, "state_dir is int"),
        ({"state_dir": b"x"}, "state_dir is bytes"),
        ({"state_dir": "a\0b"}, "is not a path"),
        ({"timing": 5}, "timing is int"),
        ({"verify": "no"}, "verify is str, and True or False is needed"),
        ({"allow_http": "no"}, "allow_http is str"),
        ({"allow_empty": "no"}, "allow_empty is str"),
        ({"wait": 5}, "wait is int"),
        ({"stop_within": 10**400}, "a time is 0 seconds or more"),
    ],
)
def test_wrong_values(rig: Rig, wrong: dict[str, object], says: str) -> None:
    """A wrong value is a UsageError that names the problem, and nothing is sent."""
    given = {"source": rig.file(10), "destination": PROJECT, **options(rig), **wrong}
    with pytest.raises(UsageError, match=says):
        upload(**given)  # type: ignore[call-overload]
    assert rig.api_calls == 0


def test_a_client_of_ones_own(rig: Rig) -> None:
    """An uploader that is given a client leaves it as it was, and usable; and another one can have it next."""
    with connect(rig.mock.token, rig.mock.base_url) as client:
        for number in range(2):
            given = {"token": None, "endpoint": None, "client": client}
            path = rig.file(10, f"{number}.bam", seed=number)
            rig.assert_whole(rig.upload(path, uploader=given), path)
            assert client.get_httpx_client().event_hooks["response"] == []
            assert list(client.list_uploads()) == []


def test_help_shows_the_options() -> None:
    """`help(upload)` names every option of a file and of an uploader, with its default."""
    for function in (upload, upload_async):
        parameters = inspect.signature(function).parameters
        assert parameters.keys() >= {"if_exists", "part_size", "metadata", "tags", "digest", "token", "jobs", "verify"}
        assert "options" not in parameters
        assert parameters["if_exists"].default == "fail"
        assert parameters["verify"].default is True


@pytest.mark.parametrize(
    "one", [one for name in cavatica_upload.__all__ if attrs.has(one := vars(cavatica_upload)[name])]
)
def test_names_of_arguments_are_written_out(one: type[attrs.AttrsInstance]) -> None:
    """Editors and type checkers see each argument of a class under its name, also if it is kept under another."""
    for field in attrs.fields(one):
        assert not field.init or field.name == field.alias or f'alias="{field.alias}"' in inspect.getsource(one)


def test_with_asyncio(rig: Rig) -> None:
    """`upload_async` has the same arguments and the same result."""
    path = rig.file(10)
    receipt = asyncio.run(
        upload_async(path, f"{PROJECT}/run-7", metadata={"a": "b"}, **options(rig))  # type: ignore[call-overload]
    )
    assert rig.mock.file_bytes(receipt.file_id) == path.read_bytes()
    assert entries(rig, "file")[path.name]["metadata"] == {"a": "b"}


def test_an_upload_that_is_cancelled_as_it_begins(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the task of `upload_async` is cancelled while its Uploader is made, nothing is sent and no thread is left."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly(**options: Any) -> Uploader:
        begun.set()
        go_on.wait()
        return Uploader(**options)

    monkeypatch.setattr("cavatica_upload.public.Uploader", slowly)
    before = set(threading.enumerate())

    async def give_up() -> None:
        task = asyncio.ensure_future(upload_async(rig.file(10), PROJECT, **options(rig)))  # type: ignore[call-overload]
        await asyncio.to_thread(begun.wait)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(give_up())
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    assert set(threading.enumerate()) <= before
    assert rig.calls["startUpload"] == 0


def cohort(rig: Rig, count: int, **options: object) -> list[UploadRequest]:
    """Small files for two folders, with metadata."""
    return [
        UploadRequest(
            source=rig.file(10, f"{number:03}.txt", seed=number),
            destination=f"{PROJECT}/run/{number % 2}",
            metadata={"n": str(number)},
            **options,  # type: ignore[arg-type]
        )
        for number in range(count)
    ]


def test_a_cohort_again_costs_a_few_calls(rig: Rig) -> None:
    """Files that are already there are not sent or started, and their metadata is set a hundred at a time."""
    with rig.uploader() as uploader:
        first = {outcome.request.key: outcome.receipt for outcome in uploader.upload_many(cohort(rig, 120))}
    before = rig.calls.copy()
    for if_exists in ("fail", "skip", "overwrite", "rename"):
        with rig.uploader() as uploader:
            outcomes = list(uploader.upload_many(cohort(rig, 120, if_exists=if_exists)))
        assert [(outcome.error, bool(outcome.skipped)) for outcome in outcomes] == [(None, True)] * 120
        assert {outcome.request.key: outcome.receipt for outcome in outcomes} == first
        spent = {name: count for name, count in (rig.calls - before).items() if count}
        assert spent.keys() <= {"listFiles", "getFile", "editFiles"}
        assert sum(spent.values()) <= 16
        before = rig.calls.copy()
    assert len(rig.told(UploadSkipped)) == 4 * 120


def test_metadata_costs_a_call_for_a_hundred_files(rig: Rig) -> None:
    """The metadata of 250 files costs three calls; a file that is gone fails alone, and keeps its receipt."""
    timing = attrs.evolve(QUICK, describing=3600.0)
    with rig.uploader(timing=timing) as uploader:

        def lose(event: object) -> None:
            if isinstance(event, UploadCompleted) and event.file.endswith("007.txt"):
                uploader.api.delete_file(event.receipt.file_id)

        uploader.listen(lose)
        outcomes = list(uploader.upload_many(cohort(rig, 250)))
    assert rig.calls["editFiles"] == 3
    (failed,) = [outcome for outcome in outcomes if outcome.error]
    assert failed.receipt is not None
    assert "without its metadata" in str(failed.error)
    assert all(file["metadata"] == {"n": str(int(name[:3]))} for name, file in entries(rig, "file").items())


def test_a_lost_call_fails_the_metadata_of_its_files_only(rig: Rig) -> None:
    """If a metadata call is lost, only its files fail, and those of the next call succeed."""
    rig.mock.faults.add(Fault("editFiles", "status", status=403, code=5001))
    with rig.uploader(timing=attrs.evolve(QUICK, describing=3600.0)) as uploader:
        outcomes = list(uploader.upload_many(cohort(rig, 130)))
    assert all(outcome.receipt for outcome in outcomes)
    assert sum(outcome.error is not None for outcome in outcomes) == 100
    assert sum(bool(file["metadata"]) for file in entries(rig, "file").values()) == 30


def test_a_file_does_not_wait_for_the_metadata_of_others(rig: Rig) -> None:
    """The outcome of a small file is known while a large one is still being sent."""
    known = threading.Event()

    class Slow(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, _size: int = -1) -> bytes:
            assert known.wait(60)
            return b""

    slow = UploadRequest(source=Slow(), name="slow", destination=PROJECT, allow_empty=True)  # type: ignore[arg-type]
    ended = []
    with rig.uploader() as uploader:
        for outcome in uploader.upload_many([slow, *cohort(rig, 1)]):
            ended.append(outcome.request.name)
            known.set()
    assert ended == [None, "slow"]


def test_refused_folder_is_requested_once(rig: Rig) -> None:
    """If a folder is refused, it is requested once for all its files."""
    rig.mock.faults.add(Fault("createFolder", "status", status=403, code=5001, times=None))
    with rig.uploader() as uploader:
        outcomes = list(uploader.upload_many(cohort(rig, 50)))
    assert {type(outcome.error) for outcome in outcomes} == {Forbidden}
    assert len(outcomes) == 50
    assert rig.calls["createFolder"] <= 2
    assert len(rig.told(UploadFailed)) == 50


@pytest.mark.parametrize("wrong", [{"project": 5}, {"parent": 5}, {"project": b"a/b"}, {"project": ["a/b"]}])
def test_a_destination_of_another_type(wrong: dict[str, object]) -> None:
    """A destination of a wrong type is a UsageError."""
    with pytest.raises(UsageError, match="text is needed"):
        Destination(**wrong)  # type: ignore[arg-type]
    with connect("t", "http://127.0.0.1:9/v2") as api, pytest.raises(UsageError, match="text is needed"):
        api.find_file(next(iter(wrong.values())), "a.bam")  # type: ignore[arg-type]


def test_the_same_name_twice_in_a_run_is_no_other_process(rig: Rig) -> None:
    """If two files of a run have one name and place, the error of the second says that this run uploads it already."""
    sources = [rig.file(3 * 1024, name) for name in ("a", "b")]
    with rig.uploader() as uploader:
        requests = [UploadRequest(source=path, destination=PROJECT, name="same.bam") for path in sources]
        ended = list(uploader.upload_many(requests))
    (error,) = (outcome.error for outcome in ended if outcome.error is not None)
    assert "process is uploading" not in str(error)
