"""`cavatica upload`, as its users call it."""

import json
import os
import shlex
import signal
import threading
from collections.abc import Iterator
from typing import IO, Any

import pytest
from cli_machine import PROJECT, Machine
from drifting_proxy import Drift, DriftingProxy, Gate

from cavatica_mock import Fault, MockServer

TO = ("--project", PROJECT)
GIB = 1 << 30


def test_a_file_arrives_whole_and_its_id_and_path_are_printed(machine: Machine) -> None:
    """A file arrives whole with three calls, and standard output has its ID and path."""
    machine.file("a.bam", bytes(range(256)) * 9)
    ended = machine.run("upload", "a.bam", *TO)
    assert ended.code == 0
    (file,) = machine.mock.files()
    assert ended.out == f"{file['id']}\ta.bam\n"
    assert machine.remote() == {"a.bam": bytes(range(256)) * 9}
    assert machine.mock.calls == {"startUpload": 1, "getPartUrl": 1, "completeUpload": 1, "putPart": 1}
    assert "verified" in ended.err
    assert "Uploaded 1 file" in ended.err


def test_the_same_command_again_sends_nothing(machine: Machine) -> None:
    """An unchanged file is reported again and not sent again, with any --if-exists."""
    machine.file("a.bam")
    first = machine.call("upload", "a.bam", *TO, "--overwrite")
    again = machine.call("upload", "a.bam", *TO, "--overwrite")
    assert (again.code, again.out) == (0, first.out)
    assert machine.mock.calls["startUpload"] == 1
    assert "1 already there" in again.err


def test_a_touched_or_deleted_file_is_checked_again(machine: Machine) -> None:
    """A file with only a new time is recognised by its MD5s; a file deleted on the platform is sent again."""
    place = machine.file("a.bam")
    machine.call("upload", "a.bam", *TO)
    place.write_bytes(place.read_bytes())
    assert machine.call("upload", "a.bam", *TO).code == 0
    assert machine.mock.calls["startUpload"] == 1
    machine.mock.reset()
    assert machine.run("upload", "a.bam", *TO).code == 0
    assert machine.remote() == {"a.bam": b"ACGT\n"}


def test_what_to_do_when_the_name_is_taken(machine: Machine) -> None:
    """A taken name fails with a hint, is skipped, renamed or overwritten."""
    machine.file("a.bam", b"old")
    machine.call("upload", "a.bam", *TO, "-q")
    machine.file("a.bam", b"new!")
    refused = machine.run("upload", "a.bam", *TO)
    assert refused.code == 1
    assert "a.bam: A file with this name already exists.\nWith “cavatica upload”, use --if-exists" in refused.err
    skipped = machine.call("upload", "a.bam", *TO, "--if-exists", "skip")
    assert (skipped.code, skipped.out) == (0, "")
    assert "1 skipped" in skipped.err
    assert machine.call("upload", "a.bam", *TO, "--if-exists", "rename").code == 0
    assert machine.remote() == {"a.bam": b"old", "_1_a.bam": b"new!"}
    assert machine.call("upload", "a.bam", *TO, "--overwrite").code == 0
    assert machine.remote() == {"a.bam": b"new!", "_1_a.bam": b"new!"}


def test_standard_input_needs_a_name_and_arrives(machine: Machine) -> None:
    """A stream is uploaded under --name; without it nothing is started."""
    data = b"@read\nACGT\n" * 1000
    assert machine.run("upload", "-", *TO, data=data).code == 2
    ended = machine.run("upload", "-", *TO, "--name", "s.fastq", "--quiet", data=data)
    assert (ended.code, ended.err) == (0, "")
    assert machine.remote() == {"s.fastq": data}


def test_a_tree_keeps_its_folders(machine: Machine) -> None:
    """Each folder of a tree is made once; names with control characters arrive unchanged and are printed escaped."""
    files = {"run/a.bam": b"1", "run/x/b.bam": b"2", "run/x/y/[bold]c\x1b[31m\n.txt": b"3", "run/x/skip.log": b"4"}
    for path, content in files.items():
        machine.file(path, content)
    (machine.home / "run/x/up").symlink_to("..")
    command = ("upload", "run", "-r", "--project", f"{PROJECT}/batch", "--exclude", "*.log")
    ended = machine.run(*command)
    assert ended.code == 0
    assert machine.remote() == {f"batch/{path}": content for path, content in files.items() if "skip" not in path}
    assert "\x1b" not in ended.out + ended.err
    assert "run/x/y/[bold]c\\x1b[31m\\n.txt" in ended.out
    assert "run/x/up leads back" in ended.err
    assert machine.mock.calls["createFolder"] == 4
    made = machine.mock.calls.copy()
    again = machine.call(*command)
    assert again.code == 0
    assert sorted(again.out.splitlines()) == sorted(ended.out.splitlines())
    assert machine.mock.calls["createFolder"] == made["createFolder"]
    assert machine.mock.calls["startUpload"] == made["startUpload"]


def test_metadata_of_a_manifest_is_set(machine: Machine) -> None:
    """All files of a manifest get their metadata in one call, and the manifest takes precedence over the options."""
    machine.file("m.csv", b"file,sample,lane\r\nd/a.bam,S1,\r\nb.bam,S2,7\r\n")
    machine.file("d/a.bam")
    machine.file("b.bam")
    ended = machine.run("upload", "--manifest", "m.csv", *TO, "--metadata", "lane=1", "--tag", "t")
    assert ended.code == 0
    files = {file["name"]: file for file in machine.mock.files()}
    assert files["a.bam"]["metadata"] == {"sample": "S1", "lane": "1"}
    assert files["b.bam"]["metadata"] == {"sample": "S2", "lane": "7"}
    assert files["b.bam"]["tags"] == ["t"]
    assert machine.mock.calls["editFiles"] == 1


def test_metadata_that_could_not_be_set_is_set_by_the_next_run(machine: Machine) -> None:
    """If a run dies before it sets the metadata, the same command sets it without sending the file again."""
    machine.file("a.bam")
    machine.mock.faults.add(Fault("editFiles", "status", status=400, code=90000))
    command = ("upload", "a.bam", *TO, "--metadata", "sample=S1")
    failed = machine.call(*command)
    assert failed.code == 1
    assert "without its metadata" in failed.err
    assert machine.run(*command).code == 0
    (file,) = machine.mock.files()
    assert file["metadata"] == {"sample": "S1"}
    assert machine.mock.calls["startUpload"] == 1


def test_a_failed_file_does_not_stop_the_others(machine: Machine) -> None:
    """If two of four files fail, the others arrive, and the summary gives the reason of each."""
    for name in ("a", "b", "c", "d"):
        machine.file(f"{name}.bam", name.encode() * 10)
    machine.mock.faults.add(Fault("startUpload", "status", status=400, code=8013))
    machine.mock.faults.add(Fault("completeUpload", "status", status=404, code=8003, after=1))
    ended = machine.run("upload", "a.bam", "b.bam", "c.bam", "d.bam", *TO, "--json")
    assert ended.code == 1
    run = ended.event("run_finished")
    assert (run["uploaded"], run["failed"], run["exit_code"]) == (len(machine.remote()), 4 - len(machine.remote()), 1)
    assert f"{run['failed']} failed" in ended.err or run["failed"] == 1
    for failure in run["failures"]:
        assert failure["error"]["message"] in ended.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("upload", *TO), 2, "nothing to upload"),
        (("upload", "a.bam"), 2, "--project owner/name"),
        (("upload", "a.bam", "--project", "rna-pilot"), 2, "owner/name"),
        (("upload", "a.bam", *TO, "--parent", "5bd7c53ee4b04b8fb1a9f63d"), 2, "not both"),
        (("upload", "none.bam", "d", *TO), 2, "2 problems found; nothing was uploaded."),
        (("upload", "a.bam", "d/a.bam", *TO), 2, "both become a.bam"),
        (("upload", "a.bam", *TO, "--part-size", "lots"), 2, "64MiB"),
        (("upload", "a.bam", *TO, "--metadata", "a.b=c"), 2, "“.” or “$”"),
        (("upload", "a.bam", *TO, "--metadata", "a"), 2, "Invalid value for '--metadata': 'a' is not a pair; write it"),
        (("upload", "a.bam", *TO, "--metadata", " =b"), 2, "is not a pair"),
        (("upload", "a.bam", *TO, "--shard", "3/2"), 2, "not a share"),
        (("upload", "a.bam", *TO, "--overwrite", "--if-exists", "skip"), 2, "contradict"),
        (("upload", "a.bam", *TO, "--token=0123456789abcdef"), 2, "There is no --token"),
        (("upload", "a.bam", *TO, "--token-file", "none"), 3, "cannot be read"),
        (("upload", "a.bam", *TO, "--profile", "none"), 3, "no credentials file"),
        (("upload", "a.bam", *TO, "--recursiv"), 2, "--recursive"),
        (("upload", "a.bam", "--project"), 2, "See “cavatica upload --help”."),
        (("uploads", "abort", "--older-than"), 2, "See “cavatica uploads abort --help”."),
        (("upload", *TO, "--files-from", "none"), 2, "The list none cannot be read: No such file or directory."),
        (("upload", *TO, "--manifest", "none"), 2, "The manifest none cannot be read: No such file or directory."),
        (
            ("upload", "a.bam", *TO, "--sheet", "none", "--sheet-out", "new"),
            2,
            "The sheet none cannot be read: No such file or directory.",
        ),
        (("upload", "a.bam", *TO, "--receipt", "/proc/no/"), 2, "cannot be written"),
        (("upload", "a.bam", *TO, "--log-file", "/proc/no/log"), 2, "cannot be written"),
        (("uplod", "a.bam", *TO), 2, "'upload'"),
        ((), 2, "Usage: cavatica"),
    ],
)
def test_wrong_usage_is_reported_before_anything_is_sent(
    machine: Machine, words: tuple[str, ...], code: int, says: str
) -> None:
    """Wrong usage gives one sentence and the right exit code, without an API call."""
    machine.file("a.bam")
    machine.file("d/a.bam")
    ended = machine.call(*words)
    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err
    assert "0123456789abcdef" not in ended.err
    assert not machine.mock.calls


@pytest.mark.parametrize(
    ("fault", "code", "resumable"),
    [
        (Fault("startUpload", "status", status=401, code=90001, times=None), 3, False),
        (Fault("startUpload", "status", status=404, code=3002, times=None), 3, False),
        (Fault("putPart", "no_etag", times=None), 4, True),
        (Fault("putPart", "corrupt", times=None), 5, True),
    ],
    ids=lambda value: f"{value.on}-{value.then}" if isinstance(value, Fault) else str(value),
)
def test_the_exit_code_says_what_failed(machine: Machine, fault: Fault, code: int, resumable: bool) -> None:
    """Token, storage and integrity have their own exit codes, and the resume command is shown if it helps."""
    machine.file("it's a.bam")
    machine.mock.faults.add(fault)
    ended = machine.run("upload", "it's a.bam", *TO)
    assert (ended.code, ended.out) == (code, "")
    assert machine.remote() == {}
    (again,) = [line for line in ended.err.splitlines() if line.startswith("To resume")] or [None]
    assert (again is not None) == resumable
    if again is not None:
        assert shlex.split(again.partition(": ")[2]) == ["cavatica", "upload", "it's a.bam", *TO]


def lines(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    for line in stream:
        yield json.loads(line)


@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGINT, 1), (signal.SIGINT, 2)]
    + [(number, 1) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU)],
)
def test_an_interrupted_run_shows_a_command_that_resumes(machine: Machine, number: signal.Signals, times: int) -> None:
    """An interrupted run exits with 130, and the command that it shows sends only what is missing."""
    machine.file("a.bam", bytes(1_000_000))
    machine.mock.faults.add(Fault("putPart", "stall", times=None, after=2))
    within = "1s" if times == 1 else "1h"  # that the second signal ends
    words = ("--part-size", "100000", "--jobs", "2", "--stop-within", within, "--json")
    process = machine.start("upload", "a.bam", *TO, *words)
    assert process.stdout is not None
    assert process.stderr is not None
    events = lines(process.stdout)
    for _ in range(2):
        next(event for event in events if event["event"] == "part_sent")
    process.send_signal(number)
    if times > 1:
        assert b"Ctrl-C again" in process.stderr.readline()
        process.send_signal(number)
    last = list(events)[-1]
    assert process.wait() == 130
    process.stdout.close()
    process.stderr.close()
    assert (last["event"], last["interrupted"], last["exit_code"]) == ("run_finished", 1, 130)
    machine.mock.faults.clear()
    before = machine.mock.bytes_received
    _, *words = shlex.split(last["resume"])
    ended = machine.run(*words)
    assert ended.code == 0
    started = ended.event("upload_started")
    assert started["resumed_parts"] >= 2
    assert machine.mock.bytes_received - before == 1_000_000 - started["resumed_bytes"]
    assert machine.remote() == {"a.bam": bytes(1_000_000)}


@pytest.mark.parametrize(
    ("size", "options", "parts", "said"),
    [
        (500 * GIB, [], 1000, ""),
        (500 * GIB, ["--expected-rate", "50MiB"], 1000, "At 50.0 MiB/s the bytes take 2 h 50 min."),
        (500 * GIB, ["--expected-rate", "2GiB/s"], 832, "At 2.00 GiB/s the bytes take 4 min 10 s."),
        (
            1200 * GIB,
            ["--expected-rate", "8GiB"],
            1200,
            (
                "At 8.00 GiB/s the bytes take 2 min 30 s: API calls, not bytes, are the limit; "
                "a larger --part-size needs fewer."
            ),
        ),
    ],
)
def test_a_dry_run_says_whether_calls_are_the_limit(
    machine: Machine, size: int, options: list[str], parts: int, said: str
) -> None:
    """A dry run plans parts for the expected rate, and says if calls take longer than bytes."""
    with machine.file("a.bam").open("r+b") as file:
        file.truncate(size)
    command = ("upload", "a.bam", *TO, "--dry-run", *options)
    assert machine.call(*command, "--json").event("plan")["parts"] == parts
    last = machine.call(*command).out.splitlines()[-1]
    assert last == said if said else "with the rate limit" in last


def test_a_dry_run_checks_and_starts_nothing(machine: Machine) -> None:
    """A dry run shows files, parts, calls and new folders, finds problems, and starts nothing."""
    machine.file("run/a.bam", bytes(1000))
    machine.file("run/x/b.bam", bytes(500))
    command = ("upload", "run", "-r", *TO, "--part-size", "400", "--dry-run")
    plan = machine.run(*command, "--json")
    assert plan.code == 0
    totals = plan.event("plan")
    assert {key: totals[key] for key in ("files", "bytes", "parts", "folders_to_make", "least_seconds")} == {
        "files": 2,
        "bytes": 1500,
        "parts": 5,
        "folders_to_make": 2,
        "least_seconds": 0.0,
    }
    assert not machine.mock.files()
    assert machine.mock.calls["startUpload"] == 0
    machine.call("upload", "run", "-r", *TO, "-q")
    machine.file("run/a.bam", bytes(1001))
    taken = machine.call(*command)
    assert taken.code == 2
    assert "run/a.bam: the name a.bam is taken at run" in taken.err
    assert "already uploaded by an earlier run" in taken.out


def test_a_dry_run_resumes_what_a_run_would(machine: Machine) -> None:
    """A file that was only touched is resumed, one of another size has changed, and other files do not matter."""
    path = machine.file("a.bam", bytes(300))
    machine.mock.faults.add(Fault("putPart", "no_etag", part=2, times=None))
    command = ("upload", *TO, "--part-size", "200")
    machine.call(*command, "a.bam", "--retry-for", "1s")
    os.utime(path)
    assert machine.call(*command, "a.bam", "--dry-run", "--json").event("planned")["state"] == "resume"
    machine.file("b/a.bam", bytes(301))
    assert machine.call(*command, "b/a.bam", "--dry-run", "--json").event("planned")["state"] == "new"
    path.write_bytes(bytes(301))
    changed = machine.call(*command, "a.bam", "--dry-run")
    assert (changed.code, changed.out.count("changed since its upload started")) == (2, 1)
    assert "--yes aborts that upload and starts a new one" in changed.err


def test_shares_cover_a_batch(machine: Machine) -> None:
    """Two shards upload every file once, and a Slurm task takes its own shard."""
    for number in range(5):
        machine.file(f"f/{number}.bam", bytes(1000 * number))
    command = ("upload", "f/", "-r", *TO, "--json")
    one = machine.call(*command, "--shard", "1/2")
    assert 1 <= len(machine.remote()) < 5
    slurm = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "1"}
    two = machine.run(*command, "--shard=slurm", env=slurm)
    assert (one.code, two.code) == (0, 0)
    assert two.event("run_started")["shard"] == "2/2"
    assert machine.remote() == {f"{number}.bam": bytes(1000 * number) for number in range(5)}
    assert machine.mock.calls["startUpload"] == 5


def test_a_closed_output_does_not_stop_the_upload(machine: Machine) -> None:
    """`cavatica upload … | head -0` uploads the file."""
    machine.file("a.bam")
    machine.file("b.bam", b"b")
    process = machine.start("upload", "a.bam", "b.bam", *TO)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert len(machine.remote()) == 2


def test_the_keys_of_json_are_as_documented(machine: Machine) -> None:
    """The keys of --json do not change, since scripts depend on them."""
    machine.file("a.bam", bytes(300))
    ended = machine.call("upload", "a.bam", *TO, "--json", "--part-size", "100")
    keys = {"progress": ["bytes_per_second", "file", "sent", "size"]}  # only of an upload that takes a second
    keys |= {event["event"]: sorted(event.keys() - {"event", "time"}) for event in ended.events}
    assert keys == {
        "progress": ["bytes_per_second", "file", "sent", "size"],
        "run_started": ["bytes", "destination", "files", "shard"],
        "upload_started": ["file", "part_size", "parts", "resumed_bytes", "resumed_parts", "size", "upload_id"],
        "part_sent": ["file", "number", "seconds", "size"],
        "upload_completed": ["file", "file_id", "name", "parent", "project", "receipt", "size", "verified"],
        "run_finished": [
            "already_there", "bytes", "bytes_sent", "described", "exit_code", "failed", "failures", "files",
            "interrupted", "kept_bytes", "kept_parts", "resume", "seconds", "skipped", "skipped_different", "uploaded",
        ],
    }  # fmt: skip
    assert all(event["time"].endswith("Z") for event in ended.events)


def test_the_log_file_has_all_but_the_secrets(machine: Machine) -> None:
    """The log has parts and calls with times, and neither the token nor a signature."""
    machine.file("a.bam")
    machine.call("upload", "a.bam", *TO, "-q", "--log-file", "u.log")
    log = (machine.home / "u.log").read_text()
    assert "a.bam: part 1 sent" in log
    assert machine.mock.token not in log
    assert "ignature" not in log


def test_a_token_file_and_a_profile_do_for_the_environment(machine: Machine) -> None:
    """The token may come from a token file or a profile."""
    machine.file("token", machine.mock.token.encode() + b"\n")
    machine.file("a.bam")
    machine.file(
        ".sevenbridges/credentials",
        f"[mine]\napi_endpoint = {machine.mock.base_url}\nauth_token = {machine.mock.token}\n".encode(),
    )
    none = {"SB_AUTH_TOKEN": ""}
    assert machine.run("upload", "a.bam", *TO, "--token-file", "token", env=none).code == 0
    assert machine.call("upload", "a.bam", *TO, "--profile", "mine", "--name", "b.bam", env=none).code == 0
    assert sorted(machine.remote()) == ["a.bam", "b.bam"]


def test_a_project_that_is_not_there(tmp_path: Any) -> None:
    """A project that the token cannot see is reported in words."""
    with MockServer(projects=[PROJECT]) as mock:
        machine = Machine(mock, tmp_path)
        machine.file("a.bam")
        ended = machine.call("upload", "a.bam", "--project", "mlin/other")
    assert ended.code == 3
    assert "Check --project" in ended.err


def test_a_file_uploaded_by_another_process_is_recognised(machine: Machine) -> None:
    """Two processes with the same file upload it once: one waits for the other."""
    machine.file("a.bam", bytes(300_000))
    gate = Gate()
    with DriftingProxy(machine.mock.base_url) as proxy:
        proxy.drift = Drift("GET", "/upload/multipart/{upload_id}/part/{part_number}", gate)
        env = {"SB_API_ENDPOINT": proxy.base_url}
        first = machine.start("upload", "a.bam", *TO, "--json", env=env)
        assert first.stdout is not None
        next(event for event in lines(first.stdout) if event["event"] == "upload_started")
        busy = machine.call("upload", "a.bam", *TO, env=env)
        assert (busy.code, "--wait" in busy.err) == (1, True)
        threading.Timer(0.5, gate.open).start()  # at about the same time as the next command starts to wait
        second = machine.run("upload", "a.bam", *TO, "--wait", env=env)
        out, _ = first.communicate()
    (file,) = machine.mock.files()
    assert second.out == f"{file['id']}\ta.bam\n"
    assert (first.returncode, second.code) == (0, 0), out
