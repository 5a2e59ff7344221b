"""Write openapi.yaml as JSON that openapi-python-client generates right code from.

One thing is changed. Where an optional body may be `null`, the generator (0.29.1) sends its own marker for "left out",
which is no JSON: it never asks whether a union was left out. So `null` is taken out of such a body; a caller in Python
leaves the body out instead.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

NULL = {"type": "null"}


def without_null_bodies(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document, changed in place: a body that is something or null is now that something."""
    for item in document["paths"].values():
        for operation in item.values():
            if not isinstance(operation, dict) or "requestBody" not in operation:
                continue
            for media in operation["requestBody"].get("content", {}).values():
                choices = [choice for choice in media["schema"].get("anyOf", ()) if choice != NULL]
                if len(choices) == 1:
                    media["schema"] = choices[0]
    return document


def main(source: str, target: str) -> None:
    """Read a document in YAML, write the JSON."""
    document = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
    Path(target).write_text(json.dumps(without_null_bodies(document)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
