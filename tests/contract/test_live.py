"""A visit to a platform, with the mock and its rate limit in the platform's place."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cavatica_mock import Fault, MockServer
from cavatica_upload.events import Drift as Notice
from tests.contract.answer import Answer, Request
from tests.contract.client import ApiClient
from tests.contract.document import ROOT, operations
from tests.contract.live.drift import Drift, read_baseline
from tests.contract.live.run import RateBudget
from tests.contract.mutants.proxy import served
from tests.contract.options import SEED, Options, UsageError
from tests.contract.server import PROJECT, TOKEN, Target

LIMIT = 1000  # calls, as on a platform


@pytest.fixture
def platform() -> Iterator[MockServer]:
    with MockServer(tokens=(TOKEN,), rate_limit=(LIMIT, 3600), projects=[PROJECT]) as mock:
        yield mock


def visit(platform: MockServer | Target, folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contract", "live"],
        cwd=folder,
        env={
            **os.environ, "BASE_URL": platform.base_url, "TOKEN": TOKEN, "PROJECT": PROJECT, "REPORTS": str(folder),
            "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_a_visit_leaves_nothing_behind(platform: MockServer, tmp_path: Path) -> None:
    """It uses less than half of the limit, causes no 429, shows no token, and deletes everything."""
    process = visit(platform, tmp_path)
    printed, errors = process.communicate()
    assert process.returncode == 0, printed + errors
    assert platform.uploads() == []
    assert platform.files() == []
    assert "0 answers of 429; 0 things not deleted" in printed
    assert sum(platform.calls.values()) < LIMIT / 2
    assert TOKEN not in printed + errors + (tmp_path / "drift.md").read_text()
    assert platform.calls.keys() >= operations().keys()


def test_ctrl_c_takes_everything_away(platform: MockServer, tmp_path: Path) -> None:
    """Interrupted in the middle of a part, the visit cleans up and says so by its exit code."""
    platform.faults.add(Fault("putPart", "stall", times=None))
    process = visit(platform, tmp_path)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    while not any("this visit may use" in line for line in lines):
        pass
    while not platform.calls["putPart"]:
        time.sleep(0.001)
    assert platform.uploads()
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate()
    assert process.returncode == 130, printed + errors
    assert platform.uploads() == []
    assert platform.files() == []


def test_an_upload_whose_start_was_not_answered_is_found(platform: MockServer, tmp_path: Path) -> None:
    """By its name, in the cleanup."""
    platform.faults.add(Fault("startUpload", "lost_answer", after=1))
    process = visit(platform, tmp_path)
    printed, errors = process.communicate()
    assert process.returncode == 1, printed + errors
    assert platform.uploads() == []


def test_known_drifts_do_not_fail_again(tmp_path: Path) -> None:
    """After BASELINE=keep the next visit fails only for new drifts, and lists known ones separately."""
    drift = Notice("listFiles", "the content type", "text/plain").text
    results = []
    with served("wrong_content_type", SEED) as platform:
        for baseline in ("", "keep", ""):
            process = visit(platform, tmp_path, BASELINE=baseline)
            printed, errors = process.communicate()
            results.append((process.returncode, printed + errors))
    assert [code for code, _ in results] == [1, 0, 0], results
    assert drift in results[0][1].partition("New, and break")[2]
    assert drift in results[2][1].partition("Known, and break")[2]
    assert "New, and break" not in results[2][1]
    kept = json.loads((tmp_path / "drift-baseline.json").read_text())[platform.base_url]
    assert kept == [{"operation": "listFiles", "key": "the content type", "came": "text/plain"}]


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 1}', '{"http://x": [1]}'])
def test_a_baseline_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    """One sentence with the file's name."""
    path = tmp_path / "known.json"
    path.write_text(text)
    if text == '{"x": 1}':
        assert read_baseline(path, "http://x") == set()
    else:
        with pytest.raises(UsageError, match=r"known\.json"):
            read_baseline(path, "http://x")


def test_the_drift_report_names_each_key(platform: MockServer) -> None:
    """Additional, missing and different keys are listed, without their values."""
    drift = Drift()
    api = ApiClient(platform.base_url, TOKEN, judge=False, watch=drift.observe)
    body = {"project": PROJECT, "name": "x", "size": 3}
    api.call("startUpload", body=body)
    platform.faults.add(Fault("listUploads", "status", status=418, code=4711))
    api.call("listUploads")
    api.close()
    report = drift.markdown("Drift")
    assert Notice("listUploads", "the status", "418").text in report
    assert len(drift.broken) >= 2
    assert "- startUpload 200: `size`" not in report


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"TOKEN": "t", "BASE_URL": "http://127.0.0.1:1/v2"}, "needs a project"),
        ({"PROJECT": "nonsense"}, "owner/name"),
        ({"PROJECT": PROJECT, "SHARE": "2"}, "SHARE"),
        ({"PROJECT": PROJECT, "SEED": "x"}, "SEED"),
        ({"PROJECT": PROJECT, "BASELINE": "known.json"}, "BASELINE=keep"),
    ],
)
def test_a_visit_that_is_not_safe_is_refused(environment: dict[str, str], sentence: str, tmp_path: Path) -> None:
    """One sentence, exit code 2, and no call."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract", "live"],
        cwd=ROOT, env={**os.environ, **environment, "REPORTS": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("base_url", "token", "sentence"),
    [("http://127.0.0.1:1/v2", TOKEN, "does not answer"), (None, "0" * 32, "refuses the token. Check TOKEN.")],
)
def test_a_visit_that_cannot_begin_is_no_drift(
    platform: MockServer, base_url: str | None, token: str, sentence: str, tmp_path: Path
) -> None:
    """A server that does not answer or refuses the token gets one sentence and exit code 2."""
    process = visit(platform, tmp_path, BASE_URL=base_url or platform.base_url, TOKEN=token)
    printed, errors = process.communicate()
    assert (process.returncode, printed) == (2, "")
    assert sentence in errors
    assert len(errors.splitlines()) == 1


def test_the_allowance_waits_for_the_next_window(platform: MockServer) -> None:
    """If the share is used up it sleeps until the reset; getRateLimit does not wait."""
    slept: list[float] = []
    budget = RateBudget(0.004, lambda: 0, lambda _: None, clock=lambda: 0.0, sleep=slept.append)
    api = ApiClient(platform.base_url, TOKEN, before=budget.before, watch=budget.observe)
    for _ in range(4):
        api.call("listUploads")
    assert slept == []
    api.call("getRateLimit")
    assert slept == []
    api.call("listUploads")
    assert len(slept) == 1
    assert budget.refused == 0
    api.close()


@pytest.mark.parametrize("reset", [99_000_000, 1_795_345_200_000])
def test_no_reset_makes_a_visit_wait_for_days(reset: int) -> None:
    """Not one in milliseconds, and not one that is far away: at most an hour."""
    slept: list[float] = []
    clock = 1_795_345_000.0 if reset > 10**11 else 0.0
    budget = RateBudget(0.5, lambda: 0, lambda _: None, clock=lambda: clock, sleep=slept.append)
    headers = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "1", "x-ratelimit-reset": str(reset)}
    budget.observe(Answer(Request("GET", "http://x", "/v2/x", "/x", {}, None), None, 200, headers, b""))
    budget.before("listUploads")
    assert slept == [201.0 if reset > 10**11 else 3600.0]


def test_options_are_read_from_the_environment() -> None:
    """As make exports them."""
    options = Options.read({"BASE_URL": "http://x/v2/", "TOKEN": "t", "PROJECT": "o/p", "SEED": "7"})
    assert (options.base_url, options.seed, options.project) == ("http://x/v2", 7, "o/p")
    assert "s3cret" not in repr(Options.read({"TOKEN": "s3cret"}))
    assert Options.read({"SEED": "random"}).seed >= 0
    with pytest.raises(UsageError):
        Options.read({"BASE_URL": "http://x/v2"}).given_target()
