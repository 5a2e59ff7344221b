"""Follow a new version of the API: upgrade.py SPEC.

The new document is linted and compared with the old one. Then it replaces openapi.yaml, the client is generated, the
hand-written code is type-checked, the tests and the contract suite run, and the changelog gets an entry. It stops at
the first step that a person has to decide, and then restores everything.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

REPLACED = ("openapi.yaml", "generated", "src/cavatica_upload/api/contract.json", "CHANGELOG-contract.md")


def stop(what: str, then: str) -> NoReturn:
    """Print what was found and what to do, and exit with 1."""
    print(f"\n{what.rstrip()}\n\n{then}\nNothing was replaced.", file=sys.stderr)
    raise SystemExit(1)


def run(*command: str) -> tuple[bool, str]:
    """Return whether a command succeeded, and what it printed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def script(name: str, *arguments: str) -> tuple[bool, str]:
    """Run a script of this folder."""
    return run(sys.executable, str(Path(__file__).with_name(name)), *arguments)


def linted(spec: str) -> None:
    """Stop if the new document breaks a rule."""
    print("1. The new document keeps the rules.", flush=True)
    for lint in (
        ("redocly", "lint", spec, "--config", "tools/redocly.yaml", "--format", "stylish"),
        ("spectral", "lint", spec, "--ruleset", "tools/spectral.yaml", "--fail-severity", "hint"),
    ):
        fine, said = run(*lint)
        if not fine:
            stop(said, f"Mend {spec} at these lines.")


def compared(spec: str, old: str, breaking_accepted: bool) -> None:
    """Stop if the version is too low for the changes, or if they break users and that is not accepted."""
    print("2. Its version says what changed.", flush=True)
    fine, said = script("spec_diff.py", "--old", old, "--new", spec, "--json")
    if not fine:
        stop(said, "Correct this, and run make upgrade again.")
    changes: list[dict[str, Any]] = json.loads(said)["changes"]
    fine, said = script("spec_diff.py", "--old", old, "--new", spec)
    if not fine:
        stop(said, f"Set info.version in {spec}, or take the change back.")
    print("   " + said.replace("\n", "\n   "), flush=True)
    breaking = [f"{spec}:{one['line']}: {one['where']}: {one['text']}" for one in changes if one["level"] == "major"]
    if breaking and not breaking_accepted:
        stop("\n".join(breaking), "These changes break users. If they are wanted: make upgrade … BREAKING=accepted")


def replaced(spec: str, old: str, make: str, checks: str) -> None:
    """Replace the document and what is generated from it, and run the checks."""
    print("3. The client is generated.", flush=True)
    if Path(spec).resolve() != Path("openapi.yaml").resolve():
        shutil.copyfile(spec, "openapi.yaml")
    fine, said = run(*make.split(), "generate")
    if not fine:
        stop(said, f"Mend {spec}: the generator does not understand it.")
    print("4. The hand-written code fits it.", flush=True)
    fine, said = run("mypy")
    if not fine:
        stop(said, f"Change these lines. To work on them: cp {spec} openapi.yaml && make generate && mypy")
    for check in checks.split():
        print(f"5. make {check}", flush=True)
        fine, said = run(*make.split(), check)
        if not fine:
            stop("\n".join(said.splitlines()[-40:]), f"See what fails: cp {spec} openapi.yaml && make generate {check}")
    print("6. The changelog has an entry.", flush=True)
    fine, said = script("spec_diff.py", "--old", old, "--changelog", "CHANGELOG-contract.md")
    if not fine:
        stop(said, "Mend CHANGELOG-contract.md.")


def main() -> int:
    """Run the steps; restore everything if one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("--old", default="")
    parser.add_argument("--make", default="make")
    parser.add_argument("--checks", default="test contract")
    parser.add_argument("--breaking", default="")
    given = parser.parse_args()
    if not Path(given.spec).is_file():
        missing = f"{given.spec} is not a file." if given.spec else "No document was named."
        stop(missing, "Name the new document: make upgrade SPEC=new.yaml")
    if given.breaking not in ("", "accepted"):
        stop(f"BREAKING={given.breaking} is not a value.", "Set BREAKING=accepted, or leave it out.")
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder)
        old = given.old
        if not old and not Path(given.spec).samefile("openapi.yaml"):  # edited in place: compared with the last release
            shutil.copyfile("openapi.yaml", before / "openapi.yaml")
            old = str(before / "openapi.yaml")
        linted(given.spec)
        compared(given.spec, old, given.breaking == "accepted")
        kept = {Path(name): before / str(number) for number, name in enumerate(REPLACED) if Path(name).exists()}
        for path, copy in kept.items():
            copied(path, copy)
        for name in (signal.SIGTERM, signal.SIGHUP):  # a cancelled job, a closed terminal: like Ctrl-C
            signal.signal(name, signal.default_int_handler)
        try:
            replaced(given.spec, old, given.make, given.checks)
        except BaseException:
            for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(name, signal.SIG_IGN)
            put_back(kept)
            raise
    print("\nopenapi.yaml, generated/ and CHANGELOG-contract.md are the new ones. Look at them, and commit.")
    return 0


def copied(source: Path, target: Path) -> None:
    """Copy a file or a folder, with its times."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def put_back(kept: dict[Path, Path]) -> None:
    """Restore everything that was replaced from its copies."""
    for name in REPLACED:
        path = Path(name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path, copy in kept.items():
        copied(copy, path)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing was replaced.", file=sys.stderr)
        raise SystemExit(130) from None
