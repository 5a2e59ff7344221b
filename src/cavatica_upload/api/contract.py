"""What of openapi.yaml is needed at run time: its operations, and the shapes of their answers.

`contract.json` is written by `make generate` (tools/client_contract.py), so that an operation that is new in the
document is known here with it, whatever its parameters and bodies are.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

import attrs

LOOKED_AT = 100
"""So many items of a list are compared with their shape: what one has in another way, the others have too."""

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
class ContractOperation:
    """An operation as the document has it: its operationId, and the shape of its answer for each status of success.

    A shape is a piece of JSON Schema; None if the answer has no body, {"json": False} if it is no JSON.
    """

    name: str
    method: str
    path: str
    successes: Mapping[int, Mapping[str, Any] | None]


@attrs.frozen
class Difference:
    """What an answer has in another way than the document: `key` is the path to it, `came` says what it is instead."""

    key: str
    came: str


@cache
def contract_operations() -> tuple[ContractOperation, ...]:
    """Return the operations of the document, those first whose paths have the fewest values in them."""
    operations = [
        ContractOperation(
            one["name"], one["method"], one["path"], {int(status): shape for status, shape in one["successes"].items()}
        )
        for one in _document()["operations"]
    ]
    return tuple(sorted(operations, key=lambda operation: operation.path.count("{")))


def differences(shape: Mapping[str, Any] | None, value: object, key: str = "") -> Iterator[Difference]:
    """Yield what JSON has in another way than its shape: keys that are missing, null, of another type, no dates."""
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
        for item in islice(value, LOOKED_AT):
            yield from differences(shape.get("items"), item, f"{key}[]")


def _wrong(shape: Mapping[str, Any], value: object) -> str | None:
    """Say what is there in the place of what should be, None if it is as it should be."""
    wanted = shape.get("type", ())
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and not any(_is(value, name) for name in wanted):
        return _named(value)
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


def _named(value: object) -> str:
    return _NAMES.get(type(value), "a number")


def _resolved(shape: Mapping[str, Any] | None) -> Mapping[str, Any]:
    while shape and "$ref" in shape:
        shape = _document()["schemas"][shape["$ref"]]
    return shape or {}


@cache
def _document() -> Any:
    return json.loads(files(__package__).joinpath("contract.json").read_text(encoding="utf-8"))
