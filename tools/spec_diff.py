"""Say what changed between two versions of openapi.yaml, for whom it breaks, and which version it needs.

spec_diff.py [--old REF_OR_FILE] [--new FILE] [--changelog FILE] [--json]

Redocly compares. Three rules are added: an answer's key that becomes required (`newly_required`), a body's key that is
removed, and an operation that is removed without notice (`removed_undeprecated`). What only people read (examples,
contacts) is not a new feature. Exits with 1 if `info.version` is too low for the changes, with 2 if the documents
cannot be compared.
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
from typing import Any, NamedTuple

from document import METHODS, Document, parsed, stop, text_of

LEVELS = ("none", "patch", "minor", "major")
READ_BY_PEOPLE = {"Contact", "Example", "ExamplesMap", "ExternalDocs", "Info", "License", "NamedExamples", "Tag"}
"""Types of nodes that only people read: Redocly counts an addition to them as a new feature."""


class Change(NamedTuple):
    """One difference: where, how much, for whom ("callers" send requests, "readers" read answers), in one sentence.

    `line` is a line of the new document; if something was removed, the line of what it was in.
    """

    where: str
    level: str
    whom: str
    text: str
    line: int


def git(*words: str) -> str | None:
    """Return what git prints, without its newline; None if it fails."""
    done = subprocess.run(["git", *words], check=False, capture_output=True, text=True)
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def last_release() -> str | None:
    """Return the tag of the last release of the contract that this commit contains."""
    return git("describe", "--tags", "--abbrev=0", "--match", "contract-v*", "HEAD")


def base(old: str) -> tuple[str, Document]:
    """Return the name and the document to compare with: a file, tag or commit; the last release if `old` is empty."""
    if Path(old).is_file():
        return old, parsed(text_of(old), old)
    name = old or last_release() or git("log", "-1", "--format=%h", "-G", r"^  version: ", "--", "openapi.yaml")
    if name and name != old and git("rev-parse", "--is-shallow-repository") == "true":
        print("This clone is shallow and may lack the last release: git fetch --unshallow --tags", file=sys.stderr)
    if not name:
        stop("There is no release and no commit that sets info.version. Name what to compare with: OLD=FILE")
    text = git("show", f"{name}:openapi.yaml")
    if text is None:
        stop(f"OLD={name} is neither a file nor a commit that has an openapi.yaml.")
    return name, parsed(text + "\n", f"openapi.yaml of {name}")


def version_of(document: Document) -> str:
    """Return `info.version`. Exits with 2 if it is not three numbers."""
    version = str(document.data["info"].get("version"))
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        stop(f"info.version is {version}: it has to be three numbers, as in 2.1.0.")
    return version


def numbers(version: str) -> list[int]:
    """Return the three numbers of a version."""
    return [int(number) for number in version.split(".")]


def name_of(path: str, method: str, operation: dict[str, Any]) -> str:
    """Return the operationId, or method and path if there is none."""
    return str(operation.get("operationId", f"{method.upper()} {path}"))


def response_keys(document: Document) -> Iterator[tuple[str, int, str, bool]]:
    """Yield each key of each JSON answer: its operation and status, their line, its path, whether it is required."""
    for place, method, operation in document.operations():
        for status, response in operation.get("responses", {}).items():
            where = f"{name_of(place, method, operation)} {status}"
            line = document.line("paths", place, method, "responses", status)
            for media in (document.resolved(response) or {}).get("content", {}).values():
                for path, _, required in document.keys(media.get("schema")):
                    yield where, line, path, required


def newly_required(old: Document, new: Document) -> Iterator[Change]:
    """Yield each key of an answer that becomes required: the new client fails on an older server.

    A key of an object that is new itself is left out: the object is named, if it is required.
    """
    before = {(where, path): required for where, _, path, required in response_keys(old)}
    answers = {where for where, _ in before}
    for where, line, path in dict.fromkeys(found[:3] for found in response_keys(new) if found[3]):
        parent = path.rpartition(".")[0].removesuffix("[]")
        if where in answers and not before.get((where, path)) and (not parent or (where, parent) in before):
            text = f"`{path}` of the answer is now required: the new client fails on a server that does not send it."
            yield Change(where, "major", "readers", text, line)


def removed_undeprecated(old: Document, new: Document) -> Iterator[Change]:
    """Yield each operation that is removed although no release marked it `deprecated: true`."""
    kept = {(method, path) for path, method, _ in new.operations()}
    names = {operation.get("operationId") for _, _, operation in new.operations()}
    for path, method, operation in old.operations():
        name = name_of(path, method, operation)
        if (method, path) not in kept and name not in names and operation.get("deprecated") is not True:
            text = "removed without notice: mark it `deprecated: true` for a release, and remove it in the next."
            yield Change(name, "major", "callers", text, new.line("paths", path, method))


def steps_of(pointer: str) -> list[str]:
    """Return the keys of a JSON pointer."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("#/").split("/")]


def operation_at(document: Document, pointer: str) -> str:
    """Return the operation or the component that a JSON pointer leads into."""
    steps = steps_of(pointer)
    if steps[0] == "paths" and len(steps) > 1:
        item = document.data["paths"].get(steps[1], {})
        if len(steps) > 2 and isinstance(item.get(steps[2]), dict):
            return name_of(steps[1], steps[2], item[steps[2]])
        return ", ".join(item[method].get("operationId", method) for method in METHODS if method in item) or steps[1]
    return " ".join(steps[1:3]) if steps[0] == "components" else steps[0]


def change_of(found: dict[str, Any], old: Document, new: Document) -> Change:
    """Return one change of Redocly's report."""
    level = "patch" if found["typeName"] in READ_BY_PEOPLE and found["impact"] == "minor" else found["impact"]
    if found["kind"] == "removed" and re.search(r"/requestBody/.*/properties/[^/]+$", found["path"]):
        level = "major"  # the server may ignore the key, but the generated model loses it
    pointer = re.sub(r" · .*", "", found["path"])
    where = operation_at(old if found["kind"] == "removed" else new, pointer)
    sentences = [verdict["message"] for verdict in found["verdicts"]]
    tail = found["path"].rpartition("/paths/")[2].partition("/")[2] or pointer.removeprefix("#/paths/")
    text = " ".join(sentences) or f"{tail.replace('~1', '/')} {found['kind']}."
    whom = "readers" if "/responses/" in found["path"] or "components/headers" in found["path"] else "callers"
    steps = steps_of((found.get("revision") or found["base"])["pointer"])
    line = new.line(*(int(step) if step.isdigit() else step for step in steps))
    return Change(where, level, whom, text, line)


def compare(old: Document, new: Document) -> list[Change]:
    """Return every change from one document to the other, the most serious first."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/old.json", f"{folder}/new.json"]
        for path, document in zip(paths, (old, new), strict=True):
            # As JSON, since Redocly does not follow a YAML alias.
            Path(path).write_text(json.dumps(document.data), encoding="utf-8")
        report = Path(folder, "report.json")
        command = ["redocly", "diff", *paths, "--format", "json", "--fail-on", "none", "--output", str(report)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if not report.exists():
            stop(f"The documents cannot be compared:\n{done.stderr or done.stdout}")
        found = json.loads(report.read_text(encoding="utf-8"))
    changes = [change_of(item, old, new) for item in found["changes"] if not item["path"].endswith("info · version")]
    changes += newly_required(old, new)
    changes += removed_undeprecated(old, new)
    return sorted(dict.fromkeys(changes), key=lambda change: -LEVELS.index(change.level))


def bumped(version: str, level: str) -> str:
    """Return the lowest version that allows changes of a level.

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


def lines(changes: list[Change]) -> Iterator[str]:
    """Yield the changes that a program can notice, by who notices them, and the number of the others."""
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
    """Put an entry for a version on top, unless there is one: people may have edited it."""
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
    """Print the changes, and judge the version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", default="", help="a file, tag or commit; default: the last release")
    parser.add_argument("--new", default="openapi.yaml")
    parser.add_argument("--changelog", type=Path, help="write the entry of this version into a file")
    parser.add_argument("--json", action="store_true", help="print the changes as JSON and judge nothing")
    given = parser.parse_args()
    name, old = base(given.old)
    new = parsed(text_of(given.new), given.new)
    before, after = version_of(old), version_of(new)
    changes = compare(old, new)
    level = changes[0].level if changes else "none"
    if given.json:
        print(json.dumps({"old": before, "new": after, "level": level, "changes": [c._asdict() for c in changes]}))
        return 0
    if given.changelog:
        write_changelog(given.changelog, after, changes)
        return 0
    print(f"{given.new} {after}, compared with {name} ({before})\n")
    print("\n".join(lines(changes)) or "Nothing changed.\n")
    required = bumped(before, level)
    if numbers(after) >= numbers(required):
        print(f"info.version {after} is high enough: these changes need {required}.")
        return 0
    if level == "patch" and not given.old and last_release() is None:
        print(f"Nothing is released yet, and only wording changed: info.version may stay {after}.")
        return 0
    print(f"info.version is {after}, but these changes need {required}: set it in {given.new}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
