"""Compare openapi.yaml with an OpenAPI export of the vendor's pages: upstream_diff.py VENDOR.json…

Prints what only the vendor has and what differs, operation by operation. Known mistakes of the exports are left out
and counted. Exits with 1 if there is a difference that is not known, with 2 if a file cannot be read.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

from document import Document, parsed, stop, text_of

KNOWN = {
    r"parameter X-SBG-Auth[-_]Token": "the exports list the token as a parameter, with an underscore for uploads",
    r"parameter (fields|Content-Type)\b": "every call takes it, so this document declares it nowhere",
    r"answer (400|401|403|404|409|415|429|500|503) is": "the exports leave errors out, or show them as {}",
    r"answer \d+ is only here, .*no answer": "the exports declare no answer if the page shows only a status",
    r"is integer \(int32\) in the vendor's, integer \(int64\) here": "int32 is too small for the sizes of genomes",
    r"is integer in the vendor's, integer \(int\d+\) here": "the exports make answers from examples, without formats",
    r"\{key\}|RAW_BODY": "a placeholder of the vendor's page editor stands for keys of any name",
    r"answer \d+ key \S+ is only here": "the exports show the keys of one example; the vendor's clients read more",
    r"response\.headers\.ETag is only": "the exports show one header; here any header may be sent",
    r"body key \S*response\.body is only here": "the pages call it reserved; the export leaves it out",
    r"completeUpload: body key \S+ is only here": "the page reports parts in this call; the export shows no body",
    r"(completeUpload|createFolder): answer 201 is only here": "pages show 201, the exports 200; both are declared",
    r"(listUploads|listFiles): parameter (limit|offset) is only here": "every list is paged; not every page says so",
}
"""Differences that are mistakes of the exports: a pattern, and the reason."""

Has = dict[str, str]
"""What an operation has (parameters, keys of its body, answers), each with what can differ."""


def shape(path: str) -> str:
    """Return a path without the names of its parameters, the version and a slash at the end."""
    return re.sub(r"\{[^}]*\}", "{}", path).removeprefix("/v2").rstrip("/")


def kind(schema: dict[str, Any]) -> str:
    """Return the type of a schema, with the format of a number."""
    types = schema.get("type") or "any type"
    form = f" ({schema['format']})" if str(schema.get("format", "")).startswith("int") else ""
    return " or ".join(types) + form if isinstance(types, list) else f"{types}{form}"


def described(document: Document, item: dict[str, Any], operation: dict[str, Any]) -> Has:
    """Return what an operation has."""
    found: Has = {}
    for node in [*item.get("parameters", []), *operation.get("parameters", [])]:
        one = document.resolved(node) or {}
        if one.get("in") != "path":
            found[f"parameter {one.get('name')}"] = "required" if one.get("required") else "optional"
    for media in ((document.resolved(operation.get("requestBody")) or {}).get("content") or {}).values():
        found |= {f"body key {key}": kind(inner) for key, inner, _ in document.keys(media.get("schema"))}
    for status, response in (operation.get("responses") or {}).items():
        found[f"answer {status}"] = "declared"
        for media in ((document.resolved(response) or {}).get("content") or {}).values():
            if str(status).startswith("2"):
                keys = document.keys(media.get("schema"))
                found |= {f"answer {status} key {key}": kind(inner) for key, inner, _ in keys}
    return found


def operations(document: Document) -> dict[tuple[str, str], tuple[str, Has]]:
    """Return the name of each operation and what it has, by method and shape of path."""
    found: dict[tuple[str, str], tuple[str, Has]] = {}
    for path, method, operation in document.operations():
        has = described(document, document.data["paths"][path], operation)
        name, before = found.get((method.upper(), shape(path)), (operation.get("operationId", path), {}))
        found[method.upper(), shape(path)] = (name, {**before, **has})
    return found


def differences(vendor: Document, ours: Document) -> Iterator[str]:
    """Yield each difference as a sentence."""
    here = operations(ours)
    for (method, path), (name, theirs) in operations(vendor).items():
        if (method, path) not in here:
            yield f"{method} {path}: the vendor has it ({name}), this document does not"
            continue
        own, has = here[(method, path)]
        for what in sorted(theirs.keys() - has.keys()):
            yield f"{own}: {what} is only in the vendor's ({theirs[what]})"
        silent = "" if any(what.startswith("answer") for what in theirs) else ", as the vendor declares no answer"
        for what in sorted(has.keys() - theirs.keys()):
            yield f"{own}: {what} is only here{silent if what.startswith('answer') else ''}"
        for what in sorted(has.keys() & theirs.keys()):
            if has[what] != theirs[what]:
                yield f"{own}: {what} is {theirs[what]} in the vendor's, {has[what]} here"


def main() -> int:
    """Print the differences of each file."""
    names = [name for name in sys.argv[1:] if name]
    if not names:
        stop("Name the vendor's export: make upstream-diff UPSTREAM=vendor.json")
    ours = parsed(text_of("openapi.yaml"), "openapi.yaml")
    count = 0
    for name in names:
        vendor = parsed(text_of(name), name)
        try:
            found = list(differences(vendor, ours))
        except (AttributeError, KeyError, TypeError) as error:
            stop(f"{name} is not an OpenAPI document: {error}")
        new = [text for text in found if not any(re.search(pattern, text) for pattern in KNOWN)]
        print("\n".join(new) or f"{name}: nothing differs.")
        for pattern, reason in KNOWN.items():
            if known := sum(bool(re.search(pattern, text)) for text in found):
                print(f"({known} left out: {reason})")
        count += len(new)
    return 1 if count else 0


if __name__ == "__main__":
    raise SystemExit(main())
