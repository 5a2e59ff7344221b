"""--dask-scheduler: connects to a Dask cluster and returns an executor that uses its workers."""

import json
import logging
import socket
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cavatica_upload.cli.output import Output
from cavatica_upload.errors import ConnectionFailed, UsageError, reason_of

if TYPE_CHECKING:
    from distributed import Client

OPTION = "--dask-scheduler"
TIMEOUT = 15.0  # seconds that a scheduler may take to answer
_CHECK = "Check the address and that the scheduler runs, or leave out --dask-scheduler."


@contextmanager
def dask_executor(address: str, output: Output) -> Iterator[Executor]:
    """Connect to a scheduler, yield its executor, and disconnect at the end.

    `address` may be the file that a scheduler writes its address to (`dask scheduler --scheduler-file`). Raises
    UsageError if it is not an address or if the extra is not installed, ConnectionFailed if no scheduler answers.
    """
    client = _connect(_read_address(address) if address.endswith(".json") else address, output)
    try:
        yield client.get_executor(pure=False)
    finally:
        with suppress(Exception):  # the files are sent; a lost scheduler does not matter
            client.close(timeout=TIMEOUT)


def _connect(address: str, output: Output) -> "Client":
    host, port = _host_and_port(address)
    try:
        import distributed
        from distributed.versions import VersionMismatchWarning
    except ImportError as error:
        raise UsageError(
            f"{OPTION} needs the package distributed, which is not installed.", "Run: pip install distributed"
        ) from error
    _silence_logs()
    try:  # a Dask client without a scheduler prints a traceback later
        socket.create_connection((host, port), timeout=TIMEOUT).close()
    except OSError as error:
        raise ConnectionFailed(f"No Dask scheduler answers at {address}: {reason_of(error)}.", _CHECK) from error
    with warnings.catch_warnings(record=True, category=VersionMismatchWarning) as mismatches:
        try:
            client = distributed.Client(address, timeout=TIMEOUT, name="cavatica-upload", set_as_default=False)
        except Exception as error:  # such as no answer, another protocol, no certificates for tls://
            raise ConnectionFailed(f"{address} does not answer as a Dask scheduler: {error}.", _CHECK) from error
    if mismatches:
        output.warn(
            "The scheduler or its workers have other versions of Python, Dask or its dependencies than this machine. "
            "If parts fail there, install the same versions."
        )
    return client


def _read_address(path: str) -> str:
    try:
        return str(json.loads(Path(path).read_bytes())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{OPTION} {path} has no address of a scheduler: {reason_of(error)}.",
            "Start the scheduler with --scheduler-file first.",
        ) from error


def _host_and_port(address: str) -> tuple[str, int]:
    try:
        found = urlsplit(address if "://" in address else f"tcp://{address}")
        if found.scheme in ("tcp", "tls") and found.hostname and found.port and not (found.path or found.query):
            return found.hostname, found.port
    except ValueError:
        pass
    raise UsageError(f"{OPTION} {address} is not the address of a scheduler.", "Write it like tcp://node01:8786.")


def _silence_logs() -> None:
    """Keep the log messages of Dask off the terminal; this command reports what matters."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("asyncio", "concurrent", "distributed", "tornado"):
            logger = logging.getLogger(name)
            logger.handlers = [logging.NullHandler()]
            logger.propagate = False
