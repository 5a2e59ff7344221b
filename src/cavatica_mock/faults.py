"""Scripted failures: what goes wrong, at which call, and how often.

A fault is data, and `Faults` decides which one a call meets. The functions at the end act it out on the connection.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final

import attrs
from aiohttp import web

from cavatica_mock import contract

CLIENT_CHECK_SECONDS: Final = 0.05  # between two checks whether a client is still connected

PUT_PART: Final = "putPart"
GET_BYTES: Final = "getBytes"
ANY_OPERATION: Final = "*"

KINDS: Final = {
    "status": "an error answer; nothing is done (status, code, html, headers)",
    "reset": "a TCP reset after `after_bytes` of the body; nothing is done",
    "close": "the connection is closed without an answer; nothing is done",
    "lost_answer": "the operation is done, then the connection is closed without an answer",
    "stall": "`after_bytes` of the body are read, then nothing happens until the client gives up",
    "slow": "the body goes at `bytes_per_second`: the request's for putPart, the answer's otherwise",
    "delay": "the answer comes `seconds` late",
    "truncate": "the operation is done, the answer is cut in the middle",
    "html": "200 with an HTML page, as a proxy answers; nothing is done",
    "bad_json": "200 with a body that claims to be JSON and is not; nothing is done",
    "corrupt": "storage flips one bit of what it keeps; the ETag is that of the corrupt bytes",
    "lost_part": "storage answers as if it had kept the part, and did not keep it",
    "no_etag": "storage keeps the part and answers without an ETag",
    "etag": "storage keeps the part and answers with the ETag `value`, which is not an MD5",
    "expired": "storage answers 403 AccessDenied, Request has expired",
    "expired_token": "storage answers 400 ExpiredToken",
}
STORAGE_ONLY: Final = frozenset({"corrupt", "lost_part", "no_etag", "etag", "expired", "expired_token"})


@attrs.frozen
class Fault:
    """One thing that goes wrong.

    `on` is an operationId, "putPart" (bytes to storage), "getBytes" (bytes from storage) or "*" (every API operation);
    `then` is one of KINDS. `after` matching calls pass unharmed first, then `times` of them are hit (None: all).
    `part` limits getPartUrl and putPart to one part number. The other fields are details of single kinds. Raises
    ValueError or TypeError for a fault that could never happen.
    """

    on: str
    then: str
    times: int | None = 1
    after: int = 0
    part: int | None = None
    status: int = attrs.field(default=503, kw_only=True)
    code: int | None = attrs.field(default=None, kw_only=True)  # None: the code that goes with the status
    html: bool = attrs.field(default=False, kw_only=True)
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    after_bytes: int = attrs.field(default=0, kw_only=True)
    bytes_per_second: float = attrs.field(default=65536.0, kw_only=True)
    seconds: float = attrs.field(default=1.0, kw_only=True)
    value: str = attrs.field(default="not-an-md5-0", kw_only=True)

    def __attrs_post_init__(self) -> None:
        places = (*contract.load().operations, PUT_PART, GET_BYTES, ANY_OPERATION)
        if self.on not in places:
            raise ValueError(f"there is no operation {self.on!r}; there are: {', '.join(places)}")
        if self.then not in KINDS:
            raise ValueError(f"no fault is called {self.then!r}; there are: {', '.join(KINDS)}")
        if self.then in STORAGE_ONLY and self.on != PUT_PART:
            raise ValueError(f"{self.then!r} can only happen on {PUT_PART!r}, not on {self.on!r}")
        if self.part is not None and self.on not in (PUT_PART, "getPartUrl"):
            raise ValueError(f"{self.on!r} has no part number; only {PUT_PART!r} and 'getPartUrl' have one")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times is at least 1, or None for every time, not {self.times}")
        if self.after < 0 or self.after_bytes < 0 or self.seconds < 0:
            raise ValueError("after, after_bytes and seconds cannot be negative")
        if not 200 <= self.status <= 599:
            raise ValueError(f"status is from 200 to 599, not {self.status}")
        if self.bytes_per_second <= 0:
            raise ValueError("bytes_per_second must be greater than 0")

    @classmethod
    def from_json(cls, document: object) -> "Fault":
        """A fault from a decoded JSON object with the same names. Raises ValueError for anything else."""
        if not isinstance(document, dict):
            raise ValueError("a fault is a JSON object with at least `on` and `then`")  # noqa: TRY004
        if unknown := document.keys() - _JSON_TYPES.keys():
            raise ValueError(f"a fault has no field {', '.join(sorted(unknown))}")
        for name, value in document.items():
            if not isinstance(value, _JSON_TYPES[name]) or (isinstance(value, bool) and name != "html"):
                raise ValueError(f"a fault's {name} cannot be {value!r}")
        try:
            return cls(**document)
        except TypeError as error:
            raise ValueError("a fault needs `on` and `then`") from error

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in attrs.asdict(self).items() if value is not None}

    def concerns(self, operation: str, part: int | None) -> bool:
        """Whether the fault applies to a call of this operation, for this part."""
        if self.on != operation and not (self.on == ANY_OPERATION and operation not in (PUT_PART, GET_BYTES)):
            return False
        return self.part is None or self.part == part


_JSON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("on", "then", "value"), (str,)),
    **dict.fromkeys(("after", "status", "after_bytes"), (int,)),
    **dict.fromkeys(("times", "part", "code"), (int, type(None))),
    **dict.fromkeys(("seconds", "bytes_per_second"), (int, float)),
    "html": (bool,),
    "headers": (dict,),
}


@attrs.define
class _Scripted:
    fault: Fault
    seen: int = 0
    fired: int = 0


class Faults:
    """The script: faults in the order they were added. It may be changed while the server answers."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._script = [_Scripted(fault) for fault in faults]

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._script.extend(_Scripted(fault) for fault in faults)

    def clear(self) -> None:
        with self._lock:
            self._script.clear()

    def take(self, operation: str, part: int | None = None) -> Fault | None:
        """The fault that this call meets, if any. A matching call counts once for each fault that it passes."""
        with self._lock:
            for scripted in self._script:
                fault = scripted.fault
                if not fault.concerns(operation, part):
                    continue
                scripted.seen += 1
                if scripted.seen <= fault.after or (fault.times is not None and scripted.fired >= fault.times):
                    continue
                scripted.fired += 1
                return fault
        return None

    def to_json(self) -> list[dict[str, Any]]:
        """The faults of the script, with the number of calls that matched and that were hit."""
        with self._lock:
            return [{**entry.fault.to_json(), "seen": entry.seen, "fired": entry.fired} for entry in self._script]


def html(status: int) -> web.Response:
    """An HTML error page, as a proxy sends it in place of the API."""
    title = {200: "Please sign in", 502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable"}
    page = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><hr>proxy</body></html>"
    text = page.format(title.get(status, f"{status} Error"))
    return web.Response(status=status, text=text, content_type="text/html")


async def act(
    fault: Fault, request: web.BaseRequest, error: Callable[[int, int | None], web.Response]
) -> web.Response | None:
    """The answer of a fault that takes the operation's place; None if the operation is to be done.

    `error` makes an error answer of a status and a code, in the form of the API or of storage.
    """
    match fault.then:
        case "reset":
            return reset(request)
        case "close":
            return close(request)
        case "stall":
            return await stall(request)
        case "delay":
            await asyncio.sleep(fault.seconds)
        case "html":
            return html(200)
        case "bad_json":
            return web.Response(body=b'{"upload_id": ', content_type="application/json")
        case "status":
            answer = html(fault.status) if fault.html else error(fault.status, fault.code)
            answer.headers.update(fault.headers)
            return answer
    return None


def send(fault: Fault, request: web.BaseRequest, answer: web.Response) -> web.Response:
    """The answer of an operation that was done, as the fault lets it out."""
    match fault.then:
        case "lost_answer":
            return close(request)
        case "truncate":
            return truncate(request, answer)
        case "slow" if fault.on != PUT_PART:
            return trickle(answer, fault.bytes_per_second)
    return answer


def reset(request: web.BaseRequest) -> web.Response:
    """End the connection with a TCP reset."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with socket.socket(fileno=socket.dup(raw.fileno())) as connection:
                linger = struct.pack("ii", 1, 0)  # on, for 0 seconds: close() sends a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return gone()


def close(request: web.BaseRequest) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.close()
    return gone()


def gone() -> web.Response:
    """What a handler returns if the connection is already closed."""
    return web.Response(status=500)


async def stall(request: web.BaseRequest) -> web.Response:
    """Neither read nor write until the client is gone or the server stops."""
    while _is_connected(request):
        await asyncio.sleep(CLIENT_CHECK_SECONDS)
    return close(request)


def _is_connected(request: web.BaseRequest) -> bool:
    """Whether the client is still connected. Asks the kernel: aiohttp notices an end only while it reads."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return False
    raw = transport.get_extra_info("socket")
    if raw is None or not hasattr(socket, "TCP_INFO"):
        return True
    with socket.socket(fileno=socket.dup(raw.fileno())) as connection:
        state: int = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == 1  # TCP_ESTABLISHED


def truncate(request: web.BaseRequest, answer: web.Response) -> web.Response:
    """Announce the whole body and send half of it. Without a body, send half of the head."""
    body = bytes(answer.body or b"")  # type: ignore[arg-type]
    lines = [f"HTTP/1.1 {answer.status} Truncated", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items() if name != "Content-Length"]
    head = "\r\n".join((*lines, "", "")).encode("latin-1", "replace")
    if request.transport is not None:
        request.transport.write(head + body[: len(body) // 2] if body else head[: len(head) // 2])
    return close(request)


def trickle(answer: web.Response, bytes_per_second: float) -> web.Response:
    """The same answer, sent at this speed."""
    body = bytes(answer.body or b"")  # type: ignore[arg-type]
    step = max(1, int(bytes_per_second / 20))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), step):
            yield body[start : start + step]
            await asyncio.sleep(step / bytes_per_second)

    headers = {**answer.headers, "Content-Length": str(len(body))}
    return web.Response(status=answer.status, headers=headers, body=pieces())
