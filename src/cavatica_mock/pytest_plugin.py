"""The pytest fixture `cavatica_mock`, for any project that has cavatica-upload[mock] installed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cavatica_mock.server import MockServer


@pytest.fixture
def cavatica_mock() -> Iterator["MockServer"]:
    """A fresh MockServer on a free port of this machine, without a rate limit, gone when the test ends."""
    from cavatica_mock.server import MockServer  # here, so that a test run without the fixture imports no server

    with MockServer() as server:
        yield server
