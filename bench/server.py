"""The platform for one measurement: the mock over TLS, and beside it a storage that only drops bytes."""

import logging
import os
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from bench.sink import Sink, part_md5s
from cavatica_mock import Fault, MockServer

PROJECT = "bench/bench"
AUTHORITY = trustme.CA()


class Refusals(logging.Handler):
    """Counts the API's answers with 429, which the mock logs as it does every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count an answer."""
        self.count += bool(isinstance(record.args, tuple) and record.args and record.args[0] == 429)


class Server:
    """API and storage for uploads of these files, in parts of `part_size` bytes.

    `delay` is seconds that each call takes, `limit` is (calls, seconds), `rate` bytes a second of one connection to
    storage. With `faults` the mock's own storage is used, which keeps what it gets.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        part_size: int,
        delay: float = 0.0,
        limit: tuple[int, float] | None = None,
        rate: int | None = None,
        faults: Iterable[Fault] = (),
    ) -> None:
        self.files = files
        self._faults = list(faults)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(tls)
        md5s = {} if self._faults else {path.name: part_md5s(path, part_size) for path in files}
        self.sink = Sink(tls, md5s, rate)
        storage = None if self._faults else self.sink.origin
        self.mock = MockServer(tls=tls, storage=storage, part_size=part_size, rate_limit=limit)
        if delay:
            self._faults.append(Fault("*", "delay", times=None, seconds=delay))
        self.refusals = Refusals()

    @property
    def environment(self) -> dict[str, str]:
        """What clients find: API, token, and an authority to trust, by the names that httpx and requests know.

        Bytecode is kept, as it is of what pip installs.
        """
        return {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "SB_API_ENDPOINT": self.mock.base_url,
            "SB_AUTH_TOKEN": self.mock.token,
            **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), f"{self._folder.name}/authority.pem"),
        }

    @property
    def calls(self) -> Counter[str]:
        """API calls since the last reset, by operation; the mock's own storage is none."""
        return Counter({name: count for name, count in self.mock.calls.items() if name not in ("putPart", "getBytes")})

    @property
    def whole(self) -> bool:
        """Whether every file is there: of the right size, and with its bytes if the mock has them."""
        found = {file["name"]: file for file in self.mock.files() if file["type"] == "file"}
        sizes = all(path.name in found and found[path.name]["size"] == path.stat().st_size for path in self.files)
        if not sizes or self.mock.settings.storage is not None:
            return sizes
        return all(self.mock.file_bytes(found[path.name]["id"]) == path.read_bytes() for path in self.files)

    def reset(self) -> None:
        """Forget all that came in."""
        self.mock.reset()
        self.mock.faults.add(*self._faults)
        self.sink.reset()
        self.refusals.count = 0

    def settle(self) -> None:
        """Wait until storage has read what a killed client left in the pipes."""
        while self.sink.in_flight:
            time.sleep(0.02)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        AUTHORITY.cert_pem.write_to_path(f"{self._folder.name}/authority.pem")
        self.mock.start()
        self.mock.faults.add(*self._faults)
        self.sink.stored = self.mock.stored
        threading.Thread(target=self.sink.serve_forever, daemon=True).start()
        log = logging.getLogger("cavatica_mock")
        log.setLevel(logging.INFO)
        log.propagate = False
        log.addHandler(self.refusals)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        logging.getLogger("cavatica_mock").removeHandler(self.refusals)
        self.sink.shutdown()
        self.sink.server_close()
        self.mock.stop()
        self._folder.cleanup()
