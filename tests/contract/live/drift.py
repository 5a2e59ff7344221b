"""Where the answers of a server and openapi.yaml disagree, key by key."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from tests.contract import document, rules
from tests.contract.answer import Answer

# Not worth a line: the vendor's Python client reads it where it is there.
PASSED_OVER = frozenset({"x-request-id"})


@attrs.frozen
class Row:
    """One disagreement. Values are never shown, only their types: a report goes into an issue."""

    operation: str
    status: int
    where: str
    says: str
    seen: str
    breaks: bool


class Drift:
    """Collects disagreements from answers, whatever the requests were."""

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
                self._add(answer, rule.__name__.replace("_", " "), "as in the document", wrong, breaks=True)
        self._headers(answer)
        self._body(answer)

    def _add(self, answer: Answer, where: str, says: str, seen: str, *, breaks: bool) -> None:
        assert answer.operation is not None
        self._rows[Row(answer.operation.id, answer.status, where, says, seen, breaks)] += 1

    def _headers(self, answer: Answer) -> None:
        known = {"x-total-matching-query", *rules.RATE_HEADERS}
        for name in sorted(answer.headers.keys() - PASSED_OVER - known):
            if name.startswith("x-"):
                self._add(answer, f"header {name}", "not there", "there", breaks=False)

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
            path = ".".join("[]" if isinstance(step, int) else str(step) for step in error.instance_path) or "(body)"
            schema = "/".join(str(step) for step in list(error.schema_path)[-2:])
            self._add(answer, path, schema, kind_of(_at(body, error.instance_path)), breaks=True)
        for path, value, stated in _walk(body, declared.schema, ""):
            self._keys[answer.operation.id, answer.status][path] += 1
            if not stated:
                self._add(answer, path, "not there", kind_of(value), breaks=False)

    @property
    def broken(self) -> int:
        """How many different disagreements a client could feel."""
        return sum(row.breaks for row in self._rows)

    def never_seen(self) -> Iterator[tuple[str, int, str]]:
        """Keys that the document has and that no answer had."""
        for (operation_id, status), keys in sorted(self._keys.items()):
            declared = document.operations()[operation_id].declared[status]
            for path in _stated(declared.schema or {}, "", 0):
                parent = path.rpartition(".")[0]
                if path not in keys and (not parent or parent in keys):
                    yield operation_id, status, path

    def markdown(self, title: str) -> str:
        """A report to be pasted into an issue."""
        rows = sorted(self._rows.items(), key=lambda item: (not item[0].breaks, item[0].operation, item[0].status))
        lines = [f"# {title}", ""]
        lines += [
            f"{sum(self._answers.values())} answers were compared. {self.broken} disagreements break the document.",
            "",
        ]
        if rows:
            lines += [
                "| operation | status | where | the document | the server | times | |",
                "|---|---:|---|---|---|---:|---|",
            ]
        for row, times in rows:
            weight = "breaks" if row.breaks else "more than documented"
            cells = (row.operation, row.status, f"`{row.where}`", row.says, row.seen, times, weight)
            lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
        unseen = list(self.never_seen())
        if unseen:
            lines += ["", "Documented keys that no answer had:", ""]
            lines += [f"- {operation} {status}: `{path}`" for operation, status, path in unseen]
        return "\n".join(lines) + "\n"


def kind_of(value: object) -> str:
    """The JSON type of a value."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _at(body: Any, path: Any) -> object:
    for step in path:
        body = body[step]
    return body


def _properties(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The properties of an object's schema, and whether others may stand beside them by design."""
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
