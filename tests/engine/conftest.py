from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from engine_rig import Rig

from cavatica_mock import MockServer
from tests.cli.drifting_proxy import DriftingProxy


@pytest.fixture(autouse=True)
def _clean(clean_environment: None) -> None:
    """All tests of this folder have a clean environment."""


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
