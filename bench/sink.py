"""A storage that only swallows bytes, with as much API as an upload needs, in a process of its own.

    python -m bench.sink FILE [--delay S] [--rate BYTES] [--limit CALLS/SECONDS] [--tls PEM] …

FILE is the file that will be uploaded: the MD5 of its parts is taken once at start of an upload of a new part size, so
that the ETags are known before the first byte comes. The first line printed is `ready PORT`. `GET /_sink/stats` says
what came in, `POST /_sink/reset` forgets it.
"""

import argparse
import ssl
import sys
from pathlib import Path

from bench.protocol import CallLimit, Protocol
from bench.shelf import Shelf
from bench.storage import Fault, Storage
from bench.wire import serve


def options() -> argparse.ArgumentParser:
    """The arguments, which the harness writes too."""
    parser = argparse.ArgumentParser(prog="python -m bench.sink", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that every API call takes")
    parser.add_argument("--rate", type=int, help="bytes a second that storage takes on one connection")
    parser.add_argument("--limit", default="1000000/300", help="API calls allowed in so many seconds")
    parser.add_argument("--tls", type=Path, help="speak https, with the certificate and key in this file")
    parser.add_argument("--part-size", type=int, help="the part size of every upload, whatever it asks for")
    parser.add_argument("--look", action="store_true", help="hash the bytes that come instead of dropping them")
    parser.add_argument("--lenient", action="store_true", help="complete without looking at the reported ETags")
    parser.add_argument("--fault", help="KIND or KIND:TIMES, on part 2; KIND alone is for ever")
    return parser


def main() -> None:
    """Serve until standard input ends, which it does when the harness is gone."""
    arguments = options().parse_args()
    calls, seconds = arguments.limit.split("/")
    fault = None
    if arguments.fault:
        kind, _, times = arguments.fault.partition(":")
        fault = Fault(kind, int(times) if times else None)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if arguments.tls else None
    if tls is not None:
        tls.load_cert_chain(arguments.tls)
    scheme = "https" if tls else "http"
    shelf = Shelf(arguments.file)
    storage = Storage(shelf, arguments.rate, arguments.look, fault)
    storage_port = serve(storage.handle, receive_buffer=256 << 10 if arguments.rate else None, tls=tls)
    protocol = Protocol(
        shelf,
        f"{scheme}://127.0.0.1:{storage_port}",
        CallLimit(int(calls), float(seconds)),
        arguments.delay,
        arguments.part_size,
        arguments.lenient,
    )
    port = serve(protocol.handle, tls=tls)
    protocol.base = f"{scheme}://127.0.0.1:{port}/v2"
    print(f"ready {port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
