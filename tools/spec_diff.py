"""Say what changed between two versions of openapi.yaml, for whom it breaks, and which version it has to be.

spec_diff.py [--old REF_OR_FILE] [--new FILE] [--changelog FILE] [--json]

Redocly compares. Added are what its verdict lacks: an answer's key that becomes required (`newly_required`), a body's
key that is removed, and an operation that is removed without having been deprecated (`removed_undeprecated`).
What only people read (examples, contacts) is no new feature here. Exits with 1 if `info.version` says less than the
change, with 2 if the documents cannot be compared.
"""

import argparse
import datetime as dt
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml
from house_rules import Document

LEVELS = ("none", "patch", "minor", "major")
READ_BY_PEOPLE = {"Contact", "Example", "ExamplesMap", "ExternalDocs", "Info", "License", "NamedExamples", "Tag"}
"""What is only read by people: Redocly counts an addition to it as a new feature."""
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Change(NamedTuple):
    """One difference: where, how much, for whom ("callers" send requests, "readers" read answers), in one sentence.

    `line` is that of the new document; where something was removed, that of what it was in.
    """

    where: str
    level: str
    whom: str
    text: str
    line: int = 0


def stop(sentence: str) -> NoReturn:
    """End with the exit code for documents that cannot be compared."""
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


def git(*words: str) -> str | None:
    """Return what git prints, without its newline; None if it fails."""
    done = subprocess.run(["git", *words], check=False, capture_output=True, text=True)
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def last_release() -> str | None:
    """Return the tag of the last release of the contract that this commit contains."""
    return git("describe", "--tags", "--abbrev=0", "--match", "contract-v*", "HEAD")


def base(old: str | None) -> tuple[str, str]:
    """Return the name and the text of the document to compare with."""
    if old and Path(old).is_file():
        return old, Path(old).read_text(encoding="utf-8")
    name = old or last_release()
    if name is None:
        name = git("log", "-1", "--format=%h", "-G", r"^  version: ", "--", "openapi.yaml")
        if not name:
            stop("There is no release and no commit that sets info.version. Name what to compare with: OLD=FILE")
    text = git("show", f"{name}:openapi.yaml")
    if text is None:
        stop(f"OLD={name} is neither a file nor a commit that has an openapi.yaml.")
    return name, text + "\n"


def response_keys(document: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Each key of each JSON answer: its operation and status, its path, and whether it is required."""

    def resolved(node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            _, kind, name = node["$ref"].removeprefix("#/").split("/")
            node = document["components"][kind][name]
        return node

    def walk(schema: Any, path: str, within: tuple[int, ...]) -> Iterator[tuple[str, bool]]:
        schema = resolved(schema)
        if not isinstance(schema, dict) or id(schema) in within:
            return
        within = (*within, id(schema))
        for key, inner in schema.get("properties", {}).items():
            yield f"{path}.{key}".lstrip("."), key in schema.get("required", ())
            yield from walk(inner, f"{path}.{key}", within)
        yield from walk(schema.get("items"), f"{path}[]", within)
        for choice in ("allOf", "anyOf", "oneOf"):
            for inner in schema.get(choice, ()):
                yield from walk(inner, path, within)

    for item in document.get("paths", {}).values():
        for method in METHODS:
            for status, response in item.get(method, {}).get("responses", {}).items():
                for media in resolved(response).get("content", {}).values():
                    for path, required in walk(media.get("schema"), "", ()):
                        yield f"{item[method].get('operationId', method)} {status}", path, required


def newly_required(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    """The rule that Redocly lacks: an answer's key that becomes required breaks the new client on an older server.

    A key of an object that is new itself is not told: the object is, if it is required.
    """
    before = {(where, path): required for where, path, required in response_keys(old)}
    answers = {where for where, _ in before}
    for where, path in dict.fromkeys((where, path) for where, path, required in response_keys(new) if required):
        parent = path.rpartition(".")[0].removesuffix("[]")
        if where in answers and not before.get((where, path)) and (not parent or (where, parent) in before):
            text = (
                f"`{path}` of the answer is now required: the new client fails on a server that does not send it yet."
            )
            yield Change(where, "major", "readers", text)


def removed_undeprecated(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    """Our promise: an operation goes away only after a release that marked it `deprecated: true`."""

    def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
        paths = document.get("paths", {}).items()
        return {(method, path): item[method] for path, item in paths for method in METHODS if method in item}

    after = operations(new)
    names = {operation.get("operationId") for operation in after.values()}
    for (method, path), operation in operations(old).items():
        name = operation.get("operationId", f"{method.upper()} {path}")
        if (method, path) not in after and name not in names and operation.get("deprecated") is not True:
            text = "removed without notice: mark it `deprecated: true` for a release, and remove it in the next."
            yield Change(name, "major", "callers", text)


def operation_at(document: dict[str, Any], pointer: str) -> str:
    """Return the operation or the component that a JSON pointer leads into."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("#/").split("/")]
    if steps[0] == "paths" and len(steps) > 1:
        item = document.get("paths", {}).get(steps[1], {})
        if len(steps) > 2 and isinstance(item.get(steps[2]), dict):
            return str(item[steps[2]].get("operationId", f"{steps[2].upper()} {steps[1]}"))
        return ", ".join(item[method].get("operationId", method) for method in METHODS if method in item) or steps[1]
    return " ".join(steps[1:3]) if steps[0] == "components" else steps[0]


def change_of(found: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> Change:
    """Return one change of Redocly's report in our words."""
    level = "patch" if found["typeName"] in READ_BY_PEOPLE and found["impact"] == "minor" else found["impact"]
    if found["kind"] == "removed" and re.search(r"/requestBody/.*/properties/[^/]+$", found["path"]):
        level = "major"  # the server may ignore the key, but the generated model loses it
    pointer = re.sub(r" · .*", "", found["path"])
    where = operation_at(old if found["kind"] == "removed" else new, pointer)
    sentences = [verdict["message"] for verdict in found["verdicts"]]
    tail = found["path"].rpartition("/paths/")[2].partition("/")[2] or pointer.removeprefix("#/paths/")
    text = " ".join(sentences) or f"{tail.replace('~1', '/')} {found['kind']}."
    whom = "readers" if "/responses/" in found["path"] or "components/headers" in found["path"] else "callers"
    return Change(where, level, whom, text)


def located(change: Change, pointer: str, document: Document) -> Change:
    """Return the change with the line that a JSON pointer leads to."""
    names = (step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("#/").split("/"))
    return change._replace(line=document.line(*(int(step) if step.isdigit() else step for step in names)))


def loaded(text: str, name: str) -> dict[str, Any]:
    """Return a document, parsed."""
    try:
        document = yaml.safe_load(text)
        numbers(str(document["info"]["version"]))
    except (yaml.YAMLError, KeyError, TypeError) as error:
        stop(f"{name} is not an OpenAPI document in YAML or JSON: {error}")
    return dict(document)


def compare(old: dict[str, Any], new: dict[str, Any], text: str) -> list[Change]:
    """Return every change from one document to the other, whose text is given, the most serious first."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/old.json", f"{folder}/new.json"]
        for path, document in zip(paths, (old, new), strict=True):
            # As JSON, since Redocly does not see what a YAML alias stands for.
            Path(path).write_text(json.dumps(document), encoding="utf-8")
        report = Path(folder, "report.json")
        command = ["redocly", "diff", *paths, "--format", "json", "--fail-on", "none", "--output", str(report)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if not report.exists():
            stop(f"The documents cannot be compared:\n{done.stderr or done.stdout}")
        found = json.loads(report.read_text(encoding="utf-8"))
    lines_of = Document(text)
    changes = [
        located(change_of(item, old, new), (item.get("revision") or item["base"])["pointer"], lines_of)
        for item in found["changes"]
        if not item["path"].endswith("info · version")
    ]
    changes += newly_required(old, new)
    changes += removed_undeprecated(old, new)
    return sorted(dict.fromkeys(changes), key=lambda change: -LEVELS.index(change.level))


def needed(changes: list[Change]) -> str:
    """Return how much the version has to rise."""
    return changes[0].level if changes else "none"


def bumped(version: str, level: str) -> str:
    """Return the lowest version that says so much.

    >>> bumped("1.2.3", "minor")
    '1.3.0'
    """
    major, minor, patch = numbers(version)
    return {
        "none": version,
        "patch": f"{major}.{minor}.{patch + 1}",
        "minor": f"{major}.{minor + 1}.0",
        "major": f"{major + 1}.0.0",
    }[level]


def numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        stop(f"info.version is {version}: it has to be three numbers, as in 2.1.0.")
    return tuple(int(number) for number in version.split("."))


def lines(changes: list[Change]) -> Iterator[str]:
    """The changes that a program can notice, by who notices them; the others are counted."""
    breaking = [change for change in changes if change.level == "major"]
    for title, group in (
        ("Breaking for callers", [change for change in breaking if change.whom == "callers"]),
        ("Breaking for readers of answers", [change for change in breaking if change.whom == "readers"]),
        ("Compatible", [change for change in changes if change.level == "minor"]),
    ):
        if group:
            yield f"### {title}"
            yield ""
            yield from dict.fromkeys(f"- **{change.where}**: {change.text}" for change in group)
            yield ""
    if words := sum(change.level == "patch" for change in changes):
        yield f"{words} {'change' if words == 1 else 'changes'} of wording and examples."
        yield ""


def write_changelog(path: Path, version: str, changes: list[Change]) -> None:
    """Put an entry for a version on top, or leave the one that is there, which people may have edited."""
    text = path.read_text(encoding="utf-8") if path.exists() else "# Changes of the contract\n"
    if re.search(rf"^## {re.escape(version)}\b", text, flags=re.MULTILINE):
        print(f"{path} has an entry for {version} already: edit it by hand.")
        return
    entry = "\n".join([f"## {version} ({dt.datetime.now(dt.UTC):%Y-%m-%d})", "", *lines(changes)])
    head, mark, rest = text.partition("\n## ")
    path.write_text(
        f"{head.rstrip()}\n\n{entry.rstrip()}\n" + (f"\n{mark[1:]}{rest}" if mark else ""), encoding="utf-8"
    )
    print(f"{path} has an entry for {version}: edit it by hand, for readers.")


def main() -> int:
    """Compare, tell, and judge the version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", help="a file, tag or commit; default: the last release")
    parser.add_argument("--new", type=Path, default=Path("openapi.yaml"))
    parser.add_argument("--changelog", type=Path, help="write the entry of this version into a file")
    parser.add_argument("--json", action="store_true", help="print the changes as JSON and judge nothing")
    given = parser.parse_args()
    name, text = base(given.old or None)
    if not given.new.is_file():
        stop(f"{given.new} is no file.")
    old, new = loaded(text, name), loaded(given.new.read_text(encoding="utf-8"), str(given.new))
    changes = compare(old, new, given.new.read_text(encoding="utf-8"))
    before, after = str(old["info"]["version"]), str(new["info"]["version"])
    level = needed(changes)
    name = "the document before" if name.startswith(tempfile.gettempdir()) else name
    if given.json:
        print(json.dumps({"old": before, "new": after, "level": level, "changes": [c._asdict() for c in changes]}))
        return 0
    if given.changelog:
        write_changelog(given.changelog, after, changes)
        return 0
    print(f"openapi.yaml {after}, compared with {name} ({before})\n")
    print("\n".join(lines(changes)) or "Nothing changed.\n")
    required = bumped(before, level)
    if numbers(after) >= numbers(required):
        print(f"info.version {after} says enough: these changes need {required}.")
        return 0
    if level == "patch" and not given.old and last_release() is None:
        print(f"Nothing is released yet, and only wording changed: info.version may stay {after}.")
        return 0
    print(f"info.version is {after}, but these changes need {required}: set it in openapi.yaml.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
