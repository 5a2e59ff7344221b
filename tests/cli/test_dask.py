"""--dask-scheduler with a Dask scheduler and workers, each a process: make test-dask."""

import contextlib
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cli_machine import PROJECT, Ended, Machine

from cavatica_mock import Fault
from cavatica_upload.cli import cluster as cluster_module

pytest.importorskip("distributed")
from distributed import Client

KIB = 1024
PARTS = 24

WITHOUT_PACKAGE = "import sys; sys.modules['cavatica_upload'] = None; "
KILLED = """
import os, signal
from cavatica_upload.sources.local import LocalFile

def dask_setup(worker):
    '''Kill this worker amid the bytes of some parts: once each, or each time.'''
    blocks, parts = LocalFile.blocks, os.environ["KILLED_AT"].split(",")
    def until_killed(self, offset, size, block):
        for data in blocks(self, offset, size, block):
            yield data[: len(data) // 2]
            number = str(offset // 65536 + 1)
            if number in parts:
                try:
                    os.close(os.open(f"killed-{number}", os.O_CREAT | os.O_EXCL))
                    os.kill(os.getpid(), signal.SIGKILL)
                except FileExistsError:
                    if os.environ.get("EACH_TIME"):
                        os.kill(os.getpid(), signal.SIGKILL)
            yield data[len(data) // 2 :]
    LocalFile.blocks = until_killed
"""


def until(true: Callable[[], object]) -> None:
    """Wait until a condition holds; the timeout of the test ends the wait."""
    while not true():
        time.sleep(0.02)


class Cluster:
    """A scheduler and workers in one folder, which is not a user's home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.processes: list[subprocess.Popen[bytes]] = []
        self._client: Client | None = None

    def start(self, workers: int = 2, *, scheduler: str = "", **options: Any) -> str:
        """Start a scheduler and workers, and return the address; the scheduler runs the code `scheduler` first."""
        file = self.folder / "scheduler.json"
        self._begin("scheduler", scheduler, "--host=127.0.0.1", "--port=0", f"--scheduler-file={file}", "--no-show")
        until(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
        self.add(workers, **options)
        return self.address

    def add(self, workers: int, *, threads: int = 1, code: str = "", preload: str = "", **variables: str) -> None:
        """Start more workers; each runs the code `preload`, again if its nanny restarts it."""
        for _ in range(workers):
            words = [self.address, f"--nthreads={threads}", "--no-dashboard", "--local-directory=scratch", "--no-nanny"]
            if preload:
                (self.folder / "preloaded.py").write_text(preload)
                words[-1:] = ["--nanny", "--preload=preloaded.py"]
            self._begin("worker", code, *words, **variables)
        expected = len(self.processes) - 1
        if workers:
            with Client(self.address, set_as_default=False) as client:
                until(lambda: len(client.nthreads()) >= expected)

    def _begin(self, role: str, code: str, *words: str, **variables: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SB_", "CAVATICA_"))}
        with (self.folder / f"{role}-{len(self.processes)}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", f"{code}from distributed.cli.dask_{role} import main; main()", *words],
                    cwd=self.folder,
                    env=kept | {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"} | variables,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # so that nannies end their workers
                )
            )

    def logs(self) -> str:
        """The logs of scheduler and workers."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        """End all processes."""
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without a process yet."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


def sample(machine: Machine) -> bytes:
    content = Random(1).randbytes(PARTS * 64 * KIB)
    machine.file("a.bam", content)
    return content


def words(address: str, *more: str) -> list[str]:
    return ["upload", "a.bam", "--project", PROJECT, "--part-size", "64KiB", "--dask-scheduler", address, *more]


def upload(machine: Machine, address: str, *more: str) -> Ended:
    """Upload a file, and check that it arrives whole with one call for each part."""
    content = sample(machine)
    ended = machine.run(*words(address, *more))
    assert ended.code == 0, ended.err
    assert machine.remote() == {"a.bam": content}
    assert machine.mock.calls["getPartUrl"] == PARTS
    assert sum(machine.mock.calls.values()) - machine.mock.calls["putPart"] <= PARTS + 2 + -(-PARTS // 32)
    assert "verified" in ended.err or "Uploaded 1 file" in ended.err
    assert "distributed" not in ended.err
    return ended


def told(ended: Ended) -> list[str]:
    """The lines of standard error, without progress, the call budget and the summary."""
    progress = re.compile(r"a\.bam: [0-9]|a\.bam: done|[0-9,]+ API calls in|Uploaded 1 file|$")
    return [line for line in ended.err.splitlines() if not progress.match(line)]


# Success


def test_workers_send_all_parts(machine: Machine, cluster: Cluster) -> None:
    """Workers send each part once, and no environment or memory of workers or scheduler holds the token."""
    ended = upload(machine, cluster.start(3))
    assert told(ended) == []
    assert machine.mock.calls["putPart"] == PARTS
    token = machine.mock.token.encode()
    sent = machine.mock.origin.encode()
    scheduler, *workers = cluster.processes
    for process in cluster.processes:
        assert token not in Path(f"/proc/{process.pid}/environ").read_bytes()
        held = memory(process.pid)
        assert token not in held
        assert (sent in held) or process is scheduler  # the URL is where the token might be
    assert len(workers) == 3


def memory(process: int) -> bytes:
    """All that a process has in writable memory."""
    found = []
    with Path(f"/proc/{process}/maps").open() as maps, Path(f"/proc/{process}/mem").open("rb", 0) as whole:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(bound, 16) for bound in span.split("-"))
            if rights.startswith("rw"):
                whole.seek(start)
                found.append(whole.read(end - start))
    return b"\0".join(found)


def test_logs_hold_no_url(machine: Machine, cluster: Cluster) -> None:
    """If storage refuses a part, the log of the worker does not show the signed URL."""
    machine.mock.faults.add(Fault("putPart", "status", status=500, part=3))
    machine.mock.faults.add(Fault("putPart", "corrupt", part=5))
    upload(machine, cluster.start(2), "--retry-for", "1min")
    assert "Compute Failed" in cluster.logs()
    assert "Signature" not in cluster.logs()


def test_as_many_parts_as_threads_of_workers(machine: Machine, cluster: Cluster) -> None:
    """As many parts are in flight as workers have threads, even if workers join later."""
    machine.mock.faults.add(*(Fault("putPart", "stall", times=None, part=number + 1) for number in range(PARTS)))
    sample(machine)

    def in_flight() -> int:
        """Count the parts that were sent, each once: a worker sends its part again if a minute passes."""
        return sum(fault["fired"] > 0 for fault in machine.mock.faults.to_json())

    process = machine.start(*words(cluster.start(2), "--stop-within", "0"))
    until(lambda: in_flight() == 2)
    cluster.add(3)
    until(lambda: in_flight() == 5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert in_flight() == 5
    assert b"To resume: cavatica upload a.bam" in err
    assert b"Traceback" not in err


def test_dry_run_plans_for_all_workers(machine: Machine, cluster: Cluster) -> None:
    """A dry run expects 64 MiB/s of each worker."""
    with machine.file("a.bam").open("r+b") as file:
        file.truncate(100 << 30)
    more = ("--dry-run", "--json", "--dask-scheduler", cluster.start(2, threads=10))
    plan = machine.run("upload", "a.bam", "--project", PROJECT, *more).event("plan")
    assert plan["expected_rate"] == 20 * (64 << 20)
    assert plan["parts"] == 267  # of 384 MiB, where one machine plans 400


# Killed processes


def test_ten_killed_workers_lose_nothing(machine: Machine, cluster: Cluster) -> None:
    """If workers are killed during ten parts, only unreported parts are sent again, without further API calls."""
    parts = [str(number) for number in range(2, PARTS, 2)][:10]
    upload(machine, cluster.start(4, preload=KILLED, KILLED_AT=",".join(parts)))
    assert sorted(path.name for path in cluster.folder.glob("killed-*")) == sorted(f"killed-{part}" for part in parts)
    # With its own part, a worker may lose those that it has sent and not yet told: all four in flight, if it is slow.
    assert PARTS + 10 <= machine.mock.calls["putPart"] <= PARTS + 10 * 4


def test_part_that_kills_each_worker_is_sent_from_here(
    machine: Machine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that ends each worker is reported in a message and sent from this machine."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")  # of a part, before Dask gives it up
    ended = upload(machine, cluster.start(2, preload=KILLED, KILLED_AT="7", EACH_TIME="1"))
    assert any("KilledWorker" in line and "The part is sent again." in line for line in told(ended))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_scheduler_that_is_gone_loses_nothing(machine: Machine, cluster: Cluster, how: signal.Signals) -> None:
    """If the scheduler dies or hangs, this machine sends its parts and the rest."""
    content = sample(machine)
    machine.mock.faults.add(Fault("putPart", "stall", part=1))
    with ExitStack() as stack:
        process = stack.enter_context(machine.start(*words(cluster.start(2), "--json")))
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "part_sent":
                cluster.processes[0].send_signal(how)
                break
        out, err = process.communicate()
    assert process.returncode == 0
    assert machine.remote() == {"a.bam": content}
    assert machine.mock.calls["getPartUrl"] == PARTS
    notices = [event["text"] for event in map(json.loads, out.splitlines()) if event["event"] == "notice"]
    assert "The Dask scheduler does not answer; parts are sent from this machine." in notices
    assert b"Traceback" not in err


# Missing packages and files


def test_without_workers_parts_go_from_here(machine: Machine, cluster: Cluster) -> None:
    """Parts wait for a worker as long as --retry-for allows; then this machine sends them."""
    assert told(upload(machine, cluster.start(0), "--retry-for", "1s")) == [
        "The Dask cluster has no workers; parts wait for one.",
        "The Dask cluster has no workers; parts are sent from this machine until it has.",
    ]


def test_scheduler_without_the_package(machine: Machine, cluster: Cluster) -> None:
    """The scheduler does not need this package, even if a part fails."""
    machine.mock.faults.add(Fault("putPart", "status", status=500, part=3))
    ended = upload(machine, cluster.start(2, scheduler=WITHOUT_PACKAGE), "--retry-for", "1min")
    assert machine.mock.calls["putPart"] == PARTS + 1
    assert told(ended) == []


def test_workers_without_the_package(machine: Machine, cluster: Cluster) -> None:
    """Workers without the package survive, and one sentence says what to install."""
    address = cluster.start(2, code=WITHOUT_PACKAGE)
    first, last = told(upload(machine, address))
    assert first.endswith("Install the same version of cavatica-upload for the workers as here.")
    assert last.endswith("Parts are sent from this machine from now on.")
    assert all(process.poll() is None for process in cluster.processes)


def test_one_worker_without_the_package(machine: Machine, cluster: Cluster) -> None:
    """A worker without the package is reported once, and the others send its parts."""
    address = cluster.start(2)
    with Client(address, set_as_default=False) as client:
        client.run(importlib.import_module, "cavatica_upload.engine.workers")  # otherwise it is done before they start
    cluster.add(1, code=WITHOUT_PACKAGE)
    (text,) = told(upload(machine, address))
    assert "Install the same version" in text


def test_other_versions_are_reported(machine: Machine, cluster: Cluster) -> None:
    """Workers with another version of Dask are reported, and may send parts."""
    address = cluster.start(1, code="import importlib.metadata as m; m.version = lambda _: '2020.1.0'; ")
    (text,) = told(upload(machine, address))
    assert "have other versions of Python, Dask or its dependencies" in text


def test_workers_that_do_not_see_the_file(machine: Machine, cluster: Cluster) -> None:
    """The first message names host and path, the second says that this machine sends the parts."""
    content = sample(machine)
    path = "/proc/self/cwd/a.bam"  # where each process looks into its own folder
    ended = machine.run("upload", path, *words(cluster.start(2))[2:])
    assert ended.code == 0, ended.err
    assert machine.remote() == {"a.bam": content}
    first, last = [line for line in ended.err.splitlines() if "sent" in line and "Uploaded" not in line]
    assert first == f"{socket.gethostname()}: {path} does not exist. The part is sent again. Check the path."
    assert last.endswith("Parts are sent from this machine from now on.")


# The documentation

STUBS = """
from concurrent.futures import ProcessPoolExecutor
from distributed import LocalCluster

class SLURMCluster(LocalCluster):
    def __init__(self, *, cores, processes, memory, walltime, job_extra_directives, job_script_prologue):
        super().__init__(n_workers=0, threads_per_worker=1, dashboard_address=":0")

    def scale(self, jobs):
        super().scale(jobs)

class SlurmJobExecutor(ProcessPoolExecutor):
    def __init__(self, max_workers, block_allocation):
        super().__init__(2)
"""
"""What the snippets use of dask-jobqueue 0.9.0 and executorlib 1.11.0, on this machine."""


@pytest.mark.parametrize(("index", "program"), [(0, "bash"), (1, sys.executable), (2, sys.executable)])
def test_snippets_of_the_page_upload(machine: Machine, tmp_path: Path, index: int, program: str) -> None:
    """The scripts of docs/cluster.md upload a folder, with a replacement for Slurm."""
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
    blocks = re.findall(r"^```(?:bash|python)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    script = blocks[index].replace("/data/run-7", str(tmp_path / "run-7")).replace("owner/study", PROJECT)
    machine.file("run-7/a.bam", b"a" * 1000)
    machine.file("run-7/b.bam", b"b" * 1000)
    for module in ("dask_jobqueue", "executorlib"):
        machine.file(f"stubs/{module}.py", STUBS.encode())
    srun = machine.file("bin/srun", b'#!/bin/sh\nexec "$@"\n')
    srun.chmod(0o755)
    environment = machine.environment | {
        "PATH": os.pathsep.join([str(srun.parent), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(tmp_path / "stubs"),
    }
    process = subprocess.Popen(
        [program, "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert machine.remote() == {"run-7/a.bam": b"a" * 1000, "run-7/b.bam": b"b" * 1000}


def test_address_in_a_file(machine: Machine, cluster: Cluster) -> None:
    """The address may be given as the file that the scheduler writes it to."""
    cluster.start(1)
    upload(machine, str(cluster.folder / "scheduler.json"))


# Wrong addresses


def test_nothing_listens_at_the_address(machine: Machine) -> None:
    """A port on which nothing listens and an unknown host are network errors."""
    sample(machine)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # so that nobody else listens there
        for address in (f"127.0.0.1:{deaf.getsockname()[1]}", "tcp://nowhere.invalid:8786"):
            ended = machine.run(*words(address))
            assert ended.code == 4
            assert f"No Dask scheduler answers at {address}" in ended.err
            assert ended.err.count("\n") == 2
    assert not machine.mock.calls


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_no_scheduler_at_the_address(machine: Machine, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of another kind, and TLS without certificates, are reported in one sentence."""
    sample(machine)
    monkeypatch.setattr(cluster_module, "TIMEOUT", 0.5)
    address = f"{scheme}://{machine.mock.origin.partition('//')[2]}"
    ended = machine.call(*words(address))
    assert ended.code == 4
    assert ended.err.startswith(f"Error: {address} does not answer as a Dask scheduler: ")
    assert ended.err.count("\n") == 2
