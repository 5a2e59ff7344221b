"""Scripted failures: what goes wrong, where, and how often.

A fault is data. `Faults` decides which one a call meets; `cavatica_mock.wire` and `cavatica_mock.storage` act it out.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

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
    from cavatica_mock import contract  # here: it reads openapi.yaml

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
        """True when a call of this operation, for this part, is one that the fault is about."""
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
        """The script with what was consumed of it."""
        with self._lock:
            return [{**entry.fault.to_json(), "seen": entry.seen, "fired": entry.fired} for entry in self._script]
