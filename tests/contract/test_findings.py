"""Findings of one cause are shown once, with their count; what a run did not try enough is shown and not a failure."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.contract import report, suite
from tests.contract.answer import CONTRACT, TRANSPORT, Answer, Request
from tests.contract.document import ROOT, operations
from tests.contract.findings import Finding, Outcome, causes, layer_of, notes
from tests.contract.mutants.proxy import served
from tests.contract.options import SEED, Options
from tests.contract.schemathesis import run as schemathesis_run
from tests.contract.server import PROJECT, TOKEN, unproxied
from tests.contract.trace import Trace


def answer(operation: str, status: int, target: str = "/v2/x", method: str = "GET", body: bytes = b"<html>") -> Answer:
    """An answer in HTML without the headers of the API."""
    path = target.partition("?")[0].removeprefix("/v2")
    request = Request(method, "http://x", target, path, {}, None)
    return Answer(request, operations()[operation], status, {"content-type": "text/html"}, body)


def test_one_cause_is_one_finding() -> None:
    """Whatever ids and numbers differ; another status is another cause."""
    outcome = Outcome("raw")
    for number, name in enumerate(("getUpload", "getFile", "getUpload")):
        wrong = f"{number} items at offset {number + 7} where 3 are right"
        outcome.found(name, Finding.of(answer(name, 200).broken("page_size", wrong)))
    outcome.found(
        "other", Finding.of(answer("getUpload", 400).broken("page_size", "1 items at offset 7 where 3 are right"))
    )
    shown = causes([outcome])
    assert [cause.times for cause in shown] == [3, 1]
    assert shown[0].seen_on == "getUpload answered 200 x 2, getFile answered 200"


def test_a_start_that_is_broken_is_one_finding(tmp_path: Path) -> None:
    """A renamed required key is one finding with a count, without what follows from it."""
    with served("renamed_key", SEED) as target:
        run = suite.Run(target, Options(SEED, reports=tmp_path))
        generated = schemathesis_run.run(target, ("examples", "coverage"), SEED)
        outcomes = [generated, suite.model(run), suite.raw(run)]
        found = causes(outcomes)
    assert [(cause.shown.check, cause.seen_on.partition(" x ")[0]) for cause in found] == [
        ("body_schema", "startUpload answered 200")
    ], [cause.shown.message for cause in found]
    assert found[0].times > 20


@pytest.mark.parametrize(
    ("target", "method", "status", "layer"),
    [
        ("/v2/upload/multipart/x", "TRACE", 405, TRANSPORT),
        ("/v2/upload/multipart/%00", "GET", 400, TRANSPORT),
        ("/v2/upload/multipart/../x", "GET", 200, TRANSPORT),
        ("/v2/upload//multipart", "GET", 200, TRANSPORT),
        ("/v2/files/a%2Fb", "GET", 404, TRANSPORT),
        ("/v2/files/%zz", "GET", 400, TRANSPORT),
        ("/v2/files/abc", "GET", 404, CONTRACT),  # a page in HTML for an id that is not there
        ("/v2/files/abc?name=%00", "GET", 400, CONTRACT),
        ("/v2/files/%41bc", "GET", 404, CONTRACT),
        ("/v2/files/abc", "PATCH", 405, CONTRACT),
        ("/v2/files/abc", "GET", 502, CONTRACT),
    ],
)
def test_the_layer_is_that_of_the_request(target: str, method: str, status: int, layer: str) -> None:
    """A gateway's own answer is excused only for what no client sends."""
    assert layer_of(answer("getFile", status, target, method), "media_type")[0] == layer


def test_no_gateway_is_an_excuse_for_what_the_api_says() -> None:
    """A failure that the API itself reports, and a token in an answer, count for any request."""
    odd = "/v2/files/%00"
    assert layer_of(answer("getFile", 500, odd, body=b'{"status": 500}'), "declared_status")[0] == CONTRACT
    assert layer_of(answer("getFile", 400, odd), "token_in_answer")[0] == CONTRACT


def test_a_note_stands_once_for_each_kind() -> None:
    """And only on a server that is not ours; on ours it is a finding."""
    for own in (True, False):
        outcome = Outcome("raw", own=own)
        for target in ("/v2/files/%00", "/v2/upload/multipart/%00", "/v2/files//x"):
            broken = answer("getFile", 400, target).broken("media_type", "text/html")
            outcome.found(target, Finding.of(broken, Trace()))
        assert (len(outcome.findings), len(notes([outcome]))) == ((3, 0) if own else (0, 2))


@pytest.mark.parametrize("seed", [540997595, 1, 2])
def test_every_outcome_of_the_model_is_reached_by_construction(seed: int) -> None:
    """Whatever the seed, and however few the examples."""
    with served("none", seed) as target:
        outcome = suite.model(suite.Run(target, Options(seed)), examples=1, steps=1)
    assert (outcome.findings, outcome.too_few) == ([], [])


def test_too_few_is_no_failure(tmp_path: Path) -> None:
    """It is printed; the result depends on the findings."""
    outcome = Outcome("stateful", too_few=["3 scenarios were run; at least 120 are needed"])
    said: list[str] = []
    with served("none", SEED) as target:
        report.write(tmp_path, [outcome], SEED, target)
        assert suite.conclude([outcome], Options(SEED, reports=tmp_path), target, said.append) == 0
    text = "\n".join(said)
    assert "Not tried enough to prove much:\n- stateful: 3 scenarios were run" in text
    assert "FAILED" not in text
    assert "3 scenarios" in (tmp_path / "contract.md").read_text()


def run_suite(tmp_path: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command, on a server that is given."""
    return subprocess.run(
        [sys.executable, "-m", "tests.contract", "run"], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PROJECT": PROJECT, "REPORTS": str(tmp_path), **environment},
    )  # fmt: skip


def test_loopback_is_never_proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY alone, as in a company's network: schemathesis too speaks to the mock itself."""
    with socket.create_server(("127.0.0.1", 0)) as proxy, served("none", SEED) as target:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        outcome = schemathesis_run.run(target, ("examples",), SEED)
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert outcome.findings == []
    assert outcome.facts["cases"] > 10


@pytest.mark.parametrize(("url", "local"), [("http://[::1]:80/v2", True), ("https://api.example.org/v2", False)])
def test_a_proxy_is_kept_for_other_hosts(url: str, local: bool) -> None:
    """Only loopback is excepted, and what NO_PROXY lists already stays in it."""
    assert bool(unproxied(url)) is local


def test_a_short_token_is_said_once(tmp_path: Path) -> None:
    """`tok` is in every message about a token: there is no finding, and a line says what is not checked."""
    from cavatica_mock import MockServer

    with MockServer(tokens=("tok",), seed=1, projects=[PROJECT], part_size=16, rate_limit=(90000, 3600)) as mock:
        done = run_suite(tmp_path, BASE_URL=mock.base_url, TOKEN="tok", ONLY="raw model")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("TOKEN is shorter than 8 characters") == 1


def test_reports_hold_the_requests_of_findings(tmp_path: Path) -> None:
    """For CI and for replay, without the token."""
    with served("missing_key", SEED) as target:
        foreign = attrs.evolve(target, own=False, start=())
        outcome = suite.raw(suite.Run(foreign, Options(SEED)))
        report.write(tmp_path, [outcome], SEED, foreign)
    saved: dict[str, Any] = json.loads((tmp_path / "findings.json").read_text())
    assert saved["findings"][0]["check"] == "body_schema"
    assert "body_schema" in (tmp_path / "contract.xml").read_text()
    assert not [path for path in tmp_path.iterdir() if TOKEN in path.read_text()]
