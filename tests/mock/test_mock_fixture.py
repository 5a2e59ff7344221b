"""The pytest plugin: its requirements, its cost, and its options."""

import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from cavatica_mock import MockServer

WITHOUT_EXTRA = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"aiohttp", "jsonschema_rs", "yaml", "uvloop", "trustme"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""

# Other plugins of this environment import what they like.
QUIET = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:anyio")


def run(folder: Path, *command: str, extra: bool = True) -> subprocess.CompletedProcess[str]:
    """A separate Python; without the extra it lacks the packages that the mock needs."""
    if not extra:
        (folder / "sitecustomize.py").write_text(WITHOUT_EXTRA)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_pytest_runs_without_the_extra(tmp_path: Path) -> None:
    """Without aiohttp an environment with cavatica-upload runs its tests; only the fixture fails, and says why."""
    (tmp_path / "test_theirs.py").write_text("def test_one(): pass\ndef test_two(cavatica_mock): pass\n")
    done = run(tmp_path, "-m", "pytest", *QUIET, "test_theirs.py", extra=False)
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "The mock needs" in done.stdout
    assert "pip install ./generated '.[mock]'" in done.stdout


def test_pytest_imports_nothing_heavy_until_the_fixture_is_asked_for(tmp_path: Path) -> None:
    """A run that does not use the mock does not import it."""
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n"
        "def test_one(): assert not {'aiohttp', 'jsonschema_rs', 'yaml', 'attrs', 'httpx'} & sys.modules.keys()\n"
    )
    done = run(tmp_path, "-m", "pytest", *QUIET, "test_theirs.py")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_command_says_which_extra_is_missing(tmp_path: Path) -> None:
    """One sentence, no traceback."""
    done = run(tmp_path, "-m", "cavatica_mock", "serve", "--port", "0", extra=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The mock needs aiohttp")
    assert "pip install ./generated '.[mock]'" in done.stderr
    assert run(tmp_path, "-m", "cavatica_mock", "--help", extra=False).returncode == 0


@pytest.mark.cavatica_mock(rate_limit=(7, 60), part_size=5)
class TestMarker:
    """Markers set options of the fixture."""

    def test_options_reach_the_mock(self, cavatica_mock: MockServer) -> None:
        """Those of the class."""
        headers = {"X-SBG-Auth-Token": cavatica_mock.token}
        answer = httpx.get(f"{cavatica_mock.base_url}/upload/multipart", headers=headers)
        assert answer.headers["X-RateLimit-Limit"] == "7"
        body = {"name": "a", "project": "o/p", "size": 10}
        started = httpx.post(f"{cavatica_mock.base_url}/upload/multipart", headers=headers, json=body)
        assert started.json()["part_size"] == 5

    @pytest.mark.cavatica_mock(rate_limit=(3, 60))
    def test_the_nearest_marker_wins(self, cavatica_mock: MockServer) -> None:
        """The nearest marker wins for each option; other options stay."""
        assert (cavatica_mock.settings.rate_limit, cavatica_mock.settings.part_size) == ((3, 60), 5)


@pytest.mark.cavatica_mock(https=True)
def test_the_fixture_serves_https(cavatica_mock: MockServer) -> None:
    """It has its own authority, which clients do not trust by default."""
    assert cavatica_mock.base_url.startswith("https://127.0.0.1:")
    headers = {"X-SBG-Auth-Token": cavatica_mock.token}
    trusting = ssl.create_default_context(cafile=str(cavatica_mock.ca_file))
    assert httpx.get(f"{cavatica_mock.base_url}/rate_limit", headers=headers, verify=trusting).status_code == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{cavatica_mock.base_url}/rate_limit", headers=headers)


def test_the_factory_makes_several_mocks(cavatica_mock_factory: Callable[..., MockServer]) -> None:
    """Several mocks run together, each with its own options."""
    one, two = cavatica_mock_factory(), cavatica_mock_factory(tokens=["another"])
    assert one.base_url != two.base_url
    assert two.token == "another"
    with pytest.raises(RuntimeError, match="https=True"):
        _ = one.ca_file


def test_an_option_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """An unknown option in a marker is an error, and so is an option without its name."""
    (tmp_path / "test_theirs.py").write_text(
        "import pytest\n"
        "@pytest.mark.cavatica_mock(rate_limmit=(1, 2))\ndef test_one(cavatica_mock): pass\n"
        "@pytest.mark.cavatica_mock(5)\ndef test_two(cavatica_mock): pass\n"
    )
    done = run(tmp_path, "-m", "pytest", "--strict-markers", "-p", "no:cacheprovider", "test_theirs.py")
    assert "2 errors" in done.stdout
    assert "rate_limmit" in done.stdout
    assert "takes options by name" in done.stdout
