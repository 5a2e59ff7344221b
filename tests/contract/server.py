"""The server that the suite asserts at: one that is given, or a mock that is started for it as a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import attrs

from tests.contract.client import ApiClient
from tests.contract.document import ROOT

TOKEN: Final = "c0417ac7" * 4
OTHER_TOKEN: Final = "07e4a11b" * 4
PROJECT: Final = "contract/suite"
READ_ONLY: Final = "contract/read-only"
PART_SIZE: Final = 16  # bytes; small, so that uploads of several parts cost nothing
READY: Final = re.compile(r"ready: (http://\S+)")


@attrs.frozen
class Target:
    """Where the server is and who we are there. `own`: a mock that nobody else uses, and that may be reset."""

    base_url: str
    token: str = attrs.field(repr=False)
    project: str
    own: bool
    other_token: str | None = attrs.field(default=None, repr=False)
    read_only_project: str | None = None
    run: str = "run"

    def api(self, *, judge: bool = True, token: str | None = None, timeout: float = 10.0) -> ApiClient:
        """A connection of its own. No answer may show either token."""
        secrets = tuple(secret for secret in (self.token, self.other_token) if secret)
        return ApiClient(self.base_url, token or self.token, secrets=secrets, judge=judge, timeout=timeout)

    def environment(self) -> dict[str, str]:
        """What `hooks` reads."""
        return {
            "CONTRACT_URL": self.base_url,
            "CONTRACT_TOKEN": self.token,
            "CONTRACT_PROJECT": self.project,
            "CONTRACT_RUN": self.run,
            "CONTRACT_RESET": "1" if self.own else "",
        }


def mock_arguments(seed: int, *, rate_limit: str = "9000000/3600") -> list[str]:
    """The mock's command line: two users, a project for each right, small parts, a limit that counts but is not met."""
    arguments = [sys.executable, "-m", "cavatica_mock", "serve", "--port", "0", "--seed", str(seed)]
    arguments += ["--token", TOKEN, "--token", OTHER_TOKEN, "--rate-limit", rate_limit]
    arguments += ["--project", PROJECT, "--project", f"{READ_ONLY}:ro", "--part-size", str(PART_SIZE)]
    return arguments


def of_mock(base_url: str) -> Target:
    """A mock that was started with `mock_arguments`."""
    return Target(base_url, TOKEN, PROJECT, own=True, other_token=OTHER_TOKEN, read_only_project=READ_ONLY)


@contextmanager
def started(arguments: Sequence[str]) -> Iterator[Target]:
    """A server as a process, from its ready line to SIGTERM. Raises RuntimeError when it does not come up."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    readers: list[threading.Thread] = []
    try:
        assert process.stdout is not None
        match = READY.search(process.stdout.readline())
        if match is None:
            process.kill()
            raise RuntimeError(f"The mock did not start: {process.communicate()[1].strip()[-500:]}")
        for stream in (process.stdout, process.stderr):
            readers.append(threading.Thread(target=_drain, args=(stream,), daemon=True))
            readers[-1].start()
        yield of_mock(match[1])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in readers:
            reader.join()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _drain(stream: object) -> None:
    """Read on, so that a full pipe never stops the server."""
    for _ in stream:  # type: ignore[attr-defined]
        pass
