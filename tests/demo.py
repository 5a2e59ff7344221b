"""Starts a mock, uploads a file to it with the command line, downloads it again, and compares the two.

The environment variable FILE names the file; without it a gzipped FASTQ of 64 MiB is made. Exit codes: 0 if the MD5s
agree, 1 if a step failed, 2 if FILE cannot be used, 130 after Ctrl-C.
"""

import contextlib
import gzip
import hashlib
import json
import os
import random
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

BIN = Path(sys.executable).parent
PROJECT = "demo/genomes"
MIB = 2**20


class StepFailed(Exception):
    """A step of the demo failed."""


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Prints the title, and names it if the step fails."""
    print(f"\n== {title}", flush=True)
    try:
        yield
    except (StepFailed, OSError, subprocess.SubprocessError, ValueError, LookupError) as error:
        raise StepFailed(f"step “{title}” failed: {error}") from error


def chosen(name: str) -> Path:
    """Returns the path of the file that the user named. Exits with 2 if it cannot be uploaded."""
    path = Path(name)
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
            return path
        problem = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    shown = os.fsencode(name).decode(errors="backslashreplace")
    print(f"{shown} {problem}. Name a file: make demo FILE=some.bam", file=sys.stderr)
    sys.exit(2)


def make_fastq(path: Path, size: int) -> None:
    """Writes at least `size` bytes of reads of 150 bases, gzipped block by block as bgzip does."""
    rng = random.Random(7)
    number = 0
    with path.open("wb") as file:
        while (room := size - file.tell()) > 0:
            reads = []
            for _ in range(2000):
                number += 1
                bases = "".join(rng.choices("ACGT", k=150))
                quality = "".join(rng.choices("#,:FI", weights=(1, 2, 4, 60, 33), k=150))
                reads.append(f"@SIM:1:FC1:1:1101:{number}:1 1:N:0:ACGT\n{bases}\n+\n{quality}\n")
            block = gzip.compress("".join(reads).encode(), compresslevel=1, mtime=0)
            file.write(block * min(-(-room // len(block)), 64))  # the same reads again, which are quick to make


@contextlib.contextmanager
def mock(folder: Path, *options: str) -> Iterator[tuple[str, str]]:
    """Runs a mock on a free port, and yields its base URL and its token."""
    command = [BIN / "cavatica-mock", "serve", "--port", "0", "--data", folder, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline() if process.stdout else ""
            words = dict(word.split("=", 1) for word in ready.split() if word.startswith("token="))
            address = next((word for word in ready.split() if word.startswith("http://")), None)
            if address is None or "token" not in words:
                raise StepFailed(f"the mock did not start; it printed {ready.strip()!r}")
            print(ready.strip().replace(words["token"], "…"), flush=True)
            yield address, words["token"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def call(url: str, token: str | None = None) -> dict:
    """Returns the JSON that a GET request is answered with."""
    headers = {} if token is None else {"X-SBG-Auth-Token": token}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return json.load(answer)


def md5_of(stream) -> tuple[str, int]:
    """Returns the MD5 and the size of what a stream holds."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    while block := stream.read(MIB):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def upload(file: Path, address: str, token: str, state: Path) -> str:
    """Uploads a file with the command line, and returns its id on the platform."""
    command = ["cavatica", "upload", "--project", PROJECT, "--", file.name]
    settings = {"SB_API_ENDPOINT": address, "SB_AUTH_TOKEN": token, "CAVATICA_STATE_DIR": str(state)}
    print(f"$ {shlex.join(command)}", flush=True)
    command[0] = str(BIN / command[0])
    done = subprocess.run(
        command, cwd=file.parent, env=os.environ | settings, stdout=subprocess.PIPE, text=True, check=False
    )
    print(done.stdout, end="", flush=True)
    if done.returncode:
        raise StepFailed(f"the uploader ended with exit code {done.returncode}")
    return done.stdout.split("\t")[0].strip()


def main() -> int:
    """Runs the demo, and returns the exit code."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cavatica-demo-")))
        options: tuple[str, ...] = ()
        if os.environ.get("FILE"):
            file = chosen(os.environ["FILE"])
        else:
            options = ("--part-size", str(MIB))  # many parts, so that they are reported in bulk
            with step("make a gzipped FASTQ of 64 MiB"):
                file = folder / "sample-07.R1.fastq.gz"
                make_fastq(file, 64 * MIB)
        with step("read the file"), file.open("rb") as stream:
            here, size = md5_of(stream)
            print(f"{file.name}: {size} bytes, MD5 {here}")
        with step("start a mock"):
            address, token = stack.enter_context(mock(folder / "mock", *options))
        with step("upload"):
            file_id = upload(file, address, token, folder / "state")
        with step("look at the file on the platform"):
            there = call(f"{address}/files/{file_id}", token)
            print(f"{there['name']}: {there['size']} bytes, id {file_id}")
            if (there["name"], there["size"]) != (file.name, size):
                raise StepFailed("its name or its size differs on the platform")
        with step("download it and compare"):
            url = call(f"{address}/files/{file_id}/download_info", token)["url"]
            with urllib.request.urlopen(url, timeout=600) as stream:
                back, _ = md5_of(stream)
            print(f"MD5 {back}")
            if back != here:
                raise StepFailed(f"the MD5s differ: {here} was uploaded, {back} was downloaded")
        with step("count the calls"):
            for name, count in call(f"{address.removesuffix('/v2')}/_mock/calls")["calls"].items():
                print(f"{count:6}  {name}")
    print("\nThe file arrived whole.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StepFailed as failure:
        print(f"\ndemo: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
