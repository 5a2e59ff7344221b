"""What is printed for a finding reproduces it: a request, a sequence, bytes, and the number of a finding."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import attrs
import pytest

from tests.contract import report, reproduce, suite
from tests.contract.answer import Answer, Request
from tests.contract.document import ROOT
from tests.contract.findings import Finding, causes
from tests.contract.mutants.proxy import served
from tests.contract.options import SEED, Options, UsageError
from tests.contract.server import PROJECT, Target

SERVER = {"base_url": "http://127.0.0.1:1/v2", "start": None, "run": "x"}
FINDING = {"check": "x", "wrong": "y", "claim": "z", "steps": []}
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_netcat = pytest.mark.skipif(shutil.which("nc") is None, reason="nc is not installed")


def found(target: Target, phase: str) -> Finding:
    """The first finding of a phase."""
    outcome = suite.PHASES[phase](suite.Run(target, Options(SEED), first=True))
    return causes([outcome])[0].shown


def shell(script: str, target: Target) -> bytes:
    """What a script prints, with the tokens in the environment as its reader has them."""
    environment = {**os.environ, "TOKEN": target.token, "OTHER_TOKEN": target.other_token or ""}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, check=False).stdout


def answered(printed: bytes, finding: Finding) -> Answer:
    """The answer that curl or nc printed."""
    match = re.match(rb"HTTP/1\.1 (\d+)[^\r]*\r\n(.*?)\r\n\r\n(.*)", printed, re.DOTALL)
    assert match, printed
    pairs = (line.decode().split(": ", 1) for line in match[2].split(b"\r\n"))
    request, operation = finding.steps[-1].request, finding.steps[-1].operation
    return Answer(request, operation, int(match[1]), {name.lower(): value for name, value in pairs}, match[3])


@needs_curl
@pytest.mark.parametrize(
    ("mutant", "phase", "sequence"),
    [
        ("relative_href", "raw", True),  # a file that is completed first
        ("missing_key", "raw", True),  # an id that is written with a percent sign
        ("strangers_may_look", "raw", True),  # another's token
        ("bulk_in_pieces", "raw", True),  # a refused list before it
        ("total_off_by_one", "raw", True),  # what a list counts
        ("bytes_after_the_end", "raw", True),  # bytes to a signed URL
        ("wrong_content_type", "raw", False),
        ("undeclared_status", "model", True),
        ("no_allow", "unit", False),
        ("wrong_type", "unit", False),
        ("one_open_operation", "unit", True),
        ("naive_dates", "stateful", True),
    ],
)
def test_printed_curls_show_the_finding(mutant: str, phase: str, sequence: bool) -> None:
    """On the mutant after a reset, so that ids and files are gone."""
    with served(mutant, SEED) as target:
        finding = found(target, phase)
        with contextlib.closing(target.api()) as api:
            api.reset_mock()
        script = reproduce.script(finding.steps, attrs.evolve(target, start=()))
        assert script is not None
        assert target.token not in script
        assert "[Filtered]" not in script
        assert ("\n" in script) is sequence
        answer = answered(shell(script, target), finding)
        ids = dict(zip(_ids(finding.steps[-1]), _ids(answer), strict=False))
        assert reproduce.same_fault(finding.steps[-1], answer, ids), script


def _ids(answer: Answer) -> list[str]:
    return re.findall(r"[0-9A-Za-z]{20,}", answer.body.decode("utf-8", "replace"))


@needs_netcat
def test_printed_bytes_show_the_finding() -> None:
    """A header that no client's library sends is sent by printf and nc."""
    with served("tokens_in_any_case", SEED) as target:
        finding = found(target, "raw")
        script = reproduce.script(finding.steps, attrs.evolve(target, start=()))
        assert script is not None
        assert "| nc " in script
        answer = answered(shell(script, target), finding)
    assert answer.status == finding.steps[-1].status == 200


@needs_curl
def test_a_sequence_starts_a_server_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings on our own server can be reproduced after the run: the script starts the server first and ends it."""
    with served("missing_key", SEED) as target:
        finding = found(target, "raw")
    for port in range(20_000 + os.getpid() % 10_000, 32_000):  # below those that the kernel may give to others
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            monkeypatch.setattr(reproduce, "PORT", port)
            break
    script = reproduce.script(finding.steps, target)
    assert script is not None
    assert "mutants serve missing_key" in script
    printed = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, check=False).stdout
    answer = answered(printed[printed.index(b"HTTP/1.1") :], finding)
    assert answer.status == 200
    assert "uploaded_parts_count" not in answer.json()


@needs_curl
@pytest.mark.parametrize("body", [b"\xff\x00\\\n%s'", b"@file", b"", b'{"a": "$x `y` \'z\'"}', "é".encode()])
def test_curl_sends_the_very_bytes(body: bytes) -> None:
    """Whatever the body is, and without a content type of curl's own."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def take() -> None:
            connection, _ = server.accept()
            with connection:
                data = b""
                while not data.endswith(b"\r\n\r\n" + body):
                    data += connection.recv(65536)
                received.append(data)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        origin = f"http://127.0.0.1:{port}"
        request = Request("POST", origin, "/v2/a/../%2F?x=[1]{2}", "/a/../%2F", {"X-Odd": "a'b"}, body)
        command = reproduce.curl(request, Target(f"{origin}/v2", "t0k3n-t0k3n", PROJECT, own=False))
        assert command is not None
        subprocess.run(["bash", "-c", command], capture_output=True, check=True)
        thread.join(30)
    head = received[0].partition(b"\r\n\r\n")[0]
    assert head.startswith(b"POST /v2/a/../%2F?x=[1]{2} HTTP/1.1\r\n")
    assert b"X-Odd: a'b" in head
    assert b"content-type" not in head.lower()


@pytest.mark.parametrize("target", ["/v2/a b", "/v2/a\x00", "/v2/" + "a" * 9000])
def test_what_curl_cannot_send_is_left_to_replay(target: str) -> None:
    """No line is printed that would send something else."""
    server = Target("http://x/v2", "t0k3n-t0k3n", PROJECT, own=False)
    assert reproduce.curl(Request("GET", "http://x", target, target, {}, None), server) is None


def test_replay_shows_a_finding_of_the_last_run(tmp_path: Path) -> None:
    """By its number: on the broken server, not on the mock, and no file contains the token."""
    environment = {**os.environ, "REPORTS": str(tmp_path)}
    command = [sys.executable, "-m", "tests.contract", "replay", "1"]
    with served("parts_of_another", SEED) as target:
        foreign = attrs.evolve(target, own=False, start=(), run="first")
        outcome = suite.raw(suite.Run(foreign, Options(SEED), first=True))
        report.write(tmp_path, [outcome], SEED, foreign)
        given = {**environment, "BASE_URL": target.base_url, "TOKEN": target.token}
        broken = subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, check=False)
    with served("none", SEED) as target:
        given = {**environment, "BASE_URL": target.base_url, "TOKEN": target.token}
        honest = subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (broken.returncode, broken.stdout.splitlines()[-1]) == (1, "Reproduced."), broken.stdout + broken.stderr
    assert (honest.returncode, honest.stdout.splitlines()[-1]) == (0, "Not reproduced."), honest.stdout + honest.stderr
    for path in tmp_path.iterdir():
        assert target.token not in path.read_text()


@pytest.mark.parametrize("number", ["0", "2", "one", "-1", "²"])
def test_replay_of_no_finding_is_refused(number: str, tmp_path: Path) -> None:
    """One sentence with the numbers that there are."""
    with pytest.raises(UsageError, match="make contract"):
        reproduce.replay(number, Options(SEED, reports=tmp_path))
    (tmp_path / "findings.json").write_text(json.dumps({"server": SERVER, "findings": [FINDING]}))
    with pytest.raises(UsageError, match="1 to 1"):
        reproduce.replay(number, Options(SEED, reports=tmp_path))


@pytest.mark.parametrize(
    "saved",
    [
        [],
        {"findings": [FINDING]},
        {"server": {"base_url": "http://x/v2"}, "findings": [FINDING]},
        {"server": SERVER, "findings": [{"check": "x", "wrong": "y", "steps": []}]},
        {"server": SERVER, "findings": [FINDING | {"steps": [{"request": {"method": "GET", "url": "http://x"}}]}]},
        {"server": SERVER, "findings": [FINDING | {"steps": [None]}]},
    ],
)
def test_findings_of_another_version(saved: object, tmp_path: Path) -> None:
    """One sentence says to run the suite again."""
    (tmp_path / "findings.json").write_text(json.dumps(saved))
    with pytest.raises(UsageError, match=r"was not written by this version\. Run `make contract` again\."):
        reproduce.replay("1", Options(SEED, reports=tmp_path))
