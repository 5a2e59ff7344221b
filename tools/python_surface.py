"""Say what a change of the generated package breaks in programs that import it: python_surface.py [--old REF_OR_FILE].

griffe compares functions, parameters and models with those of OLD; mypy checks the program of a user against both. So a
change of the generator is noticed too. Exits with 1 if `info.version` is too low for the changes.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import griffe
from document import Document, parsed, text_of
from spec_diff import base, numbers, version_of

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path("tools/user_program.py")
BREAKING = {
    griffe.BreakageKind.CLASS_REMOVED_BASE,
    griffe.BreakageKind.OBJECT_CHANGED_KIND,
    griffe.BreakageKind.OBJECT_REMOVED,
    griffe.BreakageKind.PARAMETER_ADDED_REQUIRED,
    griffe.BreakageKind.PARAMETER_CHANGED_KIND,
    griffe.BreakageKind.PARAMETER_CHANGED_REQUIRED,
    griffe.BreakageKind.PARAMETER_MOVED,
    griffe.BreakageKind.PARAMETER_REMOVED,
}


def old_package(folder: Path, name: str, document: Document) -> str:
    """Put the generated package of OLD into a folder, as committed or made from its document.

    Returns the program of a user of it.
    """
    archive = subprocess.run(["git", "archive", name, "generated/cavatica_client"], check=False, capture_output=True)
    if archive.returncode == 0:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
    else:
        (folder / "old.yaml").write_text(json.dumps(document.data), encoding="utf-8")
        generate = [sys.executable, str(ROOT / "tools" / "generate.py"), str(folder / "old.yaml"), str(folder)]
        made = subprocess.run(generate, check=False, capture_output=True, text=True)
        if made.returncode:
            print(f"No client can be generated from OLD={name}:\n{made.stdout}{made.stderr}", file=sys.stderr)
            raise SystemExit(2)
    (folder / "generated" / "cavatica_client").rename(folder / "cavatica_client")
    program = subprocess.run(["git", "show", f"{name}:{PROGRAM}"], check=False, capture_output=True, text=True)
    return program.stdout if program.returncode == 0 else (ROOT / PROGRAM).read_text(encoding="utf-8")


def broken_symbols(old: Path, new: Path) -> list[str]:
    """Return a sentence for each public name that is gone or has to be called differently."""
    before, after = (griffe.load("cavatica_client", search_paths=[path], allow_inspection=False) for path in (old, new))
    found = []
    for breakage in griffe.find_breaking_changes(before, after):
        path = breakage.obj.path
        private = any(part.startswith("_") and not part.startswith("__") for part in path.split("."))
        if breakage.kind in BREAKING and not private:
            detail = str(breakage.as_dict().get("old_value") or "").partition("\n")[0]
            found.append(
                f"{path}: {breakage.kind.value.lower()}{f' ({detail})' if len(detail) < 60 and detail else ''}"
            )
    return sorted(set(found))


def type_errors(program: str, package: Path, folder: Path) -> list[str]:
    """Return the errors of mypy in the user's program with a package."""
    path = folder / "user_program.py"
    path.write_text(program, encoding="utf-8")
    command = ["mypy", "--strict", "--no-incremental", "--config-file", os.devnull, str(path)]
    env = {**os.environ, "MYPYPATH": str(package)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=folder)
    return [line.removeprefix(f"{folder}/") for line in done.stdout.splitlines() if ": error:" in line]


def main() -> int:
    """Print what breaks, and judge the version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", default="", help="a file, tag or commit; default: the last release")
    name, old = base(parser.parse_args().old)
    before, after = version_of(old), version_of(parsed(text_of(str(ROOT / "openapi.yaml")), "openapi.yaml"))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        program = old_package(folder, name, old)
        found = broken_symbols(folder, ROOT / "generated")
        if not type_errors(program, folder, folder):
            found += type_errors(program, ROOT / "generated", folder)
    print(f"The generated package, compared with {name} ({before})\n")
    print("\n".join(f"- {sentence}" for sentence in found) or "Nothing breaks for those who import it.")
    print()
    if found and numbers(after)[0] <= numbers(before)[0]:
        needed = f"{numbers(before)[0] + 1}.0.0"
        print(f"info.version is {after}, but this breaks importers and needs {needed}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
