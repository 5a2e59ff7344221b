"""One upload by one client, in this very process, measured from inside.

    python -m bench.clients CLIENT --endpoint URL --file FILE [--part-size BYTES] [--jobs N] [--timeout S] [--state DIR]

Prints one JSON line: how it ended, wall seconds and CPU seconds of the upload (building the client is in it, starting
Python and importing the library is not) and the peak resident memory of the process.
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOKEN = "0123456789abcdef0123456789abcdef"
PROJECT = "bench/bench"
Job = Callable[[], tuple[str, str]]  # runs one upload: "completed" or "failed", and what was said


def peak_memory() -> int:
    """Peak resident bytes of this process; what its parent had before exec is not counted."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def cpu_seconds() -> float:
    """User and system seconds of this process and of the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def sdk(arguments: argparse.Namespace) -> Job:
    """The official Python SDK with its defaults; `debug` lets it speak http, and does nothing else."""
    import sevenbridges  # type: ignore[import-untyped]

    logging.getLogger("sevenbridges").setLevel(logging.CRITICAL)
    extra = {"part_size": arguments.part_size, "timeout": arguments.timeout}

    def run() -> tuple[str, str]:
        api = sevenbridges.Api(url=arguments.endpoint, token=TOKEN, debug=arguments.endpoint.startswith("http:"))
        given = {name: value for name, value in extra.items() if value is not None}
        upload = api.files.upload(str(arguments.file), project=PROJECT, **given)
        if upload.result() is not None:
            return "completed", str(upload.status)
        return "failed", f"returned normally, status {upload.status}"

    return run


def ours(arguments: argparse.Namespace, *, verify: bool = True) -> Job:
    """The uploader of cavatica-upload."""
    from cavatica_upload import Destination, Uploader
    from cavatica_upload.errors import CavaticaError

    def run() -> tuple[str, str]:
        state = arguments.state or Path(tempfile.mkdtemp(prefix="bench-state-"))
        extra = {"part_deadline": arguments.timeout} if arguments.timeout else {}
        with Uploader(
            token=TOKEN, endpoint=arguments.endpoint, jobs=arguments.jobs, verify=verify, state_dir=state, **extra
        ) as uploader:
            try:
                uploader.upload(arguments.file, Destination(project=PROJECT), part_size=arguments.part_size)
            except CavaticaError as error:
                return "failed", f"raised {type(error).__name__}: {error}"
        return "completed", ""

    return run


def ours_unverified(arguments: argparse.Namespace) -> Job:
    """The same, taking no MD5s and so not checking what storage has."""
    return ours(arguments, verify=False)


def curl(arguments: argparse.Namespace) -> Job:
    """One PUT of the whole file as one part, for scale: what a plain C client needs to move the bytes."""

    def call(path: str, body: object) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{arguments.endpoint}/upload/multipart{path}", data)
        with urllib.request.urlopen(request, timeout=300) as answer:
            value: dict[str, Any] = json.load(answer)
            return value

    def run() -> tuple[str, str]:
        size = arguments.file.stat().st_size
        started = call("", {"name": arguments.file.name, "project": PROJECT, "size": size, "part_size": size})
        path = f"/{started['upload_id']}"
        url = call(f"{path}/part/1", None)["url"]
        command = [
            "curl",
            "-sS",
            "-o",
            os.devnull,
            "-w",
            "%header{etag}",
            "-H",
            "Expect:",
            "-T",
            str(arguments.file),
            url,
        ]
        etag = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        call(f"{path}/complete", {"parts": [{"part_number": 1, "response": {"headers": {"ETag": etag}}}]})
        return "completed", ""

    return run


CLIENTS: dict[str, Callable[[argparse.Namespace], Job]] = {
    "sdk": sdk,
    "ours": ours,
    "ours-unverified": ours_unverified,
    "curl": curl,
}


def main() -> None:
    """Run one client and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m bench.clients")
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--part-size", type=int)
    parser.add_argument("--jobs", type=int)
    parser.add_argument(
        "--timeout", type=float, help="for the SDK seconds of silence, for ours seconds a part may take"
    )
    parser.add_argument("--state", type=Path, help="where the journal is kept, for runs that go on where another ended")
    arguments = parser.parse_args()
    job = CLIENTS[arguments.client](arguments)
    began, used = time.perf_counter(), cpu_seconds()
    outcome, said = job()
    wall, cpu = time.perf_counter() - began, cpu_seconds() - used
    result = {"outcome": outcome, "said": said, "wall": wall, "cpu": cpu, "peak_memory": peak_memory()}
    print(json.dumps(result), flush=True)
    os._exit(0)  # threads that still wait for a stalled storage must not keep us


if __name__ == "__main__":
    main()
