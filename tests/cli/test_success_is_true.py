"""A reported success is true, with any server, file or pipe."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from cli_machine import PROJECT, Machine
from drifting_proxy import Drift, DriftingProxy, Gate, Reply, in_json

TO = ("--project", PROJECT)
START = ("POST", "/upload/multipart")
COMPLETE = ("POST", "/upload/multipart/{upload_id}/complete")


def through(machine: Machine, at: tuple[str, str], change: Callable[[Reply], None], *words: str, **more: Any) -> Any:
    """Run a command against a server whose answers to one operation are changed."""
    with DriftingProxy(machine.mock.base_url) as proxy:
        proxy.drift = Drift(*at, change)
        ended = machine.run(*words, env={"SB_API_ENDPOINT": proxy.base_url}, **more)
        assert proxy.changed
        return ended


def with_key(key: str, value: object) -> Callable[[Reply], None]:
    return in_json(lambda body: body | {key: value})


# Answers


@pytest.mark.parametrize(
    ("source", "value"),
    [("a.bam", 1), *((source, value) for source in ("a.bam", "-") for value in (0, -1, 5 * 1024**3 + 1, 10**30))],
)
def test_impossible_part_sizes_are_errors(machine: Machine, source: str, value: int) -> None:
    """An impossible part size from the server is an error; nothing is completed or left open."""
    data = os.urandom(20_000)
    machine.file("a.bam", data)
    with DriftingProxy(machine.mock.base_url) as proxy:
        proxy.drift = Several(with_key("part_size", value), START, ("GET", "/upload/multipart/{upload_id}"))
        words = ("upload", source, "--name", "s", *TO)
        ended = machine.run(*words, env={"SB_API_ENDPOINT": proxy.base_url}, data=data if source == "-" else None)
    assert ended.code not in (0, 70), ended.err
    assert machine.remote() == {}


@pytest.mark.parametrize("value", [0, -1, 10**30])
def test_part_size_that_only_the_start_has_wrong(machine: Machine, value: int) -> None:
    """If only the answer to the start has a wrong part size, that of the upload is used."""
    path = machine.file("a.bam", os.urandom(20_000))
    assert through(machine, START, with_key("part_size", value), "upload", "a.bam", *TO).code == 0
    assert machine.remote() == {"a.bam": path.read_bytes()}


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "other.bam"), ("size", 7), ("size", 0), ("project", "mlin/other"), ("parent", "f" * 24)],
)
def test_completion_that_names_another_file_is_checked(machine: Machine, key: str, value: object) -> None:
    """If a completion names another file, it is an error unless the right file is on the platform."""
    machine.file("a.bam", b"ACGT")
    ended = through(machine, COMPLETE, with_key(key, value), "upload", "a.bam", *TO)
    assert ended.code == 0, ended.err
    machine.mock.reset()

    machine.file("b.bam", b"ACGT")
    with DriftingProxy(machine.mock.base_url) as proxy:
        proxy.drift = Several(with_key(key, value), COMPLETE, ("GET", "/files/{file_id}"))
        ended = machine.run("upload", "b.bam", *TO, env={"SB_API_ENDPOINT": proxy.base_url})
    if key == "parent":  # the ID of a project's root folder is unknown
        return
    assert ended.code == 5, ended.err
    assert str(value) in ended.err


class Several(Drift):
    """Changes of the answers to several operations."""

    def __init__(self, change: Callable[[Reply], None], *operations: tuple[str, str]) -> None:
        super().__init__(*operations[0], change)
        object.__setattr__(self, "also", [Drift(*at, change) for at in operations[1:]])

    def fits(self, method: str, path: str) -> bool:
        return super().fits(method, path) or any(drift.fits(method, path) for drift in self.also)  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"<html>", b'{"id": 7}', b'{"id": null}'])
def test_completion_that_says_nothing_is_success(machine: Machine, body: bytes) -> None:
    """If a completion (2xx) names no file, the file is found by its name."""
    machine.file("a.bam", b"ACGT")

    def change(reply: Reply) -> None:
        reply.body = body

    ended = through(machine, COMPLETE, change, "upload", "a.bam", *TO)
    assert ended.code == 0, ended.err
    (file,) = machine.mock.files()
    assert ended.out.startswith(file["id"])
    assert "verified" in ended.err


# Files


@pytest.mark.parametrize("change", ["grow", "cut", "rewrite"])
def test_a_file_changed_while_it_goes_up_is_exit_code_5(machine: Machine, change: str) -> None:
    """A file that grows, shrinks or changes during its upload gives exit code 5, one sentence and a true hint."""
    path, gate = machine.file("a.bam", os.urandom(300_000)), Gate(first=1)
    with DriftingProxy(machine.mock.base_url) as proxy:
        proxy.drift = Drift("GET", "/upload/multipart/{upload_id}/part/{part_number}", gate)
        env = {"SB_API_ENDPOINT": proxy.base_url}
        process = machine.start("upload", "a.bam", *TO, "--part-size", "100000", "--json", env=env)
        assert process.stdout is not None
        assert any(b'"part_sent"' in line for line in process.stdout)
        before = path.stat()
        with path.open("r+b") as file:
            if change == "cut":
                file.truncate(1000)
            elif change == "grow":
                file.seek(0, os.SEEK_END)
                file.write(b"more")
            else:
                file.write(os.urandom(300_000))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        gate.open()
        _, err = process.communicate()
        assert process.returncode == 5, err
        assert b"--yes" in err
        assert machine.run("upload", "a.bam", *TO, env=env).code == 5
        assert machine.run("upload", "a.bam", *TO, "--yes", env=env).code == 0
    assert machine.remote() == {"a.bam": path.read_bytes()}


def test_a_file_of_size_zero_is_read(machine: Machine) -> None:
    """Files of /proc, whose size is 0, are uploaded with their content."""
    assert machine.run("upload", "/proc/version", *TO).code == 0
    assert machine.remote() == {"version": Path("/proc/version").read_bytes()}


def test_skipped_files_that_differ_are_reported(machine: Machine) -> None:
    """Skipped files that differ are reported in a message, in the summary, and with a key of --json."""
    machine.file("a.bam", b"old")
    machine.call("upload", "a.bam", *TO)
    machine.file("a.bam", b"other")
    ended = machine.run("upload", "a.bam", *TO, "--if-exists", "skip", "--json")
    assert ended.code == 0
    assert ended.event("upload_skipped")["different"] is True
    run = ended.event("run_finished")
    assert (run["skipped"], run["skipped_different"]) == (1, 1)
    said = machine.run("upload", "a.bam", *TO, "--if-exists", "skip").err
    assert "A different file a.bam is there already" in said
    assert "different" in said.splitlines()[-1]


# Streams


PRODUCER = "import time; out = open(1, 'wb'); out.write(b'x' * 200_000); out.flush(); time.sleep(3600)"
"""It writes everything also with PYTHONUNBUFFERED, with which sys.stdout.buffer gives up the rest after a signal."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pipeline_that_is_stopped_completes_nothing(machine: Machine, number: signal.Signals) -> None:
    """A signal to a whole pipeline ends the stream, and the upload is not completed."""
    with subprocess.Popen([sys.executable, "-c", PRODUCER], stdout=subprocess.PIPE, process_group=0) as producer:
        assert producer.stdout is not None
        words = ("upload", "-", "--name", "s", *TO, "--part-size", "100000")
        process = machine.start(*words, stdin=producer.stdout, process_group=producer.pid)
        producer.stdout.close()
        while machine.mock.calls["putPart"] < 1:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(producer.pid, number)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert (machine.remote(), machine.mock.uploads()) == ({}, [])


def test_an_empty_standard_input_is_an_error_unless_allowed(machine: Machine) -> None:
    """Empty standard input is an error unless it is allowed, since its producer may have failed."""
    ended = machine.run("upload", "-", "--name", "s", *TO, data=b"")
    assert (ended.code, machine.remote()) == (1, {})
    assert "--allow-empty" in ended.err
    assert machine.run("upload", "-", "--name", "s", *TO, "--allow-empty", data=b"").code == 0
    assert machine.remote() == {"s": b""}


@pytest.mark.parametrize("words", [("--expect-size", "4"), ("--expect-size", "6"), ("--expect-md5", "0" * 32)])
@pytest.mark.parametrize("source", ["-", "a.bam"])
def test_what_is_expected_must_match(machine: Machine, words: tuple[str, ...], source: str) -> None:
    """A stream or file that differs from --expect-size or --expect-md5 gives exit code 5, and nothing is completed."""
    machine.file("a.bam", b"ACGT\n")
    data = b"ACGT\n" if source == "-" else None
    ended = machine.run("upload", source, "--name", "s", *TO, *words, data=data)
    assert ended.code == 5, ended.err
    assert machine.remote() == {}
    good = ("--expect-size", "5", "--expect-md5", md5(b"ACGT\n").hexdigest())
    assert machine.run("upload", source, "--name", "s", *TO, *good, data=data).code == 0
    assert machine.remote() == {"s": b"ACGT\n"}


def test_the_help_says_what_cannot_be_known(machine: Machine) -> None:
    """The help says that a failure of the stream's producer cannot be detected."""
    ended = machine.call("upload", "--help")
    assert "pipefail" in ended.out
    assert "--expect-size" in ended.out
