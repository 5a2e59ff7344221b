from collections.abc import Iterator

import pytest
from mock_client import Client

from cavatica_mock import MockServer


@pytest.fixture
def server() -> Iterator[MockServer]:
    """A mock that takes parts of any size, so that a few bytes make many parts."""
    with MockServer(tokens=("first-token", "second-token"), min_part_size=1) as mock:
        yield mock


@pytest.fixture
def client(server: MockServer) -> Iterator[Client]:
    client = Client(server)
    yield client
    client.close()


@pytest.fixture
def stranger(server: MockServer) -> Iterator[Client]:
    """Another user of the same mock."""
    client = Client(server, "second-token")
    yield client
    client.close()
