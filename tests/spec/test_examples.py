"""Every example in openapi.yaml fits its schema and the generated models."""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cavatica_client import models

DOCUMENT: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parents[2] / "openapi.yaml").read_text())


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """The node itself, or the target of its reference."""
    while set(node) == {"$ref"}:
        target: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def examples(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield every example below `node`: its path, its schema, its value."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from examples(item, f"{path}/{index}")
        return
    if not isinstance(node, dict):
        return
    shown = node.get("examples")
    if isinstance(shown, list):  # a schema
        schema = {key: value for key, value in node.items() if key != "examples"}
        for index, value in enumerate(shown):
            yield f"{path}/examples/{index}", schema, value
    elif isinstance(shown, dict) and "schema" in node:  # a media type
        for name, example in shown.items():
            yield f"{path}/examples/{name}", node["schema"], resolve(example)["value"]
    for key, value in node.items():
        if key not in ("examples", "value"):
            yield from examples(value, f"{path}/{key}")


ALL = list(examples(DOCUMENT, ""))


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A compiled schema that can resolve the document's components."""
    return jsonschema_rs.Draft202012Validator(
        {"components": DOCUMENT["components"], "allOf": [schema]}, validate_formats=True
    )


def test_there_are_examples_everywhere():
    """Examples of schemas, bodies, answers and errors are found."""
    assert len(ALL) > 100
    assert any("requestBody" in path for path, _, _ in ALL)
    assert any(path.startswith("/components/responses") for path, _, _ in ALL)


@pytest.mark.parametrize(("path", "schema", "value"), ALL, ids=[path for path, _, _ in ALL])
def test_example_fits_its_schema(path, schema, value):
    """The example is valid for its schema."""
    validator(schema).validate(value)


def named(schema: dict[str, Any]) -> str | None:
    """The name of the component that a schema refers to."""
    return schema["$ref"].rpartition("/")[2] if set(schema) == {"$ref"} else None


OBJECTS = [
    (path, named(schema) or path.split("/")[3], value)
    for path, schema, value in ALL
    if isinstance(value, dict) and (named(schema) or re.fullmatch(r"/components/schemas/\w+/examples/\d+", path))
]


@pytest.mark.parametrize(("path", "name", "value"), OBJECTS, ids=[path for path, _, _ in OBJECTS])
def test_example_round_trips_through_the_model(path, name, value):
    """The generated model reads the example and writes the same JSON."""
    model = getattr(models, name)
    written = json.loads(json.dumps(model.from_dict(value).to_dict()))
    assert normal(written) == normal(value)


def normal(value: Any) -> Any:
    """The value with every time in one spelling, since the models write `+00:00` and the document `Z`."""
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return re.sub(r"(T[\d:.]+)\+00:00$", r"\1Z", value) if isinstance(value, str) else value


def test_every_object_schema_has_a_model():
    """Every object schema has a generated model."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if "properties" in schema or "additionalProperties" in schema:
            assert hasattr(importlib.import_module("cavatica_client.models"), name)
