"""Answers of the API: a success compared with the document, the error of a failure, the lenient reading of JSON.

A failure may be the platform's JSON, a proxy's page, or nothing.
"""

import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import attrs

from cavatica_client import models
from cavatica_upload import errors
from cavatica_upload.api.operations import Operation, Shape, differences, failed
from cavatica_upload.events import Drift
from cavatica_upload.http.exchange import not_followed
from cavatica_upload.redact import scrub
from cavatica_upload.timing import read_time

SHOWN_CHARACTERS = 200  # the length of the start of a body that an error shows
MOST_SCRUBBED = 20 * SHOWN_CHARACTERS
"""The length of the start that is redacted before it is cut: redaction may shorten a URL or a secret."""
MOST_DRIFTS = 100  # the number of differences that are reported; a server with more has another API altogether
NOTHING: Any = object()  # the value of a body that holds no JSON


@attrs.frozen(slots=False)
class Answer:
    """A whole answer of the API, its body decoded."""

    operation: Operation
    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)  # a server may send the token back

    @cached_property
    def json(self) -> Any:
        """The JSON, NOTHING if there is none."""
        return _parsed(self.body)

    @property
    def documented_status(self) -> int | None:
        """The status that the document has for this success; None if it has none for this operation."""
        successes = self.operation.successes
        return self.status if self.status in successes else next(iter(successes), None)

    @property
    def shape(self) -> Shape | None:
        """The documented shape of the JSON; None if the document has no JSON here."""
        return self.operation.successes.get(self.documented_status or 0)

    def differences(self) -> Iterator[tuple[str, str]]:
        """Yield the differences of a success from the document: where, and what is there. New keys are none."""
        if self.documented_status not in (None, self.status):
            yield "the status", str(self.status)
        if self.shape is None:
            return
        if self.json is NOTHING:
            yield "the body", "not JSON" if self.body.strip() else "empty"
            return
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind and kind != "application/json" and not kind.endswith("+json"):
            yield "the content type", scrub(kind)
        yield from differences(self.shape, self.json)

    def as_documented(self, sent: bytes) -> "Answer":
        """Return a success as the generated functions can read it; raises UnexpectedAnswer if they cannot.

        JSON of another shape would make them raise KeyError, TypeError or ValueError. Another status of success is
        replaced by the documented one. An empty answer to a report is replaced by the report that was `sent`, which is
        what some platforms answer.
        """
        status = self.documented_status
        if status is None:
            return self
        if self.operation.name == "reportUploadedPart" and self.body.strip() in (b"", b"{}", b"null"):
            return attrs.evolve(self, status=status, body=sent)
        if self.shape is not None:
            if self.json is NOTHING:
                raise self.unexpected("without the JSON that belongs to it")
            try:
                if (model := getattr(models, self.shape.get("$ref", ""), None)) is not None:
                    model.from_dict(self.json)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                found = (f"and {key} is {came}" for key, came in self.differences() if not key.startswith("the "))
                raise self.unexpected(next(found, "with JSON of another shape")) from error
        return attrs.evolve(self, status=status)

    def unexpected(self, what: str) -> errors.UnexpectedAnswer:
        """Return the error of a success that cannot be used: what is wrong with it, and how it begins."""
        if self.json is NOTHING:
            begins = self.body[:MOST_SCRUBBED].decode("utf-8", "replace")
        else:  # written anew, so that no escape hides a URL from redaction
            begins = json.dumps(self.json, ensure_ascii=False)[:MOST_SCRUBBED]
        begins = scrub(begins)
        if len(begins) > SHOWN_CHARACTERS:
            begins = begins[: SHOWN_CHARACTERS - 1] + "…"
        return errors.UnexpectedAnswer(
            f"{failed(self.operation.name)}: the server answered {self.status} {what}."
            + (f" The answer begins: {begins}" if begins else ""),
            "Check the endpoint, and whether a proxy answers in its place. If neither, the API has changed: look for a "
            "newer version of this program.",
            status=self.status,
            operation=self.operation.name,
            maybe_acted=not self.operation.reads,
        )


class Drifts:
    """Passes each difference between the server and the document to `listener`, once; safe to use from many threads."""

    def __init__(self, listener: Callable[[Drift], None]) -> None:
        self._listener = listener
        self._reported: set[Drift] = set()
        self._lock = threading.Lock()

    def note(self, answer: Answer) -> None:
        """Report the differences in an answer that are new."""
        for key, came in answer.differences():
            drift = Drift(answer.operation.name, scrub(key), came)
            with self._lock:
                if drift in self._reported or len(self._reported) >= MOST_DRIFTS:
                    continue
                self._reported.add(drift)
            self._listener(drift)


# Lenient reading

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


class Fields:
    """The fields of a JSON object; each is None if its value cannot be used. Other JSON has no fields."""

    def __init__(self, value: Any) -> None:
        self.values: dict[str, Any] = value if isinstance(value, dict) else {}

    def text(self, key: str) -> str | None:
        """Return a text, None if it is empty."""
        value = self.values.get(key)
        return value if isinstance(value, str) and value else None

    def identifier(self, key: str) -> str | None:
        """Return an ID, which may be a number, if it can be put into the path of a request."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return value if isinstance(value, str) and value.isprintable() and fits_into_path(value) else None

    def url(self, key: str) -> str | None:
        value = self.text(key)
        usable = value is not None and value.isprintable() and value.lower().startswith(("http://", "https://"))
        return value if usable else None

    def whole(self, key: str, least: int = 0, most: int = 2**63 - 1) -> int | None:
        """Return a whole number within bounds, which may be written as text or with a decimal point."""
        number = whole(self.values.get(key))
        return number if number is not None and least <= number <= most else None

    def flag(self, key: str) -> bool | None:
        """Return a truth value, which may be written as text."""
        value = self.values.get(key)
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower())
        return value if isinstance(value, bool) else None

    def time(self, key: str) -> datetime | None:
        number = whole(self.values.get(key))
        return read_time(self.values.get(key) if number is None else number)

    def items(self, key: str) -> list[Any] | None:
        value = self.values.get(key)
        return value if isinstance(value, list) else None

    def inner(self, key: str) -> "Fields":
        return Fields(self.values.get(key))

    def headers(self, key: str) -> dict[str, str]:
        """Return the headers of a map that can be sent."""
        return {
            name: str(value)
            for name, value in self.inner(key).values.items()
            if is_header_name(name)
            and isinstance(value, str | int)
            and not isinstance(value, bool)
            and _HEADER_VALUE.fullmatch(str(value))
        }


def fits_into_path(value: str) -> bool:
    """Return whether a server reads an ID or a name in a path unchanged."""
    return value not in ("", ".", "..") and not any(character in "/\\" or character < " " for character in value)


def whole(value: object) -> int | None:
    """Return a number that is whole: 5, 5.0, "5"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else None
    return value if isinstance(value, int) else None


def is_header_name(value: object) -> bool:
    """Return whether a value can be the name of a header."""
    return isinstance(value, str) and _HEADER_NAME.fullmatch(value) is not None


# Failures

# docs.cavatica.org, API status codes
_KIND_OF: Mapping[tuple[int, int | None], type[errors.ApiError]] = {
    (404, 8003): errors.UploadGone,
    (409, 8005): errors.NameTaken,
    (409, 5003): errors.NameTaken,
    (409, 5030): errors.NameTaken,
    (409, 8007): errors.CompleteRefused,
    (409, 8008): errors.PartNotReserved,
    (401, None): errors.Unauthorized,
    (403, None): errors.Forbidden,
    (404, None): errors.NotFound,
    (409, None): errors.Conflict,
    (429, None): errors.RateLimited,
}
_HINT_OF: Mapping[type[errors.ApiError], str] = {
    errors.Unauthorized: "Check that the token belongs to this endpoint, or make one on the platform's developer page.",
    errors.Forbidden: "Ask an administrator of the project for write permission, or use another project.",
    errors.UploadGone: "Start the upload again.",
    errors.NameTaken: "Choose another name, or allow the existing one to be replaced.",
    errors.CompleteRefused: "Run the same command again: parts that are missing or wrong are sent again.",
    errors.RateLimited: "Wait until the rate limit resets, and let fewer programs share the token.",
    errors.ServerError: "The platform has a problem; try again later.",
    errors.UnexpectedAnswer: "Check the endpoint, and whether a proxy answers in its place.",
}


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, operation: str | None = None, hint: str | None = None
) -> errors.ApiError:
    """Return the error of an answer that is not success; `hint` replaces the usual one.

    The platform sends `status`, `code`, `message` and `more_info` (seen in sevenbridges-python). For a path that it
    does not know, `status` is a word and there is no `code`. Everything in the error can be shown.
    """
    known = {name.lower(): value for name, value in headers.items()}
    parsed = _parsed(body)
    problem = Fields(parsed)
    code, reason = problem.whole("code"), _shown(problem.text("message"))
    if 300 <= status < 400:
        reason = not_followed(known.get("location", ""))
    elif parsed is NOTHING and body.strip():
        reason = _page_title(body) or "something that is not JSON"
    other = errors.ServerError if status >= 500 else errors.BadRequest if status >= 400 else errors.UnexpectedAnswer
    kind = _KIND_OF.get((status, code)) or _KIND_OF.get((status, None), other)
    usual = _HINT_OF.get(kind)
    if (status, code) == (503, 0):
        usual = "The platform is down for maintenance; try again later."
    elif code is None and status in (403, 404, 405, 407):  # the platform's own refusals have a code
        usual = _HINT_OF[errors.UnexpectedAnswer]
    sentence = f"{failed(operation)}: the server answered {status}"
    if code is not None:
        sentence += f" (code {code})"
    sentence += f": {reason.rstrip('.')}." if reason else "."
    return kind(
        sentence,
        hint or usual,
        status=status,
        code=code,
        reason=reason,
        more_info=_shown(problem.text("more_info")),
        operation=operation,
        request_id=_shown(known.get("x-request-id")),
    )


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return NOTHING


def _shown(text: str | None) -> str | None:
    return scrub(text or "") or None


def _page_title(body: bytes) -> str | None:
    found = re.search(rb"<title[^>]*>([^<]*)</title>", body[:4096], re.IGNORECASE)
    title = scrub(found[1].decode("utf-8", "replace")) if found else ""
    return f"an HTML page, “{title}”" if title else None
