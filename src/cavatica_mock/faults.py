"""Scripted failures: what goes wrong, at which call, and how often.

A fault is data. `Faults` decides which one a call meets; the functions below act it out on the connection.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
from aiohttp import web

from cavatica_mock import contract
from cavatica_mock.errors import CODES, code_of, error_body
from cavatica_mock.replies import JSON, Answer, Reply, cors_headers, gone, html, reply

RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 seconds
TICK: Final = 0.05  # seconds between two looks at whether a client is still there

PUT_PART: Final = "putPart"
GET_BYTES: Final = "getBytes"
ANY_OPERATION: Final = "*"

KINDS: Final = {
    "status": "an error answer; nothing is done (status, code, html, headers)",
    "reset": "a TCP reset after `after_bytes` of the body; nothing is done",
    "close": "the connection is closed without an answer; nothing is done",
    "lost_answer": "the operation is done, then the connection is closed without an answer",
    "stall": "`after_bytes` of the body are read, then nothing happens until the client gives up",
    "slow": "the body goes at `bytes_per_second`: the request's for putPart, the answer's for the API",
    "delay": "the answer comes `seconds` late",
    "truncate": "the operation is done, the answer is cut in the middle",
    "html": "200 with an HTML page, as a proxy answers; nothing is done",
    "bad_json": "200 with a body that is not JSON although it says so; nothing is done",
    "corrupt": "storage flips one bit of what it keeps; the ETag is that of the corrupt bytes",
    "lost_part": "storage answers as if it had kept the part, and has not",
    "no_etag": "storage keeps the part and answers without an ETag",
    "etag": "storage keeps the part and answers with the ETag `value`, which is no MD5",
    "expired": "storage answers 403 AccessDenied, Request has expired",
    "expired_token": "storage answers 400 ExpiredToken",
}
STORAGE_ONLY: Final = frozenset({"corrupt", "lost_part", "no_etag", "etag", "expired", "expired_token"})


def _known_place(_: object, __: "attrs.Attribute[str]", value: str) -> None:
    places = (*contract.load().operations, PUT_PART, GET_BYTES, ANY_OPERATION)
    if value not in places:
        raise ValueError(f"there is no operation {value!r}; there are: {', '.join(places)}")


def _known_kind(_: object, __: "attrs.Attribute[str]", value: str) -> None:
    if value not in KINDS:
        raise ValueError(f"no fault is called {value!r}; there are: {', '.join(KINDS)}")


@attrs.frozen
class Fault:
    """One thing that goes wrong.

    `on` is an operationId, "putPart" (bytes to storage), "getBytes" (bytes from storage) or "*" (every API operation);
    `then` is one of KINDS. `after` calls that match pass unharmed first, then `times` are hit (None: all of them).
    `part` narrows getPartUrl and putPart to one part number. The rest are details of single kinds. Raises ValueError
    or TypeError: a fault that could never happen is refused.
    """

    on: str = attrs.field(validator=_known_place)
    then: str = attrs.field(validator=_known_kind)
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
        if self.then in STORAGE_ONLY and self.on != PUT_PART:
            raise ValueError(f"{self.then!r} can only happen on {PUT_PART!r}, not on {self.on!r}")
        if self.part is not None and self.on not in (PUT_PART, "getPartUrl"):
            raise ValueError(f"a fault on {self.on!r} knows no part number; on {PUT_PART!r} and 'getPartUrl' it does")
        if self.times is not None and self.times < 1:
            raise ValueError(f"a fault that hits {self.times} times never happens; None means every time")
        if self.after < 0 or self.after_bytes < 0 or self.seconds < 0:
            raise ValueError("after, after_bytes and seconds cannot be below 0")
        if not 200 <= self.status <= 599:
            raise ValueError(f"status is one from 200 to 599, not {self.status}")
        if self.bytes_per_second <= 0:
            raise ValueError("bytes_per_second must be above 0")

    @classmethod
    def from_json(cls, document: object) -> "Fault":
        """A fault from a decoded JSON object with the same names; raises ValueError on anything else."""
        if not isinstance(document, dict):
            raise ValueError("a fault is a JSON object with at least `on` and `then`")  # noqa: TRY004
        unknown = set(document) - {field.name for field in attrs.fields(cls)}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
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


_JSON_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "on": str,
    "then": str,
    "times": (int, type(None)),
    "after": int,
    "part": (int, type(None)),
    "status": int,
    "code": (int, type(None)),
    "html": bool,
    "headers": dict,
    "after_bytes": int,
    "bytes_per_second": (int, float),
    "seconds": (int, float),
    "value": str,
}


@attrs.define
class _Scripted:
    fault: Fault
    seen: int = 0
    fired: int = 0


class Faults:
    """The script: faults in the order they were added. Safe to change while the server answers."""

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
        """The fault that this call meets, if any. Each matching call counts once for each fault it passes."""
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
        """The faults that are left, with the counts that are used up."""
        with self._lock:
            return [{**entry.fault.to_json(), "seen": entry.seen, "fired": entry.fired} for entry in self._script]


def scripted(fault: Fault, date: float, rate: Mapping[str, str]) -> Reply | None:
    """The API's answer if the fault answers in the operation's place; None if it is of another kind."""
    if fault.then == "html":
        return html(200)
    if fault.then == "bad_json":
        return Reply(200, b'{"upload_id": ', {"Content-Type": JSON, **rate})
    if fault.then != "status":
        return None
    if fault.html:
        answered = html(fault.status)
    else:
        code = code_of(fault.status) if fault.code is None else fault.code
        _, meaning = CODES.get(code, (fault.status, "This is a scripted fault."))
        answered = reply(Answer(fault.status, error_body(fault.status, code, meaning), rate), date)
    return attrs.evolve(answered, headers={**answered.headers, **fault.headers})


def reset(request: web.BaseRequest) -> web.Response:
    """End the connection by a TCP reset."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with socket.socket(fileno=socket.dup(raw.fileno())) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        transport.abort()
    return gone()


def close(request: web.BaseRequest) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.close()
    return gone()


async def stall(request: web.BaseRequest) -> web.Response:
    """Neither read nor write until the client has gone, or the server stops."""
    while client_is_there(request):
        await asyncio.sleep(TICK)
    return close(request)


def client_is_there(request: web.BaseRequest) -> bool:
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


async def truncate(request: web.BaseRequest, answer: Reply) -> web.Response:
    """Announce the whole body and send half of it; without a body, send half of the head."""
    lines = [f"HTTP/1.1 {answer.status} Truncated", f"Content-Length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    head = "\r\n".join((*lines, "", "")).encode("latin-1", "replace")
    if request.transport is not None:
        whole = head + answer.body[: len(answer.body) // 2] if answer.body else head[: len(head) // 2]
        request.transport.write(whole)
    return close(request)


async def trickle(request: web.BaseRequest, answer: Reply, bytes_per_second: float) -> web.StreamResponse:
    """Send the body at a given speed."""
    response = web.StreamResponse(status=answer.status, headers={**answer.headers, **cors_headers(request)})
    response.content_length = len(answer.body)
    await response.prepare(request)
    step = max(1, int(bytes_per_second * TICK))
    for start in range(0, len(answer.body), step):
        await response.write(answer.body[start : start + step])
        await asyncio.sleep(step / bytes_per_second)
    await response.write_eof()
    return response
