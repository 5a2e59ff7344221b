"""The verdict of `make spec-diff` on single changes; it fails if an upgrade of Redocly changes one."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.toolbox.conftest import ROOT, Run

Spec = dict[str, Any]
BASE = """
openapi: 3.1.0
info: { title: Things, version: 1.2.3 }
servers: [{ url: 'https://example.invalid/v2' }]
security: [{ token: [] }]
tags: [{ name: things }]
paths:
  /things/{id}:
    parameters: [{ name: id, in: path, required: true, schema: { type: string } }]
    get:
      operationId: getThing
      summary: Get a thing
      tags: [things]
      parameters: [{ name: limit, in: query, schema: { type: integer, maximum: 100 } }]
      responses:
        '200':
          description: The thing.
          headers: { X-Left: { schema: { type: integer } } }
          content: { application/json: { schema: { $ref: '#/components/schemas/Thing' } } }
        '404': { description: No such thing. }
    put:
      operationId: putThing
      summary: Put a thing
      tags: [things]
      requestBody:
        required: true
        content: { application/json: { schema: { $ref: '#/components/schemas/NewThing' } } }
      responses: { '200': { description: It is put. } }
components:
  securitySchemes: { token: { type: apiKey, in: header, name: X-Token } }
  schemas:
    Thing:
      type: object
      required: [id]
      properties:
        id: { type: string }
        note: { type: string }
        state: { type: string, enum: [a, b] }
        parts: { type: array, items: { type: object, properties: { size: { type: integer } } } }
    NewThing:
      type: object
      required: [name]
      properties:
        name: { type: [string, 'null'] }
        kind: { type: string, enum: [a, b] }
        tags: { type: array, maxItems: 10, items: { type: string } }
"""


def get(spec: Spec) -> Spec:
    """The get operation."""
    return spec["paths"]["/things/{id}"]["get"]


def thing(spec: Spec) -> Spec:
    """The schema of the answer."""
    return spec["components"]["schemas"]["Thing"]


def sent(spec: Spec) -> Spec:
    """The schema of the body."""
    return spec["components"]["schemas"]["NewThing"]


def rename(node: Spec, old: str, new: str) -> None:
    """Rename a key in its place."""
    items = [(new if key == old else key, value) for key, value in node.items()]
    node.clear()
    node.update(items)


def rename_schema(spec: Spec) -> None:
    """Rename the schema of the answer and its reference."""
    rename(spec["components"]["schemas"], "Thing", "Item")
    get(spec)["responses"]["200"]["content"]["application/json"]["schema"]["$ref"] = "#/components/schemas/Item"


NEW = {
    "operationId": "dropThing",
    "summary": "Drop",
    "tags": ["things"],
    "responses": {"204": {"description": "Gone."}},
}
CHANGES: list[tuple[str, str, Callable[[Spec], object]]] = [
    ("major", "operation removed", lambda s: s["paths"]["/things/{id}"].pop("put")),
    ("major", "operationId renamed", lambda s: get(s).update(operationId="readThing")),
    ("major", "path renamed", lambda s: rename(s["paths"], "/things/{id}", "/items/{id}")),
    ("major", "required query parameter", lambda s: get(s)["parameters"].append(
        {"name": "q", "in": "query", "required": True, "schema": {"type": "string"}})),
    ("major", "query parameter removed", lambda s: get(s).pop("parameters")),
    ("major", "maximum lowered", lambda s: get(s)["parameters"][0]["schema"].update(maximum=50)),
    ("major", "body key becomes required", lambda s: sent(s)["required"].append("kind")),
    ("major", "body key removed", lambda s: sent(s)["properties"].pop("kind")),
    ("major", "body enum value removed", lambda s: sent(s)["properties"]["kind"].update(enum=["a"])),
    ("major", "body null refused", lambda s: sent(s)["properties"]["name"].update(type="string")),
    ("major", "body maxItems lowered", lambda s: sent(s)["properties"]["tags"].update(maxItems=5)),
    ("major", "token's header renamed", lambda s: s["components"]["securitySchemes"]["token"].update(name="X-Key")),
    ("major", "answer's key removed", lambda s: thing(s)["properties"].pop("note")),
    ("major", "answer's key no longer required", lambda s: thing(s).pop("required")),
    ("major", "answer's key of another type", lambda s: thing(s)["properties"]["note"].update(type="integer")),
    ("major", "answer's key becomes nullable", lambda s: thing(s)["properties"]["note"].update(
        type=["string", "null"])),
    ("major", "answer's enum value added", lambda s: thing(s)["properties"]["state"].update(enum=["a", "b", "c"])),
    ("major", "answer's header removed", lambda s: get(s)["responses"]["200"].pop("headers")),
    ("major", "200 becomes 201", lambda s: rename(get(s)["responses"], "200", "201")),
    ("major", "answer's key becomes required", lambda s: thing(s)["required"].append("note")),
    ("major", "nested answer's key becomes required",
        lambda s: thing(s)["properties"]["parts"]["items"].update(required=["size"])),
    ("major", "new required key in an answer", lambda s: (
        thing(s)["properties"].update(size={"type": "integer"}), thing(s)["required"].append("size"))),
    ("minor", "optional body key added", lambda s: sent(s)["properties"].update(size={"type": "integer"})),
    ("minor", "optional answer's key added", lambda s: thing(s)["properties"].update(size={"type": "integer"})),
    ("minor", "optional object with a required key in an answer", lambda s: thing(s)["properties"].update(
        origin={"type": "object", "required": ["task"], "properties": {"task": {"type": "string"}}})),
    ("minor", "operation added", lambda s: s["paths"]["/things/{id}"].update(delete=NEW)),
    ("minor", "optional query parameter added", lambda s: get(s)["parameters"].append(
        {"name": "q", "in": "query", "schema": {"type": "string"}})),
    ("minor", "error added", lambda s: get(s)["responses"].update({"409": {"description": "Taken."}})),
    ("patch", "maximum raised", lambda s: get(s)["parameters"][0]["schema"].update(maximum=500)),
    ("patch", "body enum value added", lambda s: sent(s)["properties"]["kind"].update(enum=["a", "b", "c"])),
    ("patch", "summary changed", lambda s: get(s).update(summary="Read a thing")),
    ("patch", "contact added", lambda s: s["info"].update(contact={"url": "https://example.invalid"})),
    ("patch", "schema renamed", rename_schema),
    ("none", "nothing", lambda s: None),
]  # fmt: skip


@pytest.fixture
def diff(run: Run, tmp_path: Path) -> Callable[..., Any]:
    """Compare two documents as `make spec-diff` does."""

    def compare(old: Spec, new: Spec, *options: str) -> Any:
        for name, spec in (("old", old), ("new", new)):
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
        script = ("python", ROOT / "tools" / "spec_diff.py", "--old", "old.yaml", "--new", "new.yaml")
        return run(*script, *options, cwd=tmp_path)

    return compare


@pytest.mark.parametrize(("level", "what", "change"), CHANGES, ids=[what for _, what, _ in CHANGES])
def test_one_change(diff, level, what, change):
    """Each change has its verdict, and a line of the new document."""
    old = yaml.safe_load(BASE)
    new = copy.deepcopy(old)
    change(new)
    done = diff(old, new, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["level"] == level, found["changes"]
    assert all(one["line"] for one in found["changes"]), found["changes"]


def test_the_table_is_large_enough():
    """There are at least 25 changes of all levels."""
    assert len(CHANGES) >= 25
    assert {level for level, _, _ in CHANGES} == {"major", "minor", "patch", "none"}


@pytest.mark.parametrize(
    ("version", "code"), [("1.2.3", 1), ("1.2.4", 1), ("1.3.0", 0), ("2.0.0", 0), ("1.2.2", 1), ("1.3", 2)]
)
def test_version_has_to_match_the_change(diff, version, code):
    """A version that is too low for the change is refused, with the version that is needed."""
    old = yaml.safe_load(BASE)
    new = copy.deepcopy(old)
    thing(new)["properties"]["size"] = {"type": "integer"}
    new["info"]["version"] = version
    done = diff(old, new)
    assert done.returncode == code, done.stdout
    assert "getThing" in done.stdout or code == 2
    assert "Traceback" not in done.stderr
    if code == 1:
        assert "1.3.0" in done.stderr


@pytest.mark.parametrize("deprecated", [True, False, None])
def test_an_operation_is_removed_with_notice(diff, deprecated):
    """A removed operation is reported unless a release marked it `deprecated: true`, or it was renamed or moved."""
    old = yaml.safe_load(BASE)
    if deprecated is not None:
        old["paths"]["/things/{id}"]["put"]["deprecated"] = deprecated
    new = copy.deepcopy(old)
    new["info"]["version"] = "2.0.0"
    rename(new["paths"], "/things/{id}", "/items/{thing_id}")
    assert "without notice" not in diff(old, new).stdout
    new["paths"]["/items/{thing_id}"].pop("put")
    done = diff(old, new)
    assert done.returncode == 0, done.stderr
    assert ("- **putThing**: removed without notice" in done.stdout) == (not deprecated)


def test_the_changelog_is_written_once(diff, tmp_path):
    """The entry names the version and what breaks; an edited entry is kept."""
    old = yaml.safe_load(BASE)
    new = copy.deepcopy(old)
    new["info"]["version"] = "2.0.0"
    new["paths"]["/things/{id}"].pop("put")
    log = tmp_path / "CHANGELOG-contract.md"
    log.write_text("# Changes of the contract\n\n## 1.2.3\n\nThe first.\n")
    assert diff(old, new, "--changelog", "CHANGELOG-contract.md").returncode == 0
    text = log.read_text()
    assert text.index("## 2.0.0") < text.index("Breaking for callers") < text.index("putThing") < text.index("## 1.2.3")
    log.write_text(text.replace("### Breaking for callers", "### Breaking: putThing is gone"))
    edited = log.read_text()
    assert diff(old, new, "--changelog", "CHANGELOG-contract.md").returncode == 0
    assert log.read_text() == edited


def test_a_shallow_clone_is_told(run, tmp_path):
    """Without OLD, a clone that lacks the history is told that it may lack the last release."""
    whole, shallow = tmp_path / "whole", tmp_path / "shallow"
    whole.mkdir()
    info = "info: { title: Things, version: 1.2.3 }"
    (whole / "openapi.yaml").write_text(BASE.replace(info, "info:\n  title: Things\n  version: 1.2.3"))
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "all")):
        assert run("git", *command, cwd=whole).returncode == 0
    assert run("git", "commit", "--quiet", "--allow-empty", "--message", "more", cwd=whole).returncode == 0
    assert run("git", "clone", "--quiet", "--depth=1", whole.as_uri(), shallow).returncode == 0
    done = run("python", ROOT / "tools" / "spec_diff.py", cwd=shallow)
    assert "may lack the last release" in done.stderr
    assert "may lack" not in run("python", ROOT / "tools" / "spec_diff.py", "--old", "HEAD", cwd=shallow).stderr
