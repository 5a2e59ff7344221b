"""nginx in front of a server, as most deployments have one: with the path handed on as it came, or anew."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs

from tests.contract.server import Target

AS_IT_CAME: Final = ""  # proxy_pass http://server;  the target goes on byte for byte
ANEW: Final = "/"  # proxy_pass http://server/;  nginx decodes the path, tidies it up and writes it anew
LONGEST_START: Final = 10.0  # seconds

CONFIGURATION: Final = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
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
    """The server behind nginx: one that is not ours. Raises RuntimeError if nginx does not start."""
    program = nginx()
    if program is None:
        raise RuntimeError("nginx is not installed: apt-get install nginx-light, or the like.")
    server = urlsplit(target.base_url)
    with tempfile.TemporaryDirectory(prefix="contract-nginx-") as folder:
        port = _free_port()
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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[str]", port: int) -> None:
    """Until it takes connections: nginx has no ready line."""
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    process.kill()
    raise RuntimeError(f"nginx did not start: {process.communicate()[1].strip()[-500:]}")
