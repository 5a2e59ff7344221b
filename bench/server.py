"""The platform for one measurement: the mock over TLS, and a storage beside it that drops the bytes."""

import os
import random
import ssl
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from bench.sink import Sink, part_md5s
from cavatica_mock import Fault, MockServer

PROJECT = "bench/bench"
AUTHORITY = trustme.CA()
BLOCK = 4 << 20


def write_file(path: Path, size: int, seed: int = 2026) -> Path:
    """Write `size` bytes, the same on every machine, that cannot be compressed and in which no two blocks are equal."""
    base = random.Random(seed).randbytes(min(BLOCK, size))
    with path.open("wb") as file:
        for index, start in enumerate(range(0, size, BLOCK)):
            turn = index * 4099 % BLOCK
            file.write((base[turn:] + base[:turn])[: size - start])
    return path


class Server:
    """API and storage for uploads of these files, in parts of `part_size` bytes.

    `delay` is seconds that each call takes, `rate` bytes a second of one connection to storage. With `faults` the
    mock's own storage is used, which keeps the bytes.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        part_size: int,
        delay: float = 0.0,
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
        self.mock = MockServer(tls=tls, storage=storage, part_size=part_size, rate_limit=None)
        if delay:
            self._faults.append(Fault("*", "delay", times=None, seconds=delay))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of clients: API, token, and the authority to trust, for httpx and for requests.

        Bytecode is kept, as it is for packages that pip installs.
        """
        return {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "SB_API_ENDPOINT": self.mock.base_url,
            "SB_AUTH_TOKEN": self.mock.token,
            **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), f"{self._folder.name}/authority.pem"),
        }

    @property
    def api_calls(self) -> int:
        """API calls since the last reset, without those to the mock's own storage."""
        return sum(count for name, count in self.mock.calls.items() if name not in ("putPart", "getBytes"))

    @property
    def whole(self) -> bool:
        """Whether every file is there: of the right size, and with the right bytes if the mock has them."""
        found = {file["name"]: file for file in self.mock.files() if file["type"] == "file"}
        sizes = all(path.name in found and found[path.name]["size"] == path.stat().st_size for path in self.files)
        if not sizes or self.mock.settings.storage is not None:
            return sizes
        return all(self.mock.file_bytes(found[path.name]["id"]) == path.read_bytes() for path in self.files)

    def reset(self) -> None:
        """Forget all uploads and counts."""
        self.mock.reset()
        self.mock.faults.add(*self._faults)
        self.sink.reset()

    def settle(self) -> None:
        """Wait until storage has read what a killed client left in the connections."""
        while self.sink.in_flight:
            time.sleep(0.02)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        AUTHORITY.cert_pem.write_to_path(f"{self._folder.name}/authority.pem")
        self.mock.start()
        self.mock.faults.add(*self._faults)
        self.sink.stored = self.mock.stored
        threading.Thread(target=self.sink.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.sink.shutdown()
        self.sink.server_close()
        self.mock.stop()
        self._folder.cleanup()
