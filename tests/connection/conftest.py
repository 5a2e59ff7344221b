from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from loopback import TOKEN, Loopback, Reply

from cavatica_upload.budget import window
from cavatica_upload.connection import connect
from cavatica_upload.http import retry
from cavatica_upload.http.client import SafeClient


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the credentials or the proxies of the person who runs it."""
    for name in ("SB_AUTH_TOKEN", "SB_API_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are shortened a hundred times; their drawing is tested by itself."""
    monkeypatch.setattr(retry, "FIRST_PAUSE", retry.FIRST_PAUSE / 100)
    monkeypatch.setattr(retry, "LONGEST_PAUSE", retry.LONGEST_PAUSE / 1000)
    monkeypatch.setattr(retry, "MARGIN", 0.01)
    monkeypatch.setattr(window, "MARGIN", 0.1)


@pytest.fixture
def serve() -> Iterator[Callable[..., Loopback]]:
    """Start servers that are closed after the test."""
    with ExitStack() as stack:

        def start(*replies: Reply | str) -> Loopback:
            return stack.enter_context(Loopback(*replies))

        yield start


@pytest.fixture
def client_of(quick: None) -> Iterator[Callable[..., SafeClient]]:
    """Make clients of a server that are closed after the test."""
    with ExitStack() as stack:

        def make(server: Loopback, **options: object) -> SafeClient:
            options.setdefault("timeout", 5.0)
            return stack.enter_context(connect(TOKEN, server.url, **options))  # type: ignore[arg-type]

        yield make
