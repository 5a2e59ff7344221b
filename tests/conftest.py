"""Shared by all tests: Hypothesis profiles, signals, a clean environment, a mock, certificates for loopback."""

import os
import re
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, settings

from cavatica_mock import MockServer

# No failure because of a slow machine, and the same examples in each run, so that a failure can be repeated.
# pytest --hypothesis-profile random uses others.
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("random", settings.get_profile("same"), derandomize=False)
settings.load_profile("same")

# If the tests run in the background or under nohup, they ignore these signals, and so would the commands under test.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


# The proxies, credentials and settings of the person who runs the tests are not for the programs under test.
SETTINGS = re.compile(
    r"SB_.*|CAVATICA_.*|SLURM_.*|SSL_CERT_.*|(?i:.*_PROXY)"
    "|BASE_URL|TOKEN|OTHER_TOKEN|PROJECT|PROFILE|SEED|SHARE|ONLY|REPORTS|BEHIND|BASELINE"  # of the contract suite
)
for name in filter(SETTINGS.fullmatch, list(os.environ)):
    del os.environ[name]


@pytest.fixture
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Hide the credentials and the journal of the person who runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("CAVATICA_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def mock() -> Iterator[MockServer]:
    """A mock that accepts parts of any size."""
    with MockServer(min_part_size=1) as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that no machine trusts."""
    return trustme.CA()


@pytest.fixture
def authority_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """The certificate of the authority as a file."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """TLS for a server at 127.0.0.1, or at platform.invalid behind a proxy, with a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "platform.invalid").configure_cert(context)
    return context
