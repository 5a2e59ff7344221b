"""Write what the uploader needs of openapi.yaml while it runs: its operations, and the shapes of their answers.

`make generate` calls this; the uploader itself reads JSON and needs no YAML.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
KEPT = ("type", "format", "required", "enum", "const", "minimum", "maximum")
"""The keywords of a schema that say what a reader can rely on; patterns and lengths bind those who send."""


class Document:
    """An OpenAPI document, from which what is needed is picked."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._named: dict[str, Any] = {}

    def contract(self) -> dict[str, Any]:
        """Return the operations in the order of the document, and the schemas that their answers use."""
        operations = list(self._operations())
        return {"operations": operations, "schemas": dict(sorted(self._named.items()))}

    def _operations(self) -> Iterator[dict[str, Any]]:
        for path, item in self._document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield {
                        "name": item[method].get("operationId", f"{method.upper()} {path}"),
                        "method": method.upper(),
                        "path": path,
                        "successes": {
                            str(status).upper().replace("XX", "00"): self._body(self._resolved(answer))
                            for status, answer in item[method]["responses"].items()
                            if str(status).startswith("2")
                        },
                    }

    def _body(self, answer: dict[str, Any]) -> Any:
        """Return the shape of an answer: None if it has no body, {} if it is any JSON."""
        content = answer.get("content")
        if not content:
            return None
        kinds = {kind.partition(";")[0].strip(): media for kind, media in content.items()}
        found = next((kind for kind in kinds if kind == "application/json" or kind.endswith("+json")), None)
        return {"json": False} if found is None else self._shape(kinds[found].get("schema", {}))

    def _shape(self, schema: Any) -> dict[str, Any]:
        if not isinstance(schema, dict):
            return {}
        if "$ref" in schema:
            place, _, name = schema["$ref"].rpartition("/")
            if place != "#/components/schemas":
                return {}
            if name not in self._named:
                self._named[name] = {}  # it may contain itself
                self._named[name] = self._shape(self._document["components"]["schemas"][name])
            return {"$ref": name}
        shape = {keyword: schema[keyword] for keyword in KEPT if keyword in schema}
        if "properties" in schema:
            shape["properties"] = {key: self._shape(inner) for key, inner in schema["properties"].items()}
        for keyword in ("items", "additionalProperties"):
            if isinstance(schema.get(keyword), dict):
                shape[keyword] = self._shape(schema[keyword])
        return shape

    def _resolved(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in answer:
            return answer
        resolved: dict[str, Any] = self._document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        return resolved


def text_of(document: dict[str, Any], sha256: str = "") -> str:
    """Return the JSON text for a document and the SHA-256 of its file.

    It has a line for each operation and each schema, so that a change of it can be read.
    """
    contract = Document(document).contract()
    operations = ",\n".join(json.dumps(operation) for operation in contract["operations"])
    schemas = ",\n".join(f"{json.dumps(name)}: {json.dumps(shape)}" for name, shape in contract["schemas"].items())
    return f'{{"sha256": "{sha256}",\n"operations": [\n{operations}\n],\n"schemas": {{\n{schemas}\n}}}}\n'


def main(source: str, target: str) -> None:
    """Read a document in YAML, write the JSON."""
    content = Path(source).read_bytes()
    text = text_of(yaml.safe_load(content), hashlib.sha256(content).hexdigest())
    Path(target).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
