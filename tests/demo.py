"""The whole way of one file: a mock is started, a file uploaded by the command line, read back, compared.

The file is the one that the environment variable FILE names; without it a gzipped FASTQ of 64 MiB is made. Exits with
0 when the MD5s agree; else it says which step failed.
"""

import contextlib
import gzip
import hashlib
import json
import os
import random
import shlex
import signal
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
    """A step of the demo did not do what it should."""


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Names what is going on, for the reader and for the error."""
    print(f"\n== {title}", flush=True)
    try:
        yield
    except (StepFailed, OSError, subprocess.SubprocessError, ValueError, LookupError) as error:
        raise StepFailed(f"step “{title}” failed: {error}") from error


def make_fastq(path: Path, size: int) -> None:
    """Writes reads of 150 bases, gzipped block by block as bgzip does, until `size` bytes are there."""
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
            file.write(block * min(-(-room // len(block)), 64))  # the same reads again: quick to make, as hard to send


@contextlib.contextmanager
def mock(folder: Path, *options: str) -> Iterator[tuple[str, str]]:
    """Runs a mock on a free port; gives its base URL and the token that it made."""
    command = [BIN / "cavatica-mock", "serve", "--port", "0", "--data", folder, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = process.stdout.readline() if process.stdout else ""
            words = dict(word.split("=", 1) for word in ready.split() if word.startswith("token="))
            address = next((word for word in ready.split() if word.startswith("http://")), None)
            if address is None or "token" not in words:
                raise StepFailed(f"the mock did not get ready, it said {ready.strip()!r}")
            print(ready.strip().replace(words["token"], "…"), flush=True)
            yield address, words["token"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def call(url: str, token: str | None = None) -> dict:
    """The JSON that a GET answers with."""
    headers = {} if token is None else {"X-SBG-Auth-Token": token}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return json.load(answer)


def md5_of(stream) -> tuple[str, int]:
    """The MD5 of all that a stream gives, and its length."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    while block := stream.read(MIB):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def upload(file: Path, address: str, token: str, state: Path) -> str:
    """Uploads a file as a user would; gives the id of the file on the platform."""
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
    """Runs the demo; gives the exit code."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cavatica-demo-")))
        options: tuple[str, ...] = ()
        if os.environ.get("FILE"):
            file = Path(os.environ["FILE"])
        else:
            options = ("--part-size", str(MIB))  # many parts of a small file, so that reports in bulk can be seen
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
                raise StepFailed("the platform knows it under another name or size")
        with step("download it and compare"):
            url = call(f"{address}/files/{file_id}/download_info", token)["url"]
            with urllib.request.urlopen(url, timeout=600) as stream:
                back, _ = md5_of(stream)
            print(f"MD5 {back}")
            if back != here:
                raise StepFailed(f"the MD5s differ: {here} went up, {back} came back")
        with step("what was called how often"):
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
