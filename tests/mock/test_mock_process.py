"""The command as a process: its ready line, its end, wrong usage, and what survives kill -9."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
import trustme
from mock_client import Client, md5, report

from cavatica_mock import MockServer

COMMAND = [sys.executable, "-m", "cavatica_mock"]
READY = re.compile(r"cavatica-mock ready: (https?://127\.0\.0\.1:\d+)/v2(?: token=([0-9a-f]{32}))?\n")


class Remote(MockServer):
    """The address of a process, with the names that the test client uses."""

    def __init__(self, origin: str, token: str) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if origin.startswith("https:") else None
        super().__init__(tokens=(token,), tls=tls)
        self.port = int(origin.rpartition(":")[2])


@contextmanager
def serving(
    *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], Remote]]:
    """A `cavatica-mock serve` that is ready."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            ready = READY.fullmatch(line)
            assert ready is not None, (line, process.stderr.read() if process.stderr and not line else "")
            yield process, Remote(ready[1], ready[2] or "given-token")
        finally:
            if process.poll() is None:
                process.terminate()  # so that it deletes its folder


def accepts(server: MockServer) -> bool:
    """Check that the server accepts its token."""
    headers = {"X-SBG-Auth-Token": server.token}
    return httpx.get(f"{server.base_url}/rate_limit", headers=headers, verify=False).is_success


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_stops_when_told(number: signal.Signals, tmp_path: Path) -> None:
    """It prints one line, with the token if it made one, exits 0 on SIGTERM and Ctrl-C, and leaves no folder."""
    with serving(environment={"TMPDIR": str(tmp_path)}) as (process, remote):
        assert len(remote.token) == 32
        assert accepts(remote)
        process.send_signal(number)
        rest, errors = process.communicate()
    assert (process.returncode, rest, errors) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_verbose_tells_every_call_and_no_secret() -> None:
    """A line has status, method and path, and neither token nor signature."""
    with serving("--verbose") as (process, remote):
        client = Client(remote)
        client.upload("a.txt", b"abc")
        client.close()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    lines = errors.splitlines()
    assert [line.split()[:2] for line in lines] == [["200", "POST"], ["200", "GET"], ["200", "PUT"], ["201", "POST"]]
    assert remote.token not in errors
    assert "Signature" not in errors


def test_options_reach_the_mock() -> None:
    """Tokens, projects, the rate limit, the clock and part sizes are options."""
    words = (
        "--token given-token --project a/b --project a/c:ro --rate-limit 7/60 --seed 1 --min-part-size 10"
        " --clock-offset -3600 --part-url-lifetime 60"
    )
    with serving(*words.split()) as (_, remote):
        client = Client(remote, checked=False)
        before = int(time.time())
        response = client.post("upload/multipart", json={"name": "x", "project": "a/b", "size": 100, "part_size": 10})
        started = response.json()
        date = parsedate_to_datetime(response.headers["Date"]).timestamp()
        assert before <= date + 3600 <= time.time()
        assert started["part_size"] == 10
        status = client.get("rate_limit")
        assert status.json()["rate"]["limit"] == 7
        assert client.get("projects/a/d").status_code == 404
        assert client.post("files", json={"name": "x", "type": "folder", "project": "a/c"}).status_code == 403
        client.close()


@pytest.mark.parametrize("together", [True, False])
def test_it_speaks_https_with_a_certificate(
    authority: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path, together: bool
) -> None:
    """Its ready line and part URLs have https, and a client that trusts the authority can upload."""
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    issued.private_key_pem.write_to_path(certificate if together else key, append=True)
    options = ["--certificate", str(certificate)] + ([] if together else ["--key", str(key)])
    with serving(*options) as (_, remote):
        assert httpx.get(f"{remote.base_url}/rate_limit", verify=trusting).status_code == 401
        client = Client(remote)
        upload_id = client.start("a.txt", size=3)["upload_id"]
        assert client.part_url(upload_id, 1).startswith(remote.origin)
        client.upload("b.txt", b"abc")
        client.close()


def test_it_stops_while_clients_are_there(server_tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """TLS connections that clients keep open end with the mock, without warnings."""
    for _ in range(5):
        with MockServer(tls=server_tls) as mock:
            clients = [httpx.Client(verify=trusting) for _ in range(4)]
            assert [client.get(f"{mock.base_url}/rate_limit").status_code for client in clients] == [401] * 4
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["--rate-limit", "many"], 2, "is neither CALLS/SECONDS, as in 1000/300, nor `off`"),
        (["--rate-limit", "5/0"], 2, "is neither CALLS/SECONDS"),
        (["--project", "nameless"], 2, "does not have the form owner/name"),
        (["--token", "two words"], 2, "a token is printable ASCII without spaces"),
        (["--data", "/dev/null"], 1, "/dev/null cannot be used as the data folder"),
        (["--data", "/dev/null/sub"], 1, "/dev/null/sub cannot be used as the data folder"),
        (["--host", "203.0.113.1"], 1, "The mock cannot listen at 203.0.113.1:8080"),
        (["--port", "65536"], 2, "65536 is not in the range"),
        (["--min-part-size", "0"], 2, "0 is not in the range"),
        (["--clock-offset", "nan"], 2, "nan is not from -1000000000 to 1000000000 seconds."),
        (["--clock-offset", "-1e12"], 2, "is not from -1000000000 to 1000000000 seconds."),
        (["--part-url-lifetime", "inf"], 2, "inf is not from"),
        (["--part-url-lifetime", "nan"], 2, "nan is not from"),
        (["--key", "/nowhere"], 2, "--key needs --certificate"),
        (["--certificate", "/nowhere"], 2, "/nowhere cannot be read: No such file or directory"),
        (["--certificate", "/dev/null"], 2, "/dev/null: not a certificate in PEM form with its key"),
    ],
)
def test_mistakes_get_one_sentence(options: Sequence[str], status: int, sentence: str) -> None:
    """Wrong usage is one message without a traceback."""
    ended = run("serve", *options)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_and_a_folder_in_use_are_told(tmp_path: Path) -> None:
    """The message says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("serve", "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "is in use. Stop the program that listens there, or use another --port." in ended.stderr
    with serving("--data", str(tmp_path)):
        ended = run("serve", "--port", "0", "--data", str(tmp_path))
    assert ended.returncode == 1
    assert "Is another mock using it?" in ended.stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "state.sqlite").write_bytes(b"no database at all, " * 100)
    ended = run("serve", "--port", "0", "--data", str(tmp_path / "other"))
    assert ended.returncode == 1
    assert "file is not a database" in ended.stderr


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """Killed during puts and started again on the same folder, it has everything that it had accepted."""
    size = 64 * 1024
    options = ("--token", "given-token", "--data", str(tmp_path), "--min-part-size", "1", "--rate-limit", "off")
    parts = {number: os.urandom(size) for number in range(1, 41)}
    reported: dict[int, str] = {}
    with serving(*options) as (process, remote):
        killer = threading.Timer(0.1, process.kill)
        client = Client(remote, checked=False)
        done = client.upload("before.bin", parts[1] + parts[2], part_size=size)
        upload_id = client.start("after.bin", size=size * len(parts), part_size=size)["upload_id"]
        url = client.part_url(upload_id, 40)
        try:
            for number, data in parts.items():
                etag = client.put(upload_id, number, data).headers["ETag"].strip('"')
                client.post(f"upload/multipart/{upload_id}/part", json=report(number, etag)).raise_for_status()
                reported[number] = etag
                if number == 3:
                    killer.start()
        except httpx.TransportError:
            pass
        process.kill()
        process.wait()
        client.close()
    with serving(*options) as (process, remote):
        assert list((tmp_path / "partial").iterdir()) == [], "half-written parts are swept away"
        client = Client(remote, checked=False)
        shown = client.reported(upload_id)
        assert reported.items() <= shown.items()
        assert len(shown) - len(reported) <= 1, "one call may have been done without its answer"
        download = client.get(f"files/{done['id']}/download_info").json()["url"]
        assert client.storage.get(download).content == parts[1] + parts[2]
        assert client.storage.put(
            url.replace(url.split("/")[2], remote.origin.split("/")[2]), content=parts[40]
        ).is_success
        rest = [report(40, md5(parts[40]))]
        missing = set(parts) - set(shown) - {40}
        rest += [report(number, client.put(upload_id, number, parts[number]).headers["ETag"]) for number in missing]
        file = client.complete(upload_id, rest).json()
        url = client.get(f"files/{file['id']}/download_info").json()["url"]
        assert md5(client.storage.get(url).content) == md5(b"".join(parts.values()))
        client.close()
        process.send_signal(signal.SIGTERM)
        process.communicate()


def test_a_mock_in_the_process_keeps_its_folder_too(tmp_path: Path) -> None:
    """`MockServer(data=…)` has everything again, and uploads still belong to their tokens."""
    with MockServer(tokens=("one", "two"), data=tmp_path, seed=5) as server:
        client = Client(server)
        upload_id = client.start(size=3)["upload_id"]
        reports = client.put_all(upload_id, b"abc", 3)
        client.close()
    assert b"one" not in (tmp_path / "state.sqlite").read_bytes(), "no token is written to disk"
    with MockServer(tokens=("two", "one"), data=tmp_path, seed=5) as server:
        owner, other = Client(server, "one"), Client(server, "two")
        assert other.get(f"upload/multipart/{upload_id}").status_code == 404
        assert owner.start("b.bam")["upload_id"] != upload_id, "the seed begins anew, its ids are not given twice"
        assert owner.complete(upload_id, reports).status_code == 201
        owner.close()
        other.close()


def test_what_a_crash_left_behind_is_swept_away(tmp_path: Path) -> None:
    """Half-written parts, and parts that no row uses, are deleted; others stay."""
    with MockServer(data=tmp_path) as server:
        client = Client(server)
        done = client.upload("a.txt", b"abc")
        client.put(client.start("b.txt", size=3)["upload_id"], 1, b"xyz")
        client.close()
    (tmp_path / "partial" / "half").write_bytes(b"ha")
    (tmp_path / "blobs" / "unknown").write_bytes(b"whole")
    with MockServer(data=tmp_path) as server:
        assert list((tmp_path / "partial").iterdir()) == []
        assert sorted(path.read_bytes() for path in (tmp_path / "blobs").iterdir()) == [b"abc", b"xyz"]
        assert server.file_bytes(done["id"]) == b"abc"


def test_mocks_side_by_side_do_not_know_each_other() -> None:
    """Each has its own port and state; stopping one leaves the other."""
    with MockServer() as first, MockServer() as second:
        client, other = Client(first), Client(second)
        client.start()
        assert first.port != second.port
        assert other.get("upload/multipart").json()["items"] == []
        client.close()
        first.stop()
        assert other.get("upload/multipart").status_code == 200
        other.close()


def test_a_mock_that_cannot_start_raises_in_the_thread_that_asked(tmp_path: Path) -> None:
    """A mock that was never started is an error that says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        MockServer(data=tmp_path / "file").start()
    with pytest.raises(RuntimeError, match="never started"):
        MockServer().files()


def test_the_fixture(cavatica_mock: MockServer) -> None:
    """The pytest plugin gives a running mock."""
    assert httpx.get(
        f"{cavatica_mock.base_url}/rate_limit", headers={"X-SBG-Auth-Token": cavatica_mock.token}, verify=False
    ).is_success
