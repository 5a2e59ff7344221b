"""Upload a cohort with threads alone, over four Dask workers of which one is killed, and in four shards.

    .venv-dask/bin/python -m bench.cohort [GIB]

200 sparse files of mixed sizes, 5 GiB in all. The mock keeps what it gets, so that the MD5 of each file is compared.
Seconds are those of the machine's disk as much as of the clients: read calls, bytes and memory.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path

from distributed import Client, LocalCluster

from bench.tables import MIB, Table
from cavatica_mock import MockServer

FILES = 200
WORKERS = 4
COMMAND = [sys.executable, "-m", "cavatica_upload", "upload", "--json", "-r", "--project", "me/study"]


def write_cohort(folder: Path, size: int) -> dict[str, str]:
    """Write files that differ and return their MD5s by name; a tenth of them has half of the bytes."""
    draw = random.Random(2026)
    weights = [draw.uniform(0.05, 1.0) if index % 10 else draw.uniform(3.0, 8.0) for index in range(FILES)]
    md5s = {}
    for index, weight in enumerate(weights):
        path = folder / f"sample-{index:03}.cram"
        with path.open("wb") as file:
            file.truncate(int(size * weight / sum(weights)))
            for place in (0, file.seek(0, os.SEEK_END) // 2):
                file.seek(place)
                file.write(draw.randbytes(64))
        with path.open("rb") as file:
            digest = md5(usedforsecurity=False)
            while block := file.read(MIB):
                digest.update(block)
        md5s[path.name] = digest.hexdigest()
    return md5s


@dataclass
class Memory:
    """The peak memory of processes, looked at while they run."""

    peaks: dict[int, int] = field(default_factory=dict)

    def look(self, processes: Iterable[int]) -> None:
        """Remember the peaks until now, in KiB."""
        for process in processes:
            try:
                status = Path(f"/proc/{process}/status").read_text()
            except OSError:
                continue
            if found := status.partition("VmHWM:")[2].split():  # a process that has ended has none
                self.peaks[process] = max(self.peaks.get(process, 0), int(found[0]))

    def most(self, processes: Iterable[int]) -> str:
        """The largest peak of these."""
        found = max((self.peaks.get(process, 0) for process in processes), default=0)
        return f"{found / 1024:.0f} MiB" if found else "-"


def upload(table: Table, way: str, cohort: Path, md5s: dict[str, str], options: list[list[str]], cluster: bool) -> None:
    """Upload the cohort by one command for each list of options, and add a row."""
    size = sum(path.stat().st_size for path in cohort.iterdir())
    memory = Memory()
    with tempfile.TemporaryDirectory() as home, MockServer(rate_limit=(1000, 300)) as mock:
        token = {"SB_API_ENDPOINT": mock.base_url, "SB_AUTH_TOKEN": mock.token}
        dask = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") if cluster else None
        client = Client(dask) if dask else None
        workers = list(client.run(os.getpid).values()) if client else []
        began = time.monotonic()
        commands = [
            subprocess.Popen(
                [*COMMAND, f"{cohort}/", *more, *(["--dask-scheduler", dask.scheduler_address] if dask else [])],
                env={**os.environ, **token, "CAVATICA_STATE_DIR": f"{home}/{index}"},
                stdout=subprocess.PIPE,
            )
            for index, more in enumerate(options)
        ]
        pids = [command.pid for command in commands]
        ended = threading.Event()
        killer = threading.Thread(target=kill_one, args=(client, mock, size, ended)) if client else None
        if killer:
            killer.start()
        outs: list[bytes] = []
        readers = [
            threading.Thread(target=lambda c=command: outs.append(c.communicate()[0]), daemon=True)
            for command in commands
        ]
        for reader in readers:
            reader.start()
        while any(reader.is_alive() for reader in readers):
            memory.look([*pids, *workers])
            time.sleep(0.05)
        seconds = time.monotonic() - began
        ended.set()
        if killer:
            killer.join()
        parts = sum(
            json.loads(line).get("parts") or 0
            for out in outs
            for line in out.splitlines()
            if b'"upload_started"' in line
        )
        here = [file for file in mock.files() if file["type"].lower() == "file"]
        whole = sum(
            md5(mock.file_bytes(file["id"]), usedforsecurity=False).hexdigest() == md5s[file["name"]] for file in here
        )
        calls = sum(count for operation, count in mock.calls.items() if operation != "putPart")
        table.add(
            way,
            f"{whole} of {len(md5s)}",
            str(calls),
            str(parts),
            str(mock.calls["putPart"] - parts),
            f"{(mock.bytes_received - size) / MIB:.1f} MiB",
            memory.most(pids),
            memory.most(workers),
            str(len(commands)),
            f"{seconds:.0f} s",
        )
        assert all(command.returncode == 0 for command in commands)
        if client and dask:
            client.close()
            dask.close()


def kill_one(client: Client, mock: MockServer, size: int, ended: threading.Event) -> None:
    """Kill a worker that has a part, after a third of the bytes."""
    processes = client.run(os.getpid)
    while not ended.wait(0.005):
        if mock.bytes_received > size / 3:
            for worker, tasks in client.processing().items():
                if tasks:
                    os.kill(processes[worker], signal.SIGKILL)
                    return


def main() -> int:
    """Measure, and print a table."""
    size = int(float((sys.argv[1:] or ["5"])[0]) * 1024 * MIB)
    head = ["way", "whole", "calls", "parts", "sent again", "bytes again", "coordinator", "worker", "tokens", "time"]
    table = Table(f"{FILES} files, {size / MIB / 1024:.1f} GiB", head)
    with tempfile.TemporaryDirectory() as folder:
        md5s = write_cohort(Path(folder), size)
        upload(table, "threads", Path(folder), md5s, [[]], cluster=False)
        upload(table, f"--dask-scheduler, {WORKERS} workers, one killed", Path(folder), md5s, [[]], cluster=True)
        shards = [["--shard", f"{index}/{WORKERS}"] for index in range(1, WORKERS + 1)]
        upload(table, f"--shard, {WORKERS} processes", Path(folder), md5s, shards, cluster=False)
    print(table.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
