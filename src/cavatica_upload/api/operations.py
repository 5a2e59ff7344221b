"""The operations of openapi.yaml: which one a request is, whether it may be made twice, and what its answers look like.

Names, paths and shapes come from `contract.json`, which `make generate` writes (tools/generate.py), so that an
operation that is new in the document is known here with it. What a second request would do, the document cannot say:
that is listed here.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any
from urllib.parse import unquote

import attrs
import httpx

from cavatica_upload.errors import UsageError

SAFE_TO_REPEAT = {
    "reportUploadedPart": "the same report again changes nothing",
    "reportUploadedParts": "the same reports again change nothing",
    "abortUpload": "an aborted upload stays aborted; a repeated call finds it gone, which is what was wanted",
    "deleteFile": "a deleted file stays deleted; a repeated call finds it gone, which is what was wanted",
    "editFiles": "metadata are merged, and the same values again change nothing",
}
ONLY_ONCE = {
    "startUpload": "a second one opens a second upload: the caller looks in listUploads",
    "completeUpload": "after the first one the upload is gone (404/8003): the caller looks for the file",
    "createFolder": "a second one finds the name taken (409): the caller looks for the folder",
}
GONE_IS_DONE = {"abortUpload", "deleteFile"}
NEEDS_BODY = {"startUpload"}
"""Operations beside the reads whose answer must hold JSON: the upload cannot continue without it."""
FREE = {"getRateLimit"}  # docs.cavatica.org, Get your current rate limit status
SLOW = {"completeUpload"}  # storage assembles up to 10,000 parts before the platform answers
COMPARED_ITEMS = 100
"""The number of items of a list that are compared with their shape; later items rarely differ in a new way."""

Shape = Mapping[str, Any]
"""A piece of JSON Schema; {"json": False} stands for a body that is not JSON."""

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
_NAMES: Mapping[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


@attrs.frozen
class Operation:
    """An operation of the document; for a request that is none of them, `name` is its method and path.

    `successes` has the shape of the answer for each documented status of success, None if the answer has no body.
    """

    name: str
    method: str
    path: str
    successes: Mapping[int, Shape | None] = attrs.field(factory=dict, eq=False)

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again although the server may have acted on the first request."""
        return self.method in ("GET", "HEAD") or self.name in SAFE_TO_REPEAT

    @property
    def needs_body(self) -> bool:
        """Whether a success counts only with JSON in it."""
        has_json = any(shape is not None and shape.get("json", True) for shape in self.successes.values())
        return (has_json or not self.successes) and (self.reads or self.name in NEEDS_BODY)

    @property
    def gone_is_done(self) -> bool:
        """Whether 404 after a lost answer means that the lost request succeeded."""
        return self.name in GONE_IS_DONE

    @property
    def free(self) -> bool:
        """Whether it is not counted against the rate limit."""
        return self.name in FREE

    @property
    def slow(self) -> bool:
        """Whether its answer may take longer than others (`Timing.slow_silence`)."""
        return self.name in SLOW


def operation_of(request: httpx.Request, base: httpx.URL) -> Operation | None:
    """Return the operation that a request is, None for a request to another origin."""
    url, path = request.url, request.url.raw_path.decode("ascii").split("?", 1)[0]
    prefix = base.raw_path.decode("ascii").rstrip("/")
    if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port) or not path.startswith(prefix):
        return None
    return recognise(request.method, path.removeprefix(prefix))


def recognise(method: str, path: str) -> Operation:
    """Return the operation behind a method and a raw path below the base URL."""
    method, segments = method.upper(), path.split("/")
    for operation in contract_operations():
        if operation.method == method and _fits(segments, operation.path.split("/")):
            return operation
    return Operation(f"{method} {path}", method, path)


def _fits(segments: list[str], template: list[str]) -> bool:
    return len(segments) == len(template) and all(
        segment == wanted or (wanted.startswith("{") and segment != "")
        for segment, wanted in zip(segments, template, strict=True)
    )


def refuse_unsafe_path(path: str) -> None:
    """Raise UsageError if a value in a path would make it the path of another operation.

    An empty value, `.` and `..` do: browsers and HTTP libraries resolve them, so that getUpload("..") would list all
    uploads. So does a slash, if a server decodes it.
    """
    path = path.split("?", 1)[0].removeprefix("/")
    for segment in path.split("/") if path else ():
        value = unquote(segment)
        if not fits_into_path(value):
            raise UsageError(
                f"{value!r} cannot be an ID or a name in the path of a request; nothing was sent.",
                "Give the ID as the platform shows it.",
            )


def fits_into_path(value: str) -> bool:
    """Return whether a server will read an ID or a name in a path unchanged."""
    return value not in ("", ".", "..") and not any(character in "/\\" or character < " " for character in value)


# The document


@cache
def contract_operations() -> tuple[Operation, ...]:
    """Return the operations of the document, those first whose paths have the fewest values in them."""
    operations = [
        Operation(
            one["name"], one["method"], one["path"], {int(status): shape for status, shape in one["successes"].items()}
        )
        for one in _document()["operations"]
    ]
    return tuple(sorted(operations, key=lambda operation: operation.path.count("{")))


@attrs.frozen
class Difference:
    """A difference between an answer and the document: `key` is the path to it, `came` says what is there instead."""

    key: str
    came: str


def differences(shape: Shape | None, value: object, key: str = "") -> Iterator[Difference]:
    """Yield the differences of a JSON value from its shape: missing keys, other types, values outside of the bounds."""
    shape = _resolved(shape)
    wrong = _wrong(shape, value)
    if wrong is not None:
        yield Difference(key or "the body", wrong)
    elif isinstance(value, dict):
        properties: Mapping[str, Any] = shape.get("properties", {})
        for name in shape.get("required", ()):
            if name not in value:
                yield Difference(f"{key}.{name}".lstrip("."), "missing")
        for name, inner in value.items():
            expected = properties.get(name, shape.get("additionalProperties"))
            if expected is not None:
                yield from differences(expected, inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in islice(value, COMPARED_ITEMS):
            yield from differences(shape.get("items"), item, f"{key}[]")


def _wrong(shape: Shape, value: object) -> str | None:
    """Return what is there instead of the documented value, None if it is as documented."""
    wanted = shape.get("type", ())
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and not any(_is(value, name) for name in wanted):
        return _NAMES.get(type(value), "a number")
    if shape.get("format") == "date-time" and isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return "not a date in ISO 8601"
    if isinstance(value, int | float) and not shape.get("minimum", value) <= value <= shape.get("maximum", value):
        return "out of bounds"
    if ("enum" in shape and value not in shape["enum"]) or ("const" in shape and value != shape["const"]):
        return "another value"
    return None


def _is(value: object, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _resolved(shape: Shape | None) -> Shape:
    while shape and "$ref" in shape:
        shape = _document()["schemas"][shape["$ref"]]
    return shape or {}


@cache
def _document() -> Any:
    return json.loads(files(__package__).joinpath("contract.json").read_text(encoding="utf-8"))
