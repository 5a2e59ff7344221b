from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from engine_rig import Rig

from cavatica_mock import MockServer
from tests.cli.drifting_proxy import DriftingProxy


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the credentials, the proxies or the journal of the person who runs it."""
    for name in ("SB_AUTH_TOKEN", "SB_API_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CAVATICA_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def mock() -> Iterator[MockServer]:
    """The API on a socket, taking parts of any size."""
    with MockServer(min_part_size=1) as server:
        yield server


@pytest.fixture
def rig(mock: MockServer, tmp_path: Path) -> Iterator[Rig]:
    """The mock, a folder for files, and uploaders that keep their state there."""
    with Rig(mock, tmp_path) as made:
        yield made


@pytest.fixture
def proxy(rig: Rig) -> Iterator[DriftingProxy]:
    """A proxy in front of the mock, used by all uploaders of the rig."""
    with DriftingProxy(rig.mock.base_url) as made:
        rig.options["endpoint"] = made.base_url
        yield made


@pytest.fixture
def rigged(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Make rigs on mocks with other settings."""
    with ExitStack() as stack:

        def make(**settings: object) -> Rig:
            server = stack.enter_context(MockServer(**{"min_part_size": 1, **settings}))
            return stack.enter_context(Rig(server, tmp_path))

        yield make
