"""What openapi.yaml says of requests: the routes, and compiled validators of paths, queries and bodies."""

import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import attrs
import jsonschema_rs
import yaml

METHODS: Final = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
BOOLEANS: Final = {"true": True, "false": False}  # real clients send true, True and TRUE


class Invalid(Exception):
    """A value does not fit its schema. `where` is the path to it in the body, or the name of the parameter."""

    def __init__(self, where: Sequence[str | int], why: str) -> None:
        self.where = tuple(where)
        self.why = why
        super().__init__(why)


class Validator:
    """A validator that is compiled when it is first used, so that a mock starts within milliseconds."""

    def __init__(self, contract: "Contract", schema: Mapping[str, Any]) -> None:
        self._contract, self._schema = contract, schema

    @cached_property
    def _validator(self) -> Any:
        return self._contract.compile(self._schema)

    def check(self, value: object, *where: str) -> None:
        """Raises Invalid for the first error."""
        if self._validator.is_valid(value):
            return
        error = next(iter(self._validator.iter_errors(value)))
        path = (*where, *error.instance_path)
        name = ".".join(str(step) for step in path) or "the body"
        why = str(error.message)
        # A validator quotes the value, which can be the whole body.
        raise Invalid(path, f"{name}: {why if len(why) <= 200 else why[:100] + ' … ' + why[-100:]}")


@attrs.frozen(eq=False)
class Parameter:
    name: str
    in_path: bool  # otherwise in the query
    schema: Mapping[str, Any]
    validator: Validator = attrs.field(repr=False)

    def read(self, texts: Sequence[str]) -> Any:
        """The parameter's value: a list if it is repeatable. Raises Invalid."""
        repeatable = self.schema.get("type") == "array"
        if len(texts) > 1 and not repeatable:
            raise Invalid((self.name,), f"{self.name} is given more than once.")
        value = list(texts) if repeatable else self._value(texts[0])
        self.validator.check(value, self.name)
        return value

    def _value(self, text: str) -> str | int | bool:
        if self.schema.get("type") == "integer":
            if not INTEGER.fullmatch(text):
                raise Invalid((self.name,), f"{self.name} must be an integer.")
            return int(text)
        if self.schema.get("type") == "boolean":
            if text.lower() not in BOOLEANS:
                raise Invalid((self.name,), f"{self.name} must be true or false.")
            return BOOLEANS[text.lower()]
        return text


@attrs.frozen(eq=False)
class Operation:
    """One operationId."""

    id: str
    method: str
    template: str
    parameters: tuple[Parameter, ...]
    body: Validator | None
    body_required: bool


class Contract:
    """openapi.yaml, compiled: its routes and validators."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._table: dict[tuple[str, ...], dict[str, Operation]] = {}
        self.operations: dict[str, Operation] = {}
        for template, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    operation = self._operation(template, method, item)
                    self.operations[operation.id] = operation
                    self._table.setdefault(tuple(template.split("/")[1:]), {})[method.upper()] = operation

    def match(self, path: str) -> tuple[Mapping[str, Operation], Mapping[str, str]] | None:
        """The operations of a path by method, and the texts of its parameters. `path` is as sent, below `/v2`.

        A slash after `part` is ignored, because the vendor's Python client sends it. Anywhere else it is an empty
        segment: `/upload/multipart/` is an upload without an id, not the list of all. Each segment is decoded by
        itself, so `%2F` does not separate segments, and `..` is a name like any other.
        """
        if not path.startswith("/"):
            return None
        try:
            given = [unquote_to_bytes(segment).decode() for segment in path.split("/")[1:]]
        except UnicodeError:
            return None
        if given[-2:] == ["part", ""]:
            given.pop()
        for segments, operations in self._table.items():
            if len(segments) != len(given):
                continue
            values = {}
            for segment, text in zip(segments, given, strict=True):
                if segment.startswith("{"):
                    values[segment[1:-1]] = text
                elif segment != text:
                    break
            else:
                return operations, values
        return None

    def resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """The target of a `$ref`, or the node itself. Keys beside the reference are descriptions."""
        while "$ref" in node:
            target: Any = self.document
            for key in node["$ref"].removeprefix("#/").split("/"):
                target = target[key]
            node = target
        return node

    def compile(self, schema: Mapping[str, Any], *, formats: bool = False) -> Any:
        dialect = "https://json-schema.org/draft/2020-12/schema"
        components = {"schemas": self.document["components"]["schemas"]}
        whole = {"$schema": dialect, "allOf": [schema], "components": components}
        return jsonschema_rs.validator_for(whole, validate_formats=formats)

    def _operation(self, template: str, method: str, item: Mapping[str, Any]) -> Operation:
        said = item[method]
        content = self.resolve(said["requestBody"]) if "requestBody" in said else {}
        body = content.get("content", {}).get("application/json", {}).get("schema")
        parameters = [self.resolve(node) for node in (*item.get("parameters", ()), *said.get("parameters", ()))]
        return Operation(
            id=said["operationId"],
            method=method.upper(),
            template=template,
            parameters=tuple(
                Parameter(
                    node["name"], node["in"] == "path", self.resolve(node["schema"]), Validator(self, node["schema"])
                )
                for node in parameters
            ),
            body=None if body is None else Validator(self, body),
            body_required=bool(content.get("required", False)),
        )


@cache
def load() -> Contract:
    """The contract that this package was built with."""
    packaged = resources.files("cavatica_mock") / "openapi.yaml"
    if packaged.is_file():
        text = packaged.read_text("utf-8")
    else:  # an editable install: the document in the checkout
        text = (Path(__file__).parents[2] / "openapi.yaml").read_text("utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Contract(yaml.load(text, loader))  # noqa: S506
