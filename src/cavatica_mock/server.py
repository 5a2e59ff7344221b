"""MockServer: the mock in a thread of its own, behind a real socket."""

import asyncio
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from cavatica_mock.faults import Fault, Faults
from cavatica_mock.http import Mock
from cavatica_mock.settings import MIN_PART_SIZE, PART_URL_LIFETIME, Settings, made_up_token

T = TypeVar("T")
CA_FILE = "authority.pem"


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop of uvloop if it is installed: it receives large PUTs faster."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _own_authority(host: str) -> tuple[ssl.SSLContext, tempfile.TemporaryDirectory[str]]:
    """The TLS of a server with a certificate of a new authority, and a folder with the authority's certificate."""
    import trustme  # slow to import, and needed for https only

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, "localhost").configure_cert(context)
    folder = tempfile.TemporaryDirectory(prefix="cavatica-mock-ca-")
    authority.cert_pem.write_to_path(Path(folder.name) / CA_FILE)
    return context, folder


@asynccontextmanager
async def serving(settings: Settings, faults: Faults, host: str, port: int) -> AsyncIterator[Mock]:
    """A mock that listens in this thread's event loop. Raises OSError or sqlite3.Error if it cannot."""
    async with AsyncExitStack() as stack:
        folder = settings.data
        if folder is None:
            temporary = tempfile.TemporaryDirectory(prefix="cavatica-mock-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(temporary))
        mock = Mock(settings, folder, faults)
        stack.push_async_callback(mock.close)
        await mock.listen(host, port)
        yield mock


class MockServer:
    """The API on a free port of 127.0.0.1, during a `with` block.

    State is in memory and bytes are in a temporary folder, unless `data` names a folder, which is kept. `rate_limit` is
    (calls, seconds) for each token, None for no limit. With `https` the mock speaks TLS with a certificate of its own
    authority, which clients find at `ca_file`; `tls` (a server's context with its certificate) uses another. With
    `storage`, an origin such as https://127.0.0.1:9000, part URLs lead there, and `stored()` tells the mock what
    arrived. Raises OSError if it cannot listen or write, ValueError for invalid options.
    """

    def __init__(
        self,
        *,
        tokens: Iterable[str] = (),
        rate_limit: tuple[int, float] | None = None,
        data: Path | str | None = None,
        faults: Iterable[Fault] = (),
        seed: int | None = 0,
        projects: Iterable[str] | Mapping[str, bool] | None = None,
        min_part_size: int = MIN_PART_SIZE,
        part_size: int | None = None,
        part_url_lifetime: float = PART_URL_LIFETIME,
        clock: Callable[[], float] | None = None,
        https: bool = False,
        tls: ssl.SSLContext | None = None,
        storage: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._authority: tempfile.TemporaryDirectory[str] | None = None
        if https and tls is None:
            tls, self._authority = _own_authority(host)
        self.settings = Settings(
            tokens=tuple(tokens) or (made_up_token(seed),),
            rate_limit=rate_limit,
            data=None if data is None else Path(data),
            seed=seed,
            projects=None if projects is None else _writable(projects),
            min_part_size=min_part_size,
            part_size=part_size,
            part_url_lifetime=part_url_lifetime,
            clock=clock or time.time,
            tls=tls,
            storage=storage,
        )
        self.faults = Faults(faults)
        self.host, self.port = host, port
        self._mock: Mock | None = None
        self._portal: BlockingPortal | None = None
        self._started = ExitStack()

    @property
    def token(self) -> str:
        return self.settings.tokens[0]

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.settings.tokens

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a path."""
        return f"{self.settings.scheme}://{self.host}:{self.port}" if self._mock is None else self._mock.origin

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v2"

    @property
    def ca_file(self) -> Path:
        """The authority's certificate in PEM form, for clients that are to trust it. `stop()` deletes the file.

        Raises RuntimeError without `https`.
        """
        if self._authority is None:
            raise RuntimeError("the mock has no authority of its own; use MockServer(https=True)")
        return Path(self._authority.name) / CA_FILE

    @property
    def calls(self) -> Counter[str]:
        """Calls that arrived by operationId, refused and failed ones included; `putPart` for PUTs to storage."""
        return self._running.state.calls

    @property
    def bytes_received(self) -> int:
        """Bytes of bodies that storage received, in finished and unfinished PUTs."""
        return self._running.state.bytes_received

    def files(self) -> list[dict[str, Any]]:
        """Every file and folder, as `getFile` shows it."""
        return self._ask(lambda mock: mock.files())

    def uploads(self) -> list[dict[str, Any]]:
        """Every open upload of every user, as `getUpload` shows it with its parts."""
        return self._ask(lambda mock: mock.uploads())

    def file_bytes(self, file_id: str) -> bytes:
        """The whole file. Raises KeyError if there is none."""
        return self._ask(lambda mock: mock.state.file_bytes(file_id))

    def stored(self, upload_id: str, number: int, size: int, etag: str) -> None:
        """Record a part that the storage of `storage=` received. Completion counts it like a part of the mock's own.

        The bytes of such a file cannot be read back. Raises KeyError if there is no such upload.
        """
        self._ask(lambda mock: mock.state.uploads.stored(upload_id, number, size, etag))

    def reset(self) -> None:
        """Forget every upload, file, call and fault, and restart the ids."""
        self._ask(lambda mock: mock.state.reset())

    def start(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal(backend_options={"loop_factory": new_event_loop}))
            mock = serving(self.settings, self.faults, self.host, self.port)
            self._mock = stack.enter_context(portal.wrap_async_context_manager(mock))
            self._portal, self._started = portal, stack.pop_all()
        self.port = self._mock.port
        return self

    def stop(self) -> None:
        self._portal = None
        self._started.close()
        if self._authority is not None:
            self._authority.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"MockServer({self.base_url!r})"

    @property
    def _running(self) -> Mock:
        if self._mock is None:
            raise RuntimeError("the mock was never started; use it in a `with` block, or call start()")
        return self._mock

    def _ask(self, question: Callable[[Mock], T]) -> T:
        """Call a function in the server's thread, which owns the state."""
        mock = self._running
        if self._portal is None:
            raise RuntimeError("the mock has stopped")
        return self._portal.call(question, mock)


def _writable(projects: Iterable[str] | Mapping[str, bool]) -> dict[str, bool]:
    """Whether each project can be written to: `owner/name` can, `owner/name:ro` cannot."""
    if isinstance(projects, Mapping):
        return dict(projects)
    return {project.removesuffix(":ro"): not project.endswith(":ro") for project in projects}
