"""How Hypothesis looks for examples, signals to commands under test, and certificates for servers on loopback."""

import signal
import ssl
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, settings

# A busy machine is no failure, and a run that failed can be run again: the examples are the same each time.
# pytest --hypothesis-profile random looks for others.
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("random", settings.get_profile("same"), derandomize=False)
settings.load_profile("same")

# A shell that starts the tests in the background has them ignore Ctrl-C, nohup the end of the terminal, and so would
# the commands under test.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An authority that no machine trusts."""
    return trustme.CA()


@pytest.fixture
def authority_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """Its certificate, for those who are to trust it."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The TLS of a server at 127.0.0.1, or platform.invalid behind a proxy, with a certificate of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "platform.invalid").configure_cert(context)
    return context
