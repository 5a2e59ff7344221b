"""The pytest fixtures `cavatica_mock` and `cavatica_mock_factory`.

This module is imported in every pytest run of an environment that has cavatica-upload. So it imports nothing of the
mock until a test asks for a fixture.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cavatica_mock import MockServer


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "cavatica_mock(**options): options of MockServer for the fixture cavatica_mock, as in "
        "@pytest.mark.cavatica_mock(rate_limit=(1000, 300), part_size=5, https=True)",
    )


@pytest.fixture
def cavatica_mock_factory() -> Iterator[Callable[..., "MockServer"]]:
    """Starts mocks with the options of MockServer; all of them are gone when the test ends."""
    from cavatica_mock import MockServer

    with ExitStack() as started:
        yield lambda **options: started.enter_context(MockServer(**options))


@pytest.fixture
def cavatica_mock(request: pytest.FixtureRequest, cavatica_mock_factory: Callable[..., "MockServer"]) -> "MockServer":
    """A fresh mock on a free port of this machine: `cavatica_mock.base_url`, `cavatica_mock.token`.

    No rate limit, no faults. `@pytest.mark.cavatica_mock(...)` on the test, its class or its module gives options of
    MockServer; the marker that is nearest to the test wins, option by option.

    The vendor's SDK refuses plain http: give it `debug=True`, or mark the test with `https=True` and set
    REQUESTS_CA_BUNDLE to `cavatica_mock.ca_file`.
    """
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("cavatica_mock"))):
        if marker.args:
            raise TypeError("@pytest.mark.cavatica_mock takes options by name, as in part_size=5")
        options |= marker.kwargs
    return cavatica_mock_factory(**options)
