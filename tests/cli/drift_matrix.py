"""The ways in which a server's answers can differ from the document, and the result of an upload for each."""

import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import attrs
import yaml
from cli_machine import Machine
from drifting_proxy import Drift, DriftingProxy, Reply, in_json

from cavatica_mock import MockServer

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text())
PROJECT = "mlin/rna-pilot"
OPERATIONS = (
    "startUpload",
    "getPartUrl",
    "reportUploadedParts",
    "completeUpload",
    "getUpload",
    "listUploads",
    "listFiles",
    "createFolder",
    "editFiles",
)
"""What uploads call; the others are read by the tests of the API's methods."""
NEEDED = {
    "startUpload": {"upload_id", "part_size"},
    "getPartUrl": {"url"},
    "listUploads": {"items", "items.[].upload_id", "items.[].name"},
    "listFiles": {"items", "items.[].id", "items.[].name"},
}
"""What cannot be done without: an upload may fail there, but says so rightly. Everything else has to end well."""
NO_OBJECT = ("204", "empty", "not JSON", "null", "list")
"""Answers without any key."""
OTHERS: dict[str, Any] = {"string": {"x": 1}, "integer": "much", "boolean": "maybe", "object": "text", "array": 7}


@attrs.frozen
class Cell:
    """One difference: the operation, the path to the value ("" for the whole answer), and the changed value."""

    operation: str
    key: str
    kind: str
    change: Callable[[Reply], None] = attrs.field(eq=False, repr=False)

    @property
    def name(self) -> str:
        """The cell in one word."""
        return f"{self.operation}-{self.key or 'answer'}-{self.kind}"

    @property
    def may_fail(self) -> bool:
        """Whether an upload needs what is different."""
        if not self.key:
            return self.kind in NO_OBJECT and self.operation in NEEDED
        return self.kind in ("absent", "null", "type", "zero", "negative", "huge") and self.key in NEEDED.get(
            self.operation, ()
        )


def cells() -> Iterator[Cell]:
    """Yield all differences in the answers to the calls of an upload."""
    for operation in OPERATIONS:
        _method, _path, definition = found(operation)
        success = next(answer for status, answer in definition["responses"].items() if str(status).startswith("2"))
        yield from whole_answers(operation)
        schema = success.get("content", {}).get("application/json", {}).get("schema")
        if schema is not None:
            yield Cell(operation, "", "new key", in_json(lambda value: {**value, "zz_new": {"a": [1]}}))
            for key, shape in keys(schema):
                yield from key_changes(operation, key, shape)


def whole_answers(operation: str) -> Iterator[Cell]:
    """Yield the differences of an answer as a whole."""
    for status in (200, 201, 202, 204, 206):
        yield Cell(operation, "", str(status), partial(set_status, status=status))
    for kind in ("text/plain", "text/html; charset=utf-8", "application/vnd.api+json"):
        yield Cell(operation, "", kind, partial(set_type, kind=kind))
    yield Cell(operation, "", "empty", partial(set_body, body=b""))
    yield Cell(operation, "", "not JSON", partial(set_body, body=b"done"))
    yield Cell(operation, "", "null", partial(set_body, body=b"null"))
    yield Cell(operation, "", "list", partial(set_body, body=b"[]"))
    yield Cell(operation, "", "byte order mark", mark_bytes)


def key_changes(operation: str, key: str, shape: dict[str, Any]) -> Iterator[Cell]:
    """Yield the differences of one key."""
    path = key.split(".")
    kind = shape.get("type")
    kind = next(one for one in kind if one != "null") if isinstance(kind, list) else kind
    yield Cell(operation, key, "absent", in_json(partial(drop, path=path)))
    yield Cell(operation, key, "null", in_json(partial(replace, path=path, new=always(None))))
    if kind in OTHERS:
        yield Cell(operation, key, "type", in_json(partial(replace, path=path, new=always(OTHERS[kind]))))
    if kind in ("integer", "boolean"):
        yield Cell(operation, key, "as text", in_json(partial(replace, path=path, new=lambda old: str(old).lower())))
    if kind == "integer":
        for word, number in (("zero", 0), ("negative", -5), ("huge", 10**30)):
            yield Cell(operation, key, word, in_json(partial(replace, path=path, new=always(number))))
    if shape.get("format") == "date-time":
        yield Cell(operation, key, "no zone", in_json(partial(replace, path=path, new=lambda old: old.rstrip("Z"))))
        yield Cell(operation, key, "mail date", in_json(partial(replace, path=path, new=mail_date)))
        yield Cell(operation, key, "milliseconds", in_json(partial(replace, path=path, new=milliseconds)))


def keys(schema: dict[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and the schema of every key of an answer."""
    schema = resolved(schema)
    if "items" in schema:
        yield from keys(schema["items"], f"{prefix}[].", depth)
    for name, inner in schema.get("properties", {}).items():
        shape = resolved(inner)
        yield f"{prefix}{name}", shape
        if depth < 3:
            yield from keys(shape, f"{prefix}{name}.", depth + 1)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, or the schema that it refers to."""
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def found(operation: str) -> tuple[str, str, dict[str, Any]]:
    """Return the method, the path and the definition of an operation."""
    for path, item in DOCUMENT["paths"].items():
        for method, definition in item.items():
            if isinstance(definition, dict) and definition.get("operationId") == operation:
                return method.upper(), path, definition
    raise KeyError(operation)


def the(operation: str, change: Callable[[Reply], None] = lambda _: None) -> Drift:
    """Return what to do with the answers to an operation."""
    method, path, _ = found(operation)
    return Drift(method, path, change)


def set_status(reply: Reply, status: int) -> None:
    """Answer with another status."""
    reply.status = status


def set_type(reply: Reply, kind: str) -> None:
    """Answer with another content type."""
    reply.headers["Content-Type"] = kind


def set_body(reply: Reply, body: bytes) -> None:
    """Answer with another body."""
    reply.body = body


def mark_bytes(reply: Reply) -> None:
    """Answer with a byte order mark before the JSON."""
    reply.body = b"\xef\xbb\xbf" + reply.body if reply.body else reply.body


def drop(value: Any, path: list[str]) -> Any:
    """Return JSON without a key."""
    if path[0] == "[]":
        return [drop(item, path[1:]) for item in value] if isinstance(value, list) else value
    if isinstance(value, dict) and path[0] in value:
        if len(path) == 1:
            return {key: inner for key, inner in value.items() if key != path[0]}
        return {**value, path[0]: drop(value[path[0]], path[1:])}
    return value


def replace(value: Any, path: list[str], new: Callable[[Any], Any]) -> Any:
    """Return JSON with another value behind a key."""
    if not path:
        return new(value)
    if path[0] == "[]":
        return [replace(item, path[1:], new) for item in value] if isinstance(value, list) else value
    if isinstance(value, dict) and path[0] in value:
        return {**value, path[0]: replace(value[path[0]], path[1:], new)}
    return value


def always(value: Any) -> Callable[[Any], Any]:
    """Return a function that returns the same answer for everything."""
    return lambda _: value


def mail_date(text: str) -> str:
    """Return a time as HTTP writes it."""
    return format_datetime(datetime.fromisoformat(text), usegmt=True)


def milliseconds(text: str) -> int:
    """Return a time as milliseconds since 1970."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@attrs.frozen
class Verdict:
    """The result of the upload: whether the file is on the server, what was said, and what the server did."""

    name: str
    may_fail: bool
    landed: bool
    code: int
    notices: tuple[str, ...]
    hits: int
    changed: int
    err: str

    @property
    def right(self) -> bool:
        """Whether the command told the truth, and nothing failed without need."""
        return (self.code == 0) == self.landed and (self.landed or self.may_fail)


class Stage:
    """A mock, a drifting proxy before it, and a user."""

    def __init__(self, mock: MockServer, proxy: DriftingProxy) -> None:
        self.mock = mock
        self.proxy = proxy

    def play(self, cell: Cell, folder: Path) -> Verdict:
        """Upload a file while the server differs, and return the verdict."""
        self.mock.reset()
        self.proxy.drift, self.proxy.hits, self.proxy.changed = None, 0, 0
        machine = Machine(self.mock, folder)
        env = {"SB_API_ENDPOINT": self.proxy.base_url}
        path = folder / "sample.bam"
        size = 40 if cell.operation == "reportUploadedParts" else 3
        words = ["upload", path.name, "--json", "--project", PROJECT]
        if cell.operation in ("createFolder", "listFiles"):
            words[-1] += "/run-7"
        if cell.operation == "listFiles":
            path.write_bytes(b"other")
            assert machine.call(*words, env=env).code == 0
            words += ["--if-exists", "rename"]
        path.write_bytes(bytes(range(65, 65 + size)))
        words += ["--metadata", "sample_id=s1", "--tag", "pilot"]
        self.set_the_scene(cell, machine, words, env)
        self.proxy.drift = the(cell.operation, cell.change)
        ended = machine.call(*words, env=env)
        hits, self.proxy.drift = self.proxy.hits, None
        notices = tuple(f"{one['operation']}:{one['key']}" for one in ended.events if one.get("event") == "drift")
        return Verdict(
            cell.name,
            cell.may_fail,
            self.landed(path),
            ended.code,
            notices,
            hits,
            self.proxy.changed,
            ended.err + ended.out,
        )

    def set_the_scene(self, cell: Cell, machine: Machine, words: list[str], env: dict[str, str]) -> None:
        """Make the upload call the operation."""
        if cell.operation == "getUpload":
            self.proxy.refused = the("completeUpload")
            assert machine.call(*words, env=env).code != 0
        elif cell.operation == "listUploads":
            self.proxy.lost = the("startUpload")

    def landed(self, path: Path) -> bool:
        """Whether the file is on the server, whole, once, and with its metadata."""
        content = path.read_bytes()
        files = [
            file
            for file in self.mock.files()
            if file.get("type") == "file" and self.mock.file_bytes(file["id"]) == content
        ]
        return len(files) == 1 and files[0].get("metadata") == {"sample_id": "s1"} and files[0].get("tags") == ["pilot"]


def end(*_: object) -> None:
    """Handle a signal: end the workers, which may be in a command that handles it in its own way, and this process."""
    for worker in active_children():
        worker.kill()
    sys.exit(130)


def play_all(folder: str, names: list[str]) -> list[Verdict]:
    """Play cells in a process of its own, whose temporary files are in a folder."""
    tempfile.tempdir = folder
    wanted = [cell for cell in cells() if cell.name in set(names)]
    verdicts = []
    with MockServer(part_size=1) as mock, DriftingProxy(mock.base_url) as proxy:
        stage = Stage(mock, proxy)
        for cell in wanted:
            with tempfile.TemporaryDirectory() as own:
                verdicts.append(stage.play(cell, Path(own)))
    return verdicts


def main() -> int:
    """Play the whole matrix on all processors, and print the results."""
    names = [cell.name for cell in cells()]
    shares = [names[start :: 4 * (os.cpu_count() or 1)] for start in range(4 * (os.cpu_count() or 1))]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool() as pool:
        played = pool.imap_unordered(partial(play_all, folder), shares)
        verdicts = [verdict for share in played for verdict in share]
    wrong = [verdict for verdict in verdicts if not verdict.right]
    for verdict in sorted(wrong, key=lambda one: one.name):
        said = "said to have landed" if verdict.code == 0 else f"said to have failed ({verdict.code})"
        print(f"{verdict.name}: {'landed' if verdict.landed else 'not landed'}, {said}")
        if os.environ.get("DRIFT_VERBOSE"):
            print("   ", verdict.err.strip().splitlines()[-1:])
    counts = Counter(
        f"{'landed' if one.landed else 'not landed'}, told {'so' if (one.code == 0) == one.landed else 'otherwise'}"
        for one in verdicts
    )
    print(f"{len(verdicts)} differences, {len(wrong)} of them wrong: {dict(sorted(counts.items()))}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
