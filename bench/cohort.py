"""Upload a cohort with threads alone, over four Dask workers of which one is killed, and in four shards.

    .venv-dask/bin/python -m bench.cohort [GIB]

200 sparse files of mixed sizes, 5 GiB in all. The mock keeps the bytes, so that the MD5 of each file is compared. The
seconds depend on the disk as much as on the clients: read calls, bytes and memory.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from hashlib import file_digest, md5
from pathlib import Path

try:
    from distributed import Client, LocalCluster
except ModuleNotFoundError:
    sys.exit("This needs Dask: make .venv-dask/installed && .venv-dask/bin/python -m bench.cohort")

from bench.clients import POLL_INTERVAL, peak_memory
from bench.tables import MIB, table
from cavatica_mock import MockServer

FILES = 200
WORKERS = 4
COMMAND = [sys.executable, "-m", "cavatica_upload", "upload", "--json", "-r", "--project", "me/study"]
HEAD = ("way", "whole", "calls", "parts", "sent again", "bytes again", "coordinator", "worker", "tokens", "time")


def write_cohort(folder: Path, size: int) -> dict[str, str]:
    """Write files that differ, and return their MD5s by name. A tenth of the files has half of the bytes."""
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
            md5s[path.name] = file_digest(file, lambda: md5(usedforsecurity=False)).hexdigest()
    return md5s


def upload(way: str, cohort: Path, md5s: dict[str, str], options: list[list[str]], cluster: bool) -> list[str]:
    """Upload the cohort with one command for each list of options, and return a row of the table."""
    size = sum(path.stat().st_size for path in cohort.iterdir())
    peaks: dict[int, int] = {}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mock = stack.enter_context(MockServer(rate_limit=(1000, 300)))
        environ = {**os.environ, "SB_API_ENDPOINT": mock.base_url, "SB_AUTH_TOKEN": mock.token}
        client, workers, scheduler = None, [], []
        if cluster:
            dask = stack.enter_context(LocalCluster(WORKERS, threads_per_worker=1, dashboard_address=":0"))
            client = stack.enter_context(Client(dask))
            workers = list(client.run(os.getpid).values())
            scheduler = ["--dask-scheduler", dask.scheduler_address]
        began = time.monotonic()
        commands = [
            subprocess.Popen(
                [*COMMAND, f"{cohort}/", *more, *scheduler],
                env={**environ, "CAVATICA_STATE_DIR": f"{home}/{index}"},
                stdout=stack.enter_context((home / f"{index}.jsonl").open("wb")),
            )
            for index, more in enumerate(options)
        ]
        pids = [command.pid for command in commands]
        to_kill = client
        while any(command.poll() is None for command in commands):
            if to_kill and mock.bytes_received > size / 3 and kill_busy_worker(to_kill):
                to_kill = None
            for pid in (*pids, *workers):
                peaks[pid] = max(peaks.get(pid, 0), peak_memory(pid))
            time.sleep(POLL_INTERVAL)
        seconds = time.monotonic() - began
        assert all(command.returncode == 0 for command in commands)
        events = [json.loads(line) for path in home.glob("*.jsonl") for line in path.read_text().splitlines()]
        parts = sum(event.get("parts") or 0 for event in events if event["event"] == "upload_started")
        whole = sum(
            md5(mock.file_bytes(file["id"]), usedforsecurity=False).hexdigest() == md5s[file["name"]]
            for file in mock.files()
            if file["type"].lower() == "file"
        )
        return [
            way,
            f"{whole} of {len(md5s)}",
            str(sum(count for operation, count in mock.calls.items() if operation != "putPart")),
            str(parts),
            str(mock.calls["putPart"] - parts),
            f"{(mock.bytes_received - size) / MIB:.1f} MiB",
            f"{max(peaks[pid] for pid in pids) / MIB:.0f} MiB",
            f"{max(peaks[pid] for pid in workers) / MIB:.0f} MiB" if workers else "-",
            str(len(commands)),
            f"{seconds:.0f} s",
        ]


def kill_busy_worker(client: Client) -> bool:
    """Kill a worker that has a part; return whether there was one."""
    for worker, tasks in client.processing().items():
        if tasks:
            os.kill(client.run(os.getpid, workers=[worker])[worker], signal.SIGKILL)
            return True
    return False


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.cohort", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("gib", type=float, nargs="?", default=5.0, metavar="GIB", help="size of all files (default 5)")
    gib = parser.parse_args().gib
    if not 0 < gib < 10_000:
        parser.error("GIB is above 0 and below 10,000")
    size = int(gib * 1024 * MIB)
    shards = [["--shard", f"{index}/{WORKERS}"] for index in range(1, WORKERS + 1)]
    with tempfile.TemporaryDirectory() as folder:
        cohort = Path(folder)
        md5s = write_cohort(cohort, size)
        rows = [
            upload("threads", cohort, md5s, [[]], cluster=False),
            upload(f"--dask-scheduler, {WORKERS} workers, one killed", cohort, md5s, [[]], cluster=True),
            upload(f"--shard, {WORKERS} processes", cohort, md5s, shards, cluster=False),
        ]
    print(table(f"{FILES} files, {size / MIB / 1024:.1f} GiB", HEAD, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
