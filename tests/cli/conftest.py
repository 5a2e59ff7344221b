"""What the tests of the command line share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_machine import Machine

from cavatica_mock import MockServer


@pytest.fixture
def mock() -> Iterator[MockServer]:
    """A fresh server that takes parts of any size."""
    with MockServer(min_part_size=1) as server:
        yield server


@pytest.fixture
def machine(mock: MockServer, tmp_path: Path) -> Machine:
    """A user with a token."""
    return Machine(mock, tmp_path)
