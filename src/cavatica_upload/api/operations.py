"""The operations of openapi.yaml: their requests, which of them may be repeated, and the shapes of their answers.

Names, paths and shapes come from `contract.json`, which `make generate` writes (tools/generate.py), so that a new
operation of the document is known here too. Whether a repeated request does harm is not in the document; the tables
below say it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

import attrs

SAFE_TO_REPEAT = {
    "reportUploadedPart": "the same report again changes nothing",
    "reportUploadedParts": "the same reports again change nothing",
    "abortUpload": "an aborted upload stays aborted; a repeated call finds it gone, as intended",
    "deleteFile": "a deleted file stays deleted; a repeated call finds it gone, as intended",
    "editFiles": "metadata are merged, and the same values again change nothing",
}
ONLY_ONCE = {
    "startUpload": "a second one opens a second upload: the caller looks in listUploads",
    "completeUpload": "after the first one the upload is gone (404/8003): the caller looks for the file",
    "createFolder": "a second one finds the name taken (409): the caller looks for the folder",
}
GONE_IS_DONE = {"abortUpload", "deleteFile"}
"""Operations of which 404 after a lost answer means that the lost request succeeded."""
NEEDS_BODY = {"startUpload"}
"""Operations, besides those that read, whose answer must hold JSON: the upload cannot continue without it."""
FREE = {"getRateLimit"}
"""Operations that are not counted against the rate limit (docs.cavatica.org, Get your current rate limit status)."""
SLOW = {"completeUpload"}
"""Operations that get more time (`Timing.slow_silence`): storage assembles up to 10,000 parts before the answer."""

_IN_WORDS = {
    "startUpload": "Starting the upload",
    "getPartUrl": "Requesting a part URL",
    "reportUploadedParts": "Reporting parts",
    "completeUpload": "Completing the file",
    "abortUpload": "Aborting the upload",
    "getUpload": "Looking up the upload",
    "listUploads": "Listing unfinished uploads",
    "listFiles": "Listing files",
    "listFolder": "Listing a folder",
    "getFile": "Looking up a file",
    "createFolder": "Creating a folder",
    "editFiles": "Setting metadata",
    "getProject": "Looking up the project",
    "getRateLimit": "Requesting the rate limit",
}

COMPARED_ITEMS = 100
"""The number of items of a list that are compared with their shape; later items rarely differ in a new way."""

Shape = Mapping[str, Any]  # a piece of JSON Schema


@attrs.frozen
class Operation:
    """An operation of the document; for a request that is none of them, `name` is its method and path.

    `successes` has the shape of the JSON for each documented status of success, None if there is no JSON.
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
        """Whether a success without JSON is a failure."""
        has_json = any(shape is not None for shape in self.successes.values())
        return (has_json or not self.successes) and (self.reads or self.name in NEEDS_BODY)


def failed(operation: str | None) -> str:
    """Return the beginning of a sentence that says that an operation failed, in words if the uploader uses it."""
    return f"{_IN_WORDS.get(operation or '', operation) or 'The request'} failed"


def recognise(method: str, path: str) -> Operation:
    """Return the operation of a method and a raw path below the base URL."""
    method = method.upper()
    for operation in contract_operations():
        if operation.method == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", operation.path), path):
            return operation
    return Operation(f"{method} {path}", method, path)


@cache
def contract_operations() -> tuple[Operation, ...]:
    """Return the operations of the document, those with the fewest values in their path first."""
    operations = [
        Operation(
            one["name"], one["method"], one["path"], {int(status): shape for status, shape in one["successes"].items()}
        )
        for one in _document()["operations"]
    ]
    return tuple(sorted(operations, key=lambda operation: operation.path.count("{")))


@cache
def _document() -> Any:
    return json.loads(files(__package__).joinpath("contract.json").read_text(encoding="utf-8"))


# Differences of an answer from its shape

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


def differences(shape: Shape | None, value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the differences of a JSON value from its shape: missing keys, other types, values out of bounds."""
    shape = _resolved(shape)
    wrong = _wrong(shape, value)
    if wrong is not None:
        yield key or "the body", wrong
    elif isinstance(value, dict):
        properties: Mapping[str, Any] = shape.get("properties", {})
        for name in shape.get("required", ()):
            if name not in value:
                yield f"{key}.{name}".lstrip("."), "missing"
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
    kinds = [_TYPES[name] for name in wanted if (name == "boolean") == isinstance(value, bool)]
    if wanted and not any(isinstance(value, kind) for kind in kinds):
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


def _resolved(shape: Shape | None) -> Shape:
    """Return a shape without a reference at its top."""
    while shape and "$ref" in shape:
        shape = _document()["schemas"][shape["$ref"]]
    return shape or {}
