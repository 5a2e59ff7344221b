"""The differences between the answers of a server and openapi.yaml, key by key."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from cavatica_upload.events import Drift as Notice
from tests.contract import document, rules
from tests.contract.answer import Answer
from tests.contract.options import UsageError

# Not reported: the vendor's Python client reads it if it is present.
IGNORED = frozenset({"x-request-id"})


Drifted = tuple[str, str, str]  # operation, key, what came instead: as in the uploader's notices


@attrs.frozen
class Row:
    """One difference. It shows types instead of values, because reports go into issues."""

    operation: str
    status: int
    key: str
    came: str
    breaks: bool

    @property
    def drift(self) -> Drifted:
        return self.operation, self.key, self.came


class Drift:
    """Collects differences from answers to any requests."""

    def __init__(self) -> None:
        self._rows: Counter[Row] = Counter()
        self._keys: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        self._answers: Counter[tuple[str, int]] = Counter()

    def observe(self, answer: Answer) -> None:
        operation = answer.operation
        if operation is None:
            return
        self._answers[operation.id, answer.status] += 1
        for rule in (rules.declared_status, rules.media_type, rules.rate_headers, rules.error_body):
            try:
                wrong = rule(answer)
            except ValueError:
                wrong = None
            if wrong is not None:
                key, came = _named(rule.__name__, wrong, answer)
                self._add(answer, key, came, breaks=True)
        self._headers(answer)
        self._body(answer)

    def _add(self, answer: Answer, key: str, came: str, *, breaks: bool) -> None:
        assert answer.operation is not None
        self._rows[Row(answer.operation.id, answer.status, key, came, breaks)] += 1

    def _headers(self, answer: Answer) -> None:
        known = {"x-total-matching-query", *rules.RATE_HEADERS}
        for name in sorted(answer.headers.keys() - IGNORED - known):
            if name.startswith("x-"):
                self._add(answer, f"the header {name}", "there", breaks=False)

    def _body(self, answer: Answer) -> None:
        assert answer.operation is not None
        declared = answer.operation.declared.get(answer.status)
        if declared is None or declared.schema is None:
            return
        try:
            body = json.loads(answer.body)
        except ValueError:
            return
        for error in document.validator(answer.operation.id, answer.status).iter_errors(body):
            for key, came in _differences(error, body):
                self._add(answer, key, came, breaks=True)
        for path, value, stated in _walk(body, declared.schema, ""):
            self._keys[answer.operation.id, answer.status][path] += 1
            if not stated:
                self._add(answer, path, kind_of(value), breaks=False)

    @property
    def broken(self) -> set[Drifted]:
        """The differences that can break a client, as in the uploader's notices."""
        return {row.drift for row in self._rows if row.breaks}

    def never_seen(self) -> Iterator[tuple[str, int, str]]:
        """Keys that the document has and no answer had."""
        for (operation_id, status), keys in sorted(self._keys.items()):
            declared = document.operations()[operation_id].declared[status]
            for path in _stated(declared.schema or {}, "", 0):
                parent = path.rpartition(".")[0]
                if path not in keys and (not parent or parent in keys):
                    yield operation_id, status, path

    def markdown(self, title: str, known: Collection[Drifted] = ()) -> str:
        """A report to paste into an issue. It lists drifts that are `known` separately."""
        new = sorted(self.broken.difference(known))
        more = sorted({row.drift for row in self._rows if not row.breaks})
        compared = sum(self._answers.values())
        lines = [
            f"# {title}",
            "",
            f"{compared} answers were compared. New differences that break the document: {len(new)}.",
        ]
        for heading, drifts in (
            ("New, and break the document:", new),
            ("Known, and break the document:", sorted(self.broken.intersection(known))),
            ("More than documented:", more),
        ):
            if drifts:
                lines += ["", heading, "", *(f"- {self._line(drift)}" for drift in drifts)]
        unseen = list(self.never_seen())
        if unseen:
            lines += ["", "Documented keys that no answer had:", ""]
            lines += [f"- {operation} {status}: `{path}`" for operation, status, path in unseen]
        return "\n".join(lines) + "\n"

    def _line(self, drift: Drifted) -> str:
        times = sum(count for row, count in self._rows.items() if row.drift == drift)
        statuses = sorted({str(row.status) for row in self._rows if row.drift == drift})
        return f"{Notice(*drift).text} (status {', '.join(statuses)}; {times} times)"


def read_baseline(path: Path, server: str) -> set[Drifted]:
    """The known drifts of a server; none if the file does not exist. Raises UsageError if it cannot be read."""
    try:
        known = json.loads(path.read_text())
        return {(each["operation"], each["key"], each["came"]) for each in known.get(server, ())}
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a baseline of drifts ({error!r}). Correct or delete it.") from None


def write_baseline(path: Path, server: str, drifts: Collection[Drifted]) -> None:
    """Write the drifts of a server; those of other servers in the file stay."""
    known = json.loads(path.read_text()) if path.exists() else {}
    known[server] = [dict(zip(("operation", "key", "came"), drift, strict=True)) for drift in sorted(drifts)]
    path.write_text(json.dumps(known, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def kind_of(value: object) -> str:
    """The type of a JSON value, in the words of the uploader's notices."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _named(rule: str, wrong: str, answer: Answer) -> tuple[str, str]:
    """The breach of a rule as a key and what came instead."""
    if rule == "declared_status":
        return "the status", str(answer.status)
    if rule == "media_type":
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and answer.body:
            return "the content type", kind or "missing"
        return "the body", "not JSON" if answer.body else "empty"
    return {"rate_headers": "the rate-limit headers", "error_body": "the error"}[rule], wrong


def _differences(error: Any, body: object) -> Iterator[tuple[str, str]]:
    """An error of the schema as keys and what came instead."""
    steps = ["[]" if isinstance(step, int) else f".{step}" for step in error.instance_path]
    key, value = "".join(steps).lstrip("."), _at(body, error.instance_path)
    rule = str(list(error.schema_path)[-1]) if error.schema_path else ""
    missing = re.fullmatch(r"\"(.+)\" is a required property", error.message)
    if missing:
        yield f"{key}.{missing[1]}".lstrip("."), "missing"
    elif rule == "type":
        yield key or "the body", kind_of(value)
    elif rule == "format":
        yield key or "the body", "not a date in ISO 8601" if "date" in error.message else "of another format"
    else:
        yield key or "the body", "another value"


def _at(body: Any, path: Any) -> object:
    for step in path:
        body = body[step]
    return body


def _properties(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The properties of an object's schema, and whether it permits others."""
    schema = document.resolve(dict(schema))
    found, open_ended = dict(schema.get("properties", {})), bool(schema.get("additionalProperties"))
    for part in schema.get("allOf", ()):
        more, also = _properties(part)
        found.update(more)
        open_ended = open_ended or also
    return found, open_ended


def _walk(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, bool]]:
    """Every key of a body: its path, its value, and whether the document has it."""
    schema = document.resolve(dict(schema))
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, schema.get("items", {}), f"{path}[]")
    elif isinstance(value, dict):
        properties, open_ended = _properties(schema)
        for key, item in value.items():
            name = f"{path}.{key}".lstrip(".")
            if key in properties:
                yield name, item, True
                yield from _walk(item, properties[key], name)
            elif not open_ended:
                yield name, item, False


def _stated(schema: Mapping[str, Any], path: str, depth: int) -> Iterator[str]:
    """Every key that a schema has, down to lists of objects."""
    schema = document.resolve(dict(schema))
    if depth > 6:
        return
    if "items" in schema:
        yield from _stated(schema["items"], f"{path}[]", depth + 1)
    properties, _ = _properties(schema)
    for key, inner in properties.items():
        name = f"{path}.{key}".lstrip(".")
        yield name
        yield from _stated(inner, name, depth + 1)
