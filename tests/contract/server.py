"""The server that the suite tests: a given one, or a mock in a process of its own.

It may stand behind nginx, as most deployments do, with the path handed on as it came, or anew.
"""

import contextlib
import ipaddress
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from cavatica_mock import MockServer
from tests.contract.answer import SHORT_TOKEN
from tests.contract.client import ApiClient
from tests.contract.document import ROOT
from tests.contract.trace import Trace

TOKEN: Final = "c0417ac7" * 4
OTHER_TOKEN: Final = "07e4a11b" * 4
PROJECT: Final = "contract/suite"
READ_ONLY: Final = "contract/read-only"
PART_SIZE: Final = 16  # bytes; small, so that uploads of several parts cost nothing
READY: Final = re.compile(r"ready: (http://\S+)")


@attrs.frozen
class Target:
    """A server and our users there. `own`: a mock that nobody else uses and that may be reset."""

    base_url: str
    token: str = attrs.field(repr=False)
    project: str
    own: bool
    other_token: str | None = attrs.field(default=None, repr=False)
    read_only_project: str | None = None
    run: str = "run"
    start: tuple[str, ...] = ()  # the command that starts such a server again, but for its port

    def api(self, *, judge: bool = True, token: str | None = None, trace: Trace | None = None) -> ApiClient:
        """A new connection. No answer may contain a token."""
        secrets = tuple(secret for secret in (self.token, self.other_token) if secret)
        token = token or self.token
        ours = {"own": self.own, "patient": not self.own}
        return ApiClient(self.base_url, token, secrets=secrets, judge=judge, trace=trace, **ours)

    @property
    def origin(self) -> str:
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def tokens(self) -> dict[str, str]:
        """Each token with the name of its variable."""
        return {self.token: "TOKEN", **({self.other_token: "OTHER_TOKEN"} if self.other_token else {})}

    def without_tokens(self, text: str) -> str:
        """The text with each token's variable in its place. A short token may be part of any word, and stays."""
        for token, variable in self.tokens.items():
            if len(token) >= SHORT_TOKEN:
                text = text.replace(token, f"${variable}")
        return text


def unproxied(base_url: str) -> dict[str, str]:
    """The environment variables that keep proxies away from a server on this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        return {}
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = ",".join(filter(None, (listed, host, "localhost", "127.0.0.1", "::1")))
    return {"no_proxy": hosts, "NO_PROXY": hosts}


def mock_server(**options: Any) -> MockServer:
    """A mock in this process: two users, a writable and a read-only project, small parts."""
    projects = {PROJECT: True, READ_ONLY: False}
    return MockServer(tokens=(TOKEN, OTHER_TOKEN), projects=projects, part_size=PART_SIZE, **options)


def mock_arguments(seed: int, *, rate_limit: str = "9000000/3600") -> list[str]:
    """The command line of such a mock, with a rate limit that counts but is not reached."""
    arguments = [sys.executable, "-m", "cavatica_mock", "serve", "--port", "0", "--seed", str(seed)]
    arguments += ["--token", TOKEN, "--token", OTHER_TOKEN, "--rate-limit", rate_limit]
    arguments += ["--project", PROJECT, "--project", f"{READ_ONLY}:ro", "--part-size", str(PART_SIZE)]
    return arguments


def of_mock(base_url: str, start: Sequence[str] = ()) -> Target:
    """A mock that was started with `mock_arguments`."""
    return Target(
        base_url, TOKEN, PROJECT, own=True, other_token=OTHER_TOKEN, read_only_project=READ_ONLY, start=tuple(start)
    )


def again(arguments: Sequence[str]) -> list[str]:
    """The command that starts the server again, typed at the top of the repository, without its port."""
    executable = Path(arguments[0])
    if executable.is_relative_to(ROOT):
        executable = executable.relative_to(ROOT)
    return [str(executable), *" ".join(arguments[1:]).replace("--port 0", "").split()]


@contextmanager
def started(arguments: Sequence[str]) -> Iterator[Target]:
    """A server as a process, from its ready line to SIGTERM. Raises RuntimeError if it does not start."""
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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
        yield of_mock(match[1], again(arguments))
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
    """Read everything, so that a full pipe does not stop the server."""
    for _ in stream:  # type: ignore[attr-defined]
        pass


AS_IT_CAME: Final = ""  # proxy_pass http://server;  the target goes on byte for byte
ANEW: Final = "/"  # proxy_pass http://server/;  nginx decodes the path, tidies it up and writes it anew
LONGEST_START: Final = 60.0  # seconds

CONFIGURATION: Final = """\
daemon off;
master_process off;
pid "{folder}/pid";
error_log "{folder}/errors";
events {{}}
http {{
    access_log off;
    client_body_temp_path "{folder}/bodies";
    proxy_temp_path "{folder}/proxied";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{
            proxy_pass http://{server}{way};
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


def nginx() -> str | None:
    """The program, None if it is not installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def behind_nginx(target: Target, way: str = AS_IT_CAME) -> Iterator[Target]:
    """The server behind nginx, as one that is not ours. Raises RuntimeError if nginx does not start."""
    program = nginx()
    if program is None:
        raise RuntimeError("nginx is not installed. Install it, for example: apt-get install nginx-light.")
    server = urlsplit(target.base_url)
    with tempfile.TemporaryDirectory(prefix="contract-nginx-") as folder, socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # so that only nginx can get the port, too
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        path = Path(folder, "nginx.conf")
        path.write_text(CONFIGURATION.format(folder=folder, port=port, server=server.netloc, way=way))
        command = [program, "-c", str(path), "-p", folder, "-e", f"{folder}/errors"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _wait(process, port)
            yield attrs.evolve(
                target, base_url=f"http://127.0.0.1:{port}{server.path}", own=False, start=(), run="gateway"
            )
        finally:
            process.terminate()
            process.communicate(timeout=LONGEST_START)


def _wait(process: "subprocess.Popen[str]", port: int) -> None:
    """Wait until it accepts connections: nginx has no ready line."""
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    process.kill()
    raise RuntimeError(f"nginx did not start: {process.communicate()[1].strip()[-500:]}")
