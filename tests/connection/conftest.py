import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from loopback import QUICK, TOKEN, Loopback, Reply

from cavatica_upload.api.client import Api, connect


@pytest.fixture(autouse=True)
def _clean(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests of this folder have a clean environment, and see the logs, which the command line hides."""
    monkeypatch.setattr(logging.getLogger("cavatica_upload"), "propagate", True)


@pytest.fixture
def serve() -> Iterator[Callable[..., Loopback]]:
    """Start servers that are closed after the test."""
    with ExitStack() as stack:

        def start(*replies: Reply | str) -> Loopback:
            return stack.enter_context(Loopback(*replies))

        yield start


@pytest.fixture
def client_of() -> Iterator[Callable[..., Api]]:
    """Make clients of a server that are closed after the test."""
    with ExitStack() as stack:

        def make(server: Loopback, **options: object) -> Api:
            options.setdefault("timing", QUICK)
            return stack.enter_context(connect(TOKEN, server.url, **options))  # type: ignore[arg-type]

        yield make
