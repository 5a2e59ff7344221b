from pathlib import Path

import pytest
from cli_machine import Machine

from cavatica_mock import MockServer


@pytest.fixture
def machine(mock: MockServer, tmp_path: Path) -> Machine:
    """A user with a token."""
    return Machine(mock, tmp_path)
