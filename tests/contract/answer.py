"""One request and what came back."""

import json
import shlex
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import attrs

from tests.contract.document import Operation

TOKEN_HEADER: Final = "X-SBG-Auth-Token"


class Broken(AssertionError):
    """A server did what it must not. `check` names the rule, `curl` shows the request again."""

    latest: ClassVar["Broken | None"] = None  # Hypothesis hides the one that it cannot bring about twice

    def __init__(self, check: str, message: str, curl: str = "") -> None:
        super().__init__(f"{check}: {message}")
        Broken.latest = self
        self.check, self.message, self.curl = check, message, curl


@attrs.frozen
class Request:
    """A request as it went out. `target` is the path with the query, as on the api; `path` is below the base URL."""

    method: str
    origin: str
    target: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None

    def curl(self) -> str:
        """A command that sends it again, with `$TOKEN` in the place of the token."""
        words = ["curl", "-si", "--path-as-is", "-X", self.method, shlex.quote(self.origin + self.target)]
        for name, value in self.headers.items():
            if name.lower() == TOKEN_HEADER.lower():
                words += ["-H", f'"{name}: $TOKEN"']
            else:
                words += ["-H", shlex.quote(f"{name}: {value}")]
        if self.body is not None:
            shown = self.body if len(self.body) <= 2000 else self.body[:2000] + b" ... cut"
            words += ["--data-binary", shlex.quote(shown.decode("utf-8", "backslashreplace"))]
        return " ".join(words)


@attrs.frozen
class Answer:
    """An answer, read to its end. Header names are in lower case. `operation` is None off the document's paths."""

    request: Request
    operation: Operation | None
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """The decoded body. Raises Broken when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise self.broken("json_body", f"the body is not JSON: {self.body[:80]!r}") from None

    @property
    def code(self) -> int | None:
        """The platform's code in an error body, None where there is none."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return None
        code = body.get("code") if isinstance(body, dict) else None
        return code if isinstance(code, int) else None

    @property
    def label(self) -> str:
        return self.operation.id if self.operation else f"{self.request.method} {self.request.path}"

    def broken(self, check: str, message: str) -> Broken:
        """The failure to raise for this answer."""
        return Broken(check, f"{self.label} answered {self.status}: {message}", self.request.curl())

    def expect(self, *statuses: int, check: str = "expected_status") -> "Answer":
        """Itself. Raises Broken when its status is none of these."""
        if self.status not in statuses:
            wanted = " or ".join(map(str, statuses))
            raise self.broken(check, f"{wanted} is right here; the body is {self.body[:200]!r}")
        return self
