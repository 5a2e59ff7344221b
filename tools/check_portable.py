"""Check that other tools can read openapi.yaml: check_portable.py [FILE].

TypeScript compiles its types, and openapi-generator makes clients in R and Java from it, if the machine has Java. Exits
with 1 if one of them has a finding.
"""

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
SETTINGS = {"compilerOptions": {"strict": True, "noEmit": True, "skipLibCheck": False, "target": "es2022", "types": []}}
KNOWN = (
    "OpenAPI 3.1 support is still in beta",  # of any document of this version
    "Failed to get the schema name: null",  # of an object of any keys: it is read as a map, which it is
    "Ignoring complex example on request body",  # of Java's documentation
)
"""Warnings of openapi-generator that do not concern the client."""


def run(*command: str | Path, cwd: Path) -> tuple[bool, str]:
    """Return whether a command succeeded, and what it printed."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def typescript(document: Path, folder: Path) -> Iterator[str]:
    """Yield type errors in the types of openapi-typescript and in a program that sends all bodies with them."""
    fine, said = run("openapi-typescript", document, "--output", "api.d.ts", cwd=folder)
    if not fine:
        yield said
        return
    shutil.copy(TOOLS / "probe.ts", folder)
    (folder / "tsconfig.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    fine, said = run("tsc", "--project", ".", cwd=folder)
    if not fine:
        yield said


def generator(language: str, document: Path, folder: Path) -> Iterator[str]:
    """Yield warnings of openapi-generator, and wrapper classes for a choice of types in its client."""
    fine, said = run("openapi-generator-cli", "generate", "-g", language, "-i", document, "-o", language, cwd=folder)
    for line in said.splitlines():
        if re.search(r"\b(WARN|ERROR)\b", line) and not any(known in line for known in KNOWN):
            yield line
    if not fine:
        yield "\n".join(said.splitlines()[-5:])
    for path in (folder / language).rglob("*"):
        if re.search(r"(any|one)_?of", path.stem, flags=re.IGNORECASE) and "Abstract" not in path.stem:
            yield f"{path.name}: a wrapper class, which R cannot decode and Java programs have to unpack"


def main() -> int:
    """Run each tool, and print its findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", nargs="?", type=Path, default=Path("openapi.yaml"))
    parser.add_argument("--without-java", action="store_true", help="leave out what needs Java")
    given = parser.parse_args()
    document = given.document.resolve()
    checks = [("TypeScript, strict", typescript)]
    if not given.without_java and shutil.which("java") and shutil.which("openapi-generator-cli"):
        checks += [
            ("openapi-generator, R", lambda *of: generator("r", *of)),
            ("openapi-generator, Java", lambda *of: generator("java", *of)),
        ]
    else:
        print("openapi-generator        skipped: it needs Java. Install Java, then: rm -rf tools/venv && make toolbox")
    failed = False
    for name, check in checks:
        with tempfile.TemporaryDirectory() as folder:
            found = list(check(document, Path(folder)))
        failed = failed or bool(found)
        print(f"{name:<24} {'no finding' if not found else 'findings:'}", flush=True)
        print("".join(f"{text}\n" for text in found), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
