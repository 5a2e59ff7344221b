"""A request, its answer, and the failure of an answer."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Final
from urllib.parse import unquote_to_bytes

import attrs

from tests.contract.document import Operation

TOKEN_HEADER: Final = "X-SBG-Auth-Token"
SHORT_TOKEN: Final = 8  # characters; a shorter one may be part of any word
CONTRACT: Final = "contract"  # what every deployment owes its clients
TRANSPORT: Final = "transport"  # what our own server owes beyond that; a gateway in front of another may differ
LONGEST_TARGET: Final = 8000  # characters; gateways refuse somewhat more


class Broken(AssertionError):
    """A server broke a rule. `check` names the rule, `wrong` says what is wrong with `answer`."""

    latest: ClassVar["Broken | None"] = None  # Hypothesis hides the one that it cannot bring about twice

    def __init__(self, check: str, wrong: str, answer: "Answer | None" = None) -> None:
        self.check, self.wrong, self.answer = check, wrong, answer
        super().__init__(f"{check}: {self.message}")
        Broken.latest = self

    @property
    def message(self) -> str:
        """What is wrong, with the operation and the status."""
        return f"{self.answer.place}: {self.wrong}" if self.answer else self.wrong


@attrs.frozen
class Request:
    """A request as it went out. `target` is the path with the query, as on the wire; `path` is below the base URL.

    `sent` has the bytes if they were written by hand.
    """

    method: str
    origin: str
    target: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    sent: bytes | None = None

    @property
    def oddity(self) -> str | None:
        """What no client of the API sends and a gateway may treat in its own way; None if there is nothing."""
        if self.method in ("TRACE", "CONNECT", "OPTIONS"):
            return f"the method {self.method}"
        if len(self.target) > LONGEST_TARGET:
            return "a target of many thousand characters"
        path = self.target.partition("?")[0]
        decoded = unquote_to_bytes(path)
        if re.search(r"%(?![0-9A-Fa-f]{2})", path):
            return "a percent sign without two digits in the path"
        if re.search(rb"[\x00-\x20\x7f]", decoded):
            return "a space or control character in the path"
        if "%2f" in path.lower() or "\\" in path:
            return "an encoded slash in the path"
        if re.search(r"(^|/)\.\.?(/|$)", decoded.decode("latin-1")):
            return "a dot segment in the path"
        if "//" in path:
            return "an empty segment in the path"
        if self.method == "GET" and path.endswith("/"):
            return "a slash at the end of the path"
        try:
            decoded.decode()
        except UnicodeError:
            return "bytes that are not UTF-8 in the path"
        return None


@attrs.frozen
class Answer:
    """An answer, read to its end. Header names are in lower case. `operation` is None off the document's paths.

    A status of 0 stands for no answer, or an incomplete one.
    """

    request: Request
    operation: Operation | None
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0

    def json(self) -> Any:
        """The decoded body. Raises Broken if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise self.broken("media_type", f"the body is not JSON: {self.body[:80]!r}") from None

    def field(self, name: str, kind: type | tuple[type, ...] = str) -> Any:
        """One key of the body. Raises Broken if it is missing or of another type."""
        shown = self.json()
        if not isinstance(shown, dict) or name not in shown:
            raise self.broken("body_schema", f'the body: "{name}" is a required property')
        if not isinstance(shown[name], kind):
            raise self.broken("body_schema", f"{name}: {shown[name]!r:.100} has the wrong type")
        return shown[name]

    @property
    def is_json(self) -> bool:
        try:
            json.loads(self.body)
        except (ValueError, RecursionError):
            return False
        return True

    @property
    def code(self) -> int | None:
        """The platform's code in an error body, None if there is none."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return None
        code = body.get("code") if isinstance(body, dict) else None
        return code if isinstance(code, int) else None

    @property
    def label(self) -> str:
        return self.operation.id if self.operation else f"{self.request.method} {self.request.path}"

    @property
    def place(self) -> str:
        """The operation and the status, as a finding names them."""
        return f"{self.label} answered {self.status}" if self.status else f"{self.label} was not answered"

    @property
    def by_gateway(self) -> bool:
        """Whether a gateway in front of the API seems to have sent this: it is no success, and not an error of the API.

        Such an error has rate-limit headers, or a status and a message in JSON. That of HEAD has no body.
        """
        if 0 < self.status < 300 or "x-ratelimit-remaining" in self.headers:
            return False
        if self.request.method == "HEAD":
            return not self.headers.get("content-type", "").lower().startswith("application/json")
        try:
            body = json.loads(self.body)
        except (ValueError, RecursionError):
            return True
        return not (isinstance(body, dict) and {"status", "message"} <= body.keys())

    @property
    def clock(self) -> datetime:
        """The time of the server when it sent this. Without a `Date`, the time of this machine."""
        try:
            return parsedate_to_datetime(self.headers["date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return datetime.now(UTC)

    def broken(self, check: str, wrong: str) -> Broken:
        """The failure to raise for this answer."""
        return Broken(check, wrong, self)

    def expect(self, *statuses: int, check: str = "expected_status") -> "Answer":
        """The answer itself. Raises Broken if its status is none of these."""
        if self.status not in statuses:
            wanted = " or ".join(map(str, statuses))
            raise self.broken(check, f"expected {wanted}; the body is {self.body[:200]!r}")
        return self
