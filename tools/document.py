"""An OpenAPI document, as the scripts of this folder read it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Document:
    """The data of a document, and the line of each key."""

    def __init__(self, text: str) -> None:
        self.data: dict[str, Any] = yaml.safe_load(text)
        self._root = yaml.compose(text, yaml.SafeLoader)

    def line(self, *steps: str | int) -> int:
        """Return the line of a key, or of the nearest key above it if it is not there."""
        node, line = self._root, 1
        for step in steps:
            if isinstance(node, yaml.MappingNode):
                found = [(key, value) for key, value in node.value if key.value == str(step)]
                if not found:
                    break
                line, node = found[0][0].start_mark.line + 1, found[0][1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                break
        return line

    def resolved(self, node: Any) -> Any:
        """Return the target of a reference, None if there is none; return any other node as it is."""
        for _ in range(10):
            if not isinstance(node, dict) or "$ref" not in node:
                return node
            target: Any = self.data
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target.get(step) if isinstance(target, dict) else None
            node = target
        return None

    def keys(
        self, node: Any, path: str = "", within: tuple[int, ...] = ()
    ) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """Yield each key of a schema, as in `parts[].headers`, with its own schema, and whether it is required."""
        schema = self.resolved(node)
        if not isinstance(schema, dict) or id(schema) in within:
            return
        within = (*within, id(schema))
        for key, inner in (schema.get("properties") or {}).items():
            name = f"{path}.{key}".lstrip(".")
            yield name, self.resolved(inner) or {}, key in schema.get("required", ())
            yield from self.keys(inner, name, within)
        yield from self.keys(schema.get("items"), f"{path}[]", within)
        for choice in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from self.keys(choice, path, within)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield each operation with its path and its method."""
        for path, item in self.data.get("paths", {}).items():
            for method in METHODS:
                if method in item:
                    yield path, method, item[method]


def stop(sentence: str) -> NoReturn:
    """Print why a document cannot be used, and exit with 2."""
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


def text_of(name: str) -> str:
    """Return the text of a file. Exits with 2 if it cannot be read."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        stop(f"{name} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        stop(f"{name} is not an OpenAPI document: it is not text in UTF-8.")


def parsed(text: str, name: str) -> Document:
    """Return the document of a text. Exits with 2 if it is not an OpenAPI document."""
    try:
        document = Document(text)
    except yaml.YAMLError as error:
        stop(f"{name} is not an OpenAPI document: {error}")
    data = document.data if isinstance(document.data, dict) else {}
    if not str(data.get("openapi", "")).startswith("3."):
        stop(f"{name} is not an OpenAPI document: it has no `openapi: 3.…`.")
    if not isinstance(data.get("info"), dict) or not isinstance(data.get("paths"), dict):
        stop(f"{name} is not an OpenAPI document: it has no `info` or no `paths`.")
    for path, item in data["paths"].items():
        if not isinstance(item, dict) or not all(isinstance(item.get(method, {}), dict) for method in METHODS):
            stop(f"{name} is not an OpenAPI document: the operations of {path} are not objects.")
    return document
