"""Compare openapi.yaml with an OpenAPI export of the vendor's pages: upstream_diff.py VENDOR.json…

Operation by operation: what the vendor has and this document lacks, and what differs. Known mistakes of the exports are
left out, and counted. Exits with 1 if there is a difference that is not known, with 2 if a file cannot be read.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from house_rules import Document

METHODS = ("get", "put", "post", "delete", "patch")
KNOWN = {
    r"parameter X-SBG-Auth-Token": "the exports list the token as a parameter; here it is the security scheme",
    r"parameter (fields|Content-Type)": "accepted by every call, declared by none here",
    r"answer (400|401|403|404|409|415|429|500|503)": "the exports leave errors out, or show them without a body",
    r"body key .* has no type": "the exports lose types of nested keys",
}
"""Differences that are mistakes of the exports: a pattern, and the reason."""


def shape(path: str) -> str:
    """Return a path without the names of its values, the version and a slash at the end."""
    return re.sub(r"\{[^}]*\}", "{}", path).removeprefix("/v2").rstrip("/")


def described(document: Document, item: dict[str, Any], operation: dict[str, Any]) -> dict[str, str]:
    """Return what an operation has: parameters, keys of its body and answers, each with what can differ."""
    found: dict[str, str] = {}
    for node in [*item.get("parameters", []), *operation.get("parameters", [])]:
        one = document.resolved(node) or {}
        if one.get("in") == "path":
            continue
        found[f"parameter {one.get('name')}"] = "required" if one.get("required") else "optional"
    body = document.resolved(operation.get("requestBody")) or {}
    for media in body.get("content", {}).values():
        schema = document.resolved(media.get("schema")) or {}
        for key, inner in schema.get("properties", {}).items():
            kind = (document.resolved(inner) or {}).get("type")
            found[f"body key {key}"] = " or ".join(kind) if isinstance(kind, list) else str(kind or "any type")
    for status in operation.get("responses", {}):
        found[f"answer {status}"] = "declared"
    return found


def operations(document: Document) -> dict[tuple[str, str], tuple[str, dict[str, str]]]:
    """Return each operation of a document by method and shape of path: its name, and what it has."""
    return {
        (method.upper(), shape(path)): (
            operation.get("operationId", path),
            described(document, document.data["paths"][path], operation),
        )
        for path, method, operation in document.operations()
    }


def differences(vendor: Document, ours: Document) -> Iterator[str]:
    """Each difference in a sentence."""
    here = operations(ours)
    for (method, path), (name, theirs) in operations(vendor).items():
        if (method, path) not in here:
            yield f"{method} {path}: the vendor has it ({name}), this document does not"
            continue
        own, has = here[(method, path)]
        for what in sorted(theirs.keys() - has.keys()):
            yield f"{own}: {what} is only in the vendor's ({theirs[what]})"
        for what in sorted(has.keys() - theirs.keys()):
            yield f"{own}: {what} is only here"
        for what in sorted(has.keys() & theirs.keys()):
            if has[what] != theirs[what]:
                yield f"{own}: {what} is {theirs[what]} in the vendor's, {has[what]} here"


def main() -> int:
    """Print the differences of each file."""
    names = sys.argv[1:]
    if not names or not all(Path(name).is_file() for name in names):
        print("Name the vendor's export: make upstream-diff UPSTREAM=vendor.json", file=sys.stderr)
        return 2
    ours = Document(Path("openapi.yaml").read_text(encoding="utf-8"))
    told = 0
    for name in names:
        try:
            vendor = Document(Path(name).read_text(encoding="utf-8"))
            found = list(differences(vendor, ours))
        except (yaml.YAMLError, json.JSONDecodeError, AttributeError, TypeError) as error:
            print(f"{name} is not an OpenAPI document: {error}", file=sys.stderr)
            return 2
        new = [text for text in found if not any(re.search(pattern, text) for pattern in KNOWN)]
        print("\n".join(new) or f"{name}: nothing differs.")
        for pattern, reason in KNOWN.items():
            if count := sum(bool(re.search(pattern, text)) for text in found):
                print(f"({count} left out: {reason})")
        told += len(new)
    return 1 if told else 0


if __name__ == "__main__":
    raise SystemExit(main())
