"""A success as it came: what is in it, in what way it differs from the document, and the error that it may be."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import attrs
import httpx

from cavatica_upload.api.contract import Difference, differences
from cavatica_upload.api.operations import Operation, recognise
from cavatica_upload.errors import UnexpectedAnswer
from cavatica_upload.redact import scrub

LONGEST_START = 200  # characters of a body that are shown


class _Nothing:
    """Stands for JSON that is not there."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING: Any = _Nothing()


@attrs.frozen(slots=False)
class Answer:
    """An answer of the API with a status of success."""

    operation: Operation
    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, response: httpx.Response, operation: Operation) -> "Answer":
        """Take what counts from a response that was read."""
        return cls(operation, response.status_code, response.headers, response.content)

    @cached_property
    def json(self) -> Any:
        """The JSON, NOTHING if there is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return NOTHING

    @property
    def documented_status(self) -> int | None:
        """The status under which the document has this answer, None if it has none of this operation."""
        successes = self.operation.successes
        return self.status if self.status in successes else next(iter(successes), None)

    def differences(self) -> Iterator[Difference]:
        """Yield in what way the answer is not the document's, keys that are new left out."""
        status = self.documented_status
        if status is None:
            return
        if status != self.status:
            yield Difference("the status", str(self.status))
        shape = self.operation.successes[status]
        if shape is None or not shape.get("json", True):
            return
        if self.json is NOTHING:
            yield Difference("the body", "not JSON" if self.body.strip() else "empty")
            return
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind and kind != "application/json" and not kind.endswith("+json"):
            yield Difference("the content type", scrub(kind))
        yield from differences(shape, self.json)

    def unexpected(self, what: str) -> UnexpectedAnswer:
        """Make the error that says what the answer has, or has not, and how it begins."""
        if self.json is NOTHING:
            begins = self.body[: 4 * LONGEST_START].decode("utf-8", "replace")
        else:
            begins = json.dumps(self.json, ensure_ascii=False)  # anew, so that no escape hides a URL from redaction
        begins = scrub(begins)
        if len(begins) > LONGEST_START:
            begins = begins[: LONGEST_START - 1] + "…"
        error = UnexpectedAnswer(
            f"{self.operation.name} failed: the server answered {self.status} {what}."
            + (f" The answer begins: {begins}" if begins else ""),
            "Check the endpoint, and whether a proxy answers in its place; if neither, the API has changed: look for a "
            "newer version of this program.",
            status=self.status,
            operation=self.operation.name,
        )
        error.maybe_acted = not self.operation.reads
        return error


def operation_of(request: httpx.Request, base: httpx.URL) -> Operation | None:
    """Return the operation that a request is, None for a request to another origin."""
    url, path = request.url, request.url.raw_path.decode("ascii").split("?", 1)[0]
    prefix = base.raw_path.decode("ascii").rstrip("/")
    if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port) or not path.startswith(prefix):
        return None
    return recognise(request.method, path.removeprefix(prefix))
