import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from loopback import QUICK, TOKEN, Loopback, Reply

from cavatica_upload.api.client import Api, connect


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the credentials or the proxies of the person who runs it."""
    for name in ("SB_AUTH_TOKEN", "SB_API_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(logging.getLogger("cavatica_upload"), "propagate", True)  # which the command switches off


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
            options.setdefault("timeout", 5.0)
            options.setdefault("timing", QUICK)
            return stack.enter_context(connect(TOKEN, server.url, **options))  # type: ignore[arg-type]

        yield make
