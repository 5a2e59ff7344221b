"""openapi.yaml as the suite reads it: operations, the answers they declare, and their validators."""

import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import attrs
import jsonschema_rs
import yaml

ROOT: Final = Path(__file__).parents[2]
PATH: Final = ROOT / "openapi.yaml"
METHODS: Final = ("get", "put", "post", "delete", "patch", "options", "head", "trace")


@attrs.frozen
class Declared:
    """One status of one operation: whether it has rate-limit headers, and the schema of its body if it has one."""

    headers: frozenset[str]
    schema: dict[str, Any] | None


@attrs.frozen
class Operation:
    """One operation of the document. `path` is the template, `pattern` matches a request's path below the base URL."""

    id: str
    method: str
    path: str
    pattern: re.Pattern[str]
    declared: dict[int, Declared]
    takes_body: bool

    @property
    def label(self) -> str:
        """What schemathesis calls it."""
        return f"{self.method} {self.path}"

    def url(self, **values: object) -> str:
        """The path with its parameters filled in, exactly as given. Raises RuntimeError if one is not known."""
        try:
            return self.path.format(**values)
        except KeyError as unknown:
            raise RuntimeError(f"{self.id} is new to the suite: give {unknown} a value in valid_request().") from None


@functools.cache
def load() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(PATH.read_text())
    return document


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Follow a `$ref` within the document."""
    while "$ref" in node:
        target: Any = load()
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


@functools.cache
def operations() -> dict[str, Operation]:
    """Every operation by its operationId, in the order of the document."""
    found = {}
    for path, item in load()["paths"].items():
        for method in METHODS:
            if method in item:
                operation = _operation(path, method, item[method])
                found[operation.id] = operation
    return found


def find(method: str, path: str) -> Operation | None:
    """The operation of a method and a path (below the base URL, without the query).

    None for a path that is not text. A slash after `part` is let pass: the vendor's Python client sends it.
    """
    try:
        unquote_to_bytes(path).decode()
    except UnicodeError:
        return None
    if method == "POST" and path.endswith("/part/"):
        path = path.removesuffix("/")
    for operation in operations().values():
        if operation.method == method and operation.pattern.fullmatch(path):
            return operation
    return None


def methods_of(path: str) -> frozenset[str]:
    """The methods that the document declares for a path."""
    return frozenset(operation.method for operation in operations().values() if operation.pattern.fullmatch(path))


def links_at(answers: Iterable[tuple[str, int]]) -> int:
    """The number of links that the document declares for these answers, each an operation and a status."""
    items = load()["paths"].values()
    found = {item[method]["operationId"]: item[method] for item in items for method in METHODS if method in item}
    return sum(len(resolve(found[name]["responses"][str(status)]).get("links", {})) for name, status in answers)


@functools.cache
def validator(operation_id: str, status: int) -> Any:
    """A compiled validator of an answer's JSON body; None if the document declares no body."""
    declared = operations()[operation_id].declared.get(status)
    if declared is None or declared.schema is None:
        return None
    whole = {**declared.schema, "components": {"schemas": load()["components"]["schemas"]}}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def _operation(path: str, method: str, node: dict[str, Any]) -> Operation:
    pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
    declared = {}
    for status, response in node["responses"].items():
        response = resolve(response)
        content = response.get("content", {}).get("application/json")
        headers = frozenset(
            name.lower() for name, header in response.get("headers", {}).items() if resolve(header).get("required")
        )
        declared[int(status)] = Declared(headers, None if content is None else content["schema"])
    return Operation(node["operationId"], method.upper(), path, pattern, declared, "requestBody" in node)
