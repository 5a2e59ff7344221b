"""The storage half of the sink: swallows parts, answers the ETag that was known beforehand, fails when told to."""

import hashlib
import threading
import time
from dataclasses import dataclass

from bench.shelf import Shelf, Upload
from bench.wire import CHUNK, Gone, Request

PACE = 0.05  # seconds worth of bytes read at a time under a rate cap


@dataclass
class Fault:
    """What goes wrong with one part: `403`, `503`, `corrupt`, `no_etag`, `reset` or `stall`; None times is for ever."""

    kind: str
    times: int | None = 1
    part: int = 2

    def strikes(self, number: int) -> bool:
        """Whether this put is hit; counts the hits."""
        if number != self.part or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Storage:
    """Takes `PUT /{upload_id}/{part_number}`."""

    def __init__(self, shelf: Shelf, rate: int | None = None, look: bool = False, fault: Fault | None = None) -> None:
        self.shelf = shelf
        self.rate = rate  # bytes a second on one connection
        self.look = look  # hash what really comes, instead of trusting its length
        self.fault = fault

    def handle(self, request: Request) -> None:
        """Answer one put."""
        upload_id, number_text = request.path.split("?")[0].strip("/").split("/")
        number = int(number_text)
        upload = self.shelf.uploads.get(upload_id)
        if upload is None or request.length != upload.length(number):
            self._drain(request)
            request.answer(400, body=b"<Error><Code>InvalidRequest</Code></Error>")
            return
        self.shelf.enter()
        try:
            self._put(request, upload, number)
        finally:
            self.shelf.leave()

    def _put(self, request: Request, upload: Upload, number: int) -> None:
        kind = self.fault.kind if self.fault and self.fault.strikes(number) else ""
        if kind in ("reset", "stall"):
            self.shelf.received(len(request.read(1 << 16)))
            if kind == "reset":
                request.reset()
            threading.Event().wait()  # until the process ends: the client has to give up by itself
        md5 = self._drain(request) or upload.md5s[number - 1]
        if kind in ("403", "503"):
            code = {"403": "AccessDenied", "503": "SlowDown"}[kind]
            request.answer(
                int(kind), {"Content-Type": "application/xml"}, f"<Error><Code>{code}</Code></Error>".encode()
            )
            return
        if kind == "corrupt":
            md5 = hashlib.md5(md5.encode(), usedforsecurity=False).hexdigest()  # honest about bytes that changed
        with self.shelf.lock:
            upload.kept[number] = upload.etags[number] = md5
        request.answer(200, {} if kind == "no_etag" else {"ETag": f'"{md5}"'})

    def _drain(self, request: Request) -> str | None:
        """Read the body; its MD5 when storage looks at what it gets."""
        if self.look:
            md5 = hashlib.md5(usedforsecurity=False)
            while request.rest or request.unread:
                data = request.read(1 << 20)
                self.shelf.received(len(data))
                md5.update(data)
            return md5.hexdigest()
        self.shelf.received(len(request.rest))
        began, seen = time.monotonic(), len(request.rest)
        while request.unread:
            got = request.swallow(max(1, int(self.rate * PACE)) if self.rate else CHUNK)
            if not got:
                raise Gone
            seen += got
            self.shelf.received(got)
            if self.rate:
                time.sleep(max(0.0, began + seen / self.rate - time.monotonic()))
        return None
