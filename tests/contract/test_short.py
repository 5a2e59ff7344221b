"""The suite in its short form: the mock passes, over a real socket and as a process of its own."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.contract import report, suite
from tests.contract.answer import Broken
from tests.contract.client import CallCounts
from tests.contract.document import ROOT, operations
from tests.contract.findings import Cause, Finding, Outcome
from tests.contract.forced_statuses import UNREACHABLE, demand_everything
from tests.contract.forced_statuses import run as force
from tests.contract.options import SEED, Options, UsageError, check_target
from tests.contract.requests import client as raw_client
from tests.contract.requests.client import RawClient
from tests.contract.schemathesis import run as schemathesis_run
from tests.contract.server import PROJECT, TOKEN, Target, mock_arguments, mock_server, of_mock, started


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """The mock, with a limit that counts but is not met."""
    with mock_server(seed=1, rate_limit=(9_000_000, 3600)) as mock:
        yield of_mock(mock.base_url)


def passed(outcome: Outcome) -> Outcome:
    """The outcome, which has no findings."""
    assert not outcome.findings, "\n".join(f"{f.check}: {f.message}" for f in outcome.findings)
    return outcome


@pytest.mark.parametrize("claim", raw_client.CLAIMS, ids=raw_client.sentence)
def test_raw_requests(claim: raw_client.Claim, target: Target) -> None:
    """The claim holds for the mock."""
    with RawClient.at(target) as at:
        at.api.reset_mock()
        at.known.learn()
        claim(at)


def test_requests_over_tls(server_tls: ssl.SSLContext, authority_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All claims hold over TLS, as on any platform, and without a rate limit."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority_file))
    with mock_server(seed=1, tls=server_tls) as mock:
        outcome = passed(raw_client.run(of_mock(mock.base_url), raw_client.CLAIMS))
        passed(schemathesis_run.run(of_mock(mock.base_url), ("examples",), SEED))
    assert len(outcome.claims) >= len(raw_client.CLAIMS)


def test_unknown_authority_is_told(server_tls: ssl.SSLContext) -> None:
    """If the certificate of a server cannot be verified, the sentence names SSL_CERT_FILE."""
    with (
        mock_server(seed=1, tls=server_tls) as mock,
        pytest.raises(UsageError, match=r"CERTIFICATE_VERIFY_FAILED.*Check SSL_CERT_FILE\."),
    ):
        check_target(of_mock(mock.base_url))


def test_no_finding_shows_the_token(target: Target) -> None:
    """A request that was written by hand is shown without the token if its answer breaks off."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    with socket.create_server(("127.0.0.1", 0)) as server, RawClient.at(target) as at:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(half)

        thread = threading.Thread(target=answer)
        thread.start()
        other = attrs.evolve(at, target=attrs.evolve(target, base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v2"))
        with pytest.raises(Broken) as caught:
            other.speak("GET {v2}/rate_limit HTTP/1.1\nHost: {host}")
        thread.join()
    finding = Finding.of(caught.value)
    told = report.describe(1, Cause(finding, Counter(there=1)), other.target)
    assert TOKEN not in told
    assert '"$TOKEN"' in told


def test_the_model_agrees_with_the_mock(target: Target) -> None:
    """In process: the state machine finds no difference, and uploads are completed on the way."""
    outcome = passed(suite.model(suite.Run(target, Options(SEED)), examples=60, steps=20))
    assert not outcome.too_few
    assert outcome.counts.lives["completed"] > 3


def test_forced_statuses(target: Target) -> None:
    """Every status that the document declares can be brought out, but for those that are listed with a reason."""
    seen = CallCounts()
    for operation in operations().values():
        seen.seen.update((operation.id, status) for status in operation.declared if status < 300)
    outcome = force(target, seen, SEED)
    demand_everything(outcome, CallCounts.of((seen, outcome.counts)))
    passed(outcome)
    assert all(status in operations()[name].declared for name, status in UNREACHABLE)


def test_schemathesis_as_a_user_runs_it() -> None:
    """By its command line, on the mock as a process: examples and coverage."""
    with started(mock_arguments(SEED)) as served:
        outcome = passed(schemathesis_run.run(served, ("examples", "coverage"), SEED))
    assert outcome.facts["cases"] > 500
    assert {name for name, _ in outcome.counts.seen} >= operations().keys()


def test_a_wrong_token_fails_the_run() -> None:
    """401 is a right answer to anything; a run in which it is the only one is not a success."""
    with started(mock_arguments(SEED)) as served:
        stranger = Target(served.base_url, "0" * 32, PROJECT, own=True)
        outcome = schemathesis_run.run(stranger, ("examples",), SEED)
    assert outcome.findings


def processes(folder: Path) -> list[str]:
    """The command lines of the processes that have this folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # of another user, or it has ended
    return [line for line in found if "resource_tracker" not in line]  # which ends a moment later


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("command", "begun"),
    [
        ("-m tests.contract run", "contract-*/events.ndjson"),
        ("-m tests.contract mutants", "contract-*/events.ndjson"),
        ("tests/cli/drift_matrix.py", "tmp*/tmp*"),
    ],
    ids=["contract", "mutants", "drift"],
)
def test_sigterm_leaves_nothing_running(command: str, begun: str, tmp_path: Path) -> None:
    """SIGTERM to the command alone, as make passes it on, ends every process that it started and deletes its files."""
    work = tmp_path / "work"
    work.mkdir()
    with subprocess.Popen(
        [sys.executable, *command.split()], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(work), "ONLY": "unit", "REPORTS": str(tmp_path)},
    ) as process:  # fmt: skip
        while not any(work.glob(begun)):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate()
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    assert processes(tmp_path) == []
    assert list(work.iterdir()) == []
