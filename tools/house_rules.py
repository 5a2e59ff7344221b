"""Check openapi.yaml for our own conventions and for the traps of openapi-python-client: house_rules.py [FILE].

Prints one finding a line, as FILE:LINE: what is wrong, and what to do. Exits with 1 if there is one.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from document import Document, text_of

FREE = {"getRateLimit"}
"""Operations that the rate limit does not count."""
Broken = Iterator[tuple[tuple[str | int, ...], str]]
"""The keys from the operation to the place of a broken rule, and a sentence about it."""


class Finding(NamedTuple):
    """A broken rule, at a line of the document."""

    line: int
    text: str


def findings(text: str) -> list[Finding]:
    """Return every broken rule of a document, in the order of its lines."""
    document = Document(text)
    found: list[Finding] = []
    for path, method, operation in document.operations():
        name = operation.get("operationId", f"{method.upper()} {path}")
        found += [
            Finding(document.line("paths", path, method, *steps), f"{name}: {sentence}")
            for steps, sentence in (
                *described(operation, document),
                *authorized(operation),
                *answered(name, operation, document),
                *bodies(operation, document),
            )
        ]
    found += closed_answers(document)
    return sorted(found)


def described(operation: dict[str, Any], document: Document) -> Broken:
    """Check that an operation has an ID, a summary, a description, a declared tag and a page of the vendor."""
    if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", operation.get("operationId", "")):
        yield (("operationId",), "give it an operationId, a verb and a noun in camelCase, as in startUpload.")
    if not operation.get("summary") or operation["summary"].endswith("."):
        yield (("summary",), "give it a summary of a few words, without a full stop.")
    if not operation.get("description", "").strip():
        yield (("description",), "give it a description.")
    tags = {tag["name"] for tag in document.data.get("tags", ())}
    if not operation.get("tags") or not set(operation["tags"]) <= tags:
        yield (("tags",), f"give it one of the tags that the document declares: {', '.join(sorted(tags))}.")
    docs = operation.get("externalDocs", {})
    if not docs.get("url", "").startswith("https://docs.") or not docs.get("description"):
        yield (("externalDocs",), "add `externalDocs` with the url of the vendor's page and a description.")


def authorized(operation: dict[str, Any]) -> Broken:
    """Check that an operation requires the token itself, since the generator ignores the document's `security`."""
    if operation.get("security") != [{"authToken": []}]:
        yield (("security",), "add `security: [{authToken: []}]`: the generator ignores that of the document.")


def answered(name: str, operation: dict[str, Any], document: Document) -> Broken:
    """Check that an operation declares the errors of every call, by name, and the headers of the rate limit."""
    responses = operation.get("responses", {})
    expected = {"401", "403", "503"} | ({"429"} if name not in FREE else set())
    expected |= {"400", "415", "500"} if "requestBody" in operation else set()
    if missing := sorted(expected - set(responses)):
        yield (("responses",), f"declare the answers {', '.join(missing)}, which every such call can get.")
    for status, response in responses.items():
        where = ("responses", status)
        if not re.fullmatch(r"[1-5]\d\d", str(status)):
            yield (where, f"replace the answer {status} by statuses: it would hide undocumented ones.")
            continue
        if str(status) >= "400" and "$ref" not in response:
            yield (where, f"move the answer {status} to components/responses and refer to it.")
            continue
        target = document.resolved(response)
        if target is None:
            yield (where, f"{response['$ref']} leads nowhere.")
        elif str(status) != "401" and "X-RateLimit-Remaining" not in target.get("headers", {}):
            yield (where, f"declare the headers X-RateLimit-* of the answer {status}, as the other operations do.")


def bodies(operation: dict[str, Any], document: Document) -> Broken:
    """Check that the generator can send the body, and that it has examples."""
    body = document.resolved(operation.get("requestBody", {}))
    content = body.get("content", {}) if isinstance(body, dict) else {}
    if len(content) > 1 and not body.get("required"):
        yield (("requestBody",), "a body of several types has to be `required: true`: the module would not import.")
    for media in content:
        if media == "application/json" and not content[media].get("examples"):
            yield (("requestBody",), "give the body `examples`: mock servers and documentation pages show them.")


def closed_answers(document: Document) -> Iterator[Finding]:
    """Yield each `enum` in an answer: old clients raise if the server sends a new value."""
    seen: set[str] = set()

    def walk(node: Any, steps: tuple[str | int, ...]) -> Iterator[Finding]:
        while isinstance(node, dict) and "$ref" in node:
            if node["$ref"] in seen:
                return
            seen.add(node["$ref"])
            steps = tuple(node["$ref"].removeprefix("#/").split("/"))
            node = document.resolved({"$ref": node["$ref"]})
        if isinstance(node, list):
            for index, inner in enumerate(node):
                yield from walk(inner, (*steps, index))
        elif isinstance(node, dict):
            if isinstance(node.get("enum"), list):
                text = "an answer's `enum` breaks old clients if a value is added. Make it a string, with examples."
                yield Finding(document.line(*steps, "enum"), f"{'/'.join(map(str, steps))}: {text}")
            for key, inner in node.items():
                if key not in ("example", "examples", "links"):
                    yield from walk(inner, (*steps, key))

    for path, method, operation in document.operations():
        for status, response in operation.get("responses", {}).items():
            yield from walk(response, ("paths", path, method, "responses", status))


def main() -> int:
    """Print the findings."""
    name = sys.argv[1] if len(sys.argv) > 1 else "openapi.yaml"
    found = findings(text_of(name))
    for finding in found:
        print(f"{name}:{finding.line}: {finding.text}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
