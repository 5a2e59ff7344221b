"""Follow a new version of the API: upgrade.py SPEC.

The new document is linted and compared with the old one. Then it replaces openapi.yaml, the client is generated, the
hand-written code is type-checked, the tests and the contract suite run, and the changelog gets an entry. It stops at
the first step that a person has to decide, and then restores everything.
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a cancelled job, a closed terminal
PATIENCE = 10.0  # seconds in which a process ends after a signal; else it is killed
received: list[int] = []
"""The signals that came. Steps look here, so that none stops the start of a process, or the restoring."""
REPLACED = ("openapi.yaml", "generated", "src/cavatica_upload/api/contract.json", "CHANGELOG-contract.md")


def stop(what: str, then: str) -> NoReturn:
    """Print what was found and what to do, and exit with 1."""
    print(f"\n{what.rstrip()}\n\n{then}\nNothing was replaced.", file=sys.stderr)
    raise SystemExit(1)


def run(*command: str, stdin: str = os.devnull) -> tuple[bool, str]:
    """Return whether a command succeeded, and what it printed. A signal ends all that it started, too."""
    with Path(stdin).open("rb") as read, tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        process = subprocess.Popen(command, stdin=read, stdout=printed, stderr=subprocess.STDOUT, process_group=0)
        while process.poll() is None and not received:
            time.sleep(0.05)
        if received:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, received[0])
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            raise KeyboardInterrupt
        printed.seek(0)
        return process.returncode == 0, printed.read().strip()


def script(name: str, *arguments: str) -> tuple[bool, str]:
    """Run a script of this folder."""
    return run(sys.executable, str(Path(__file__).with_name(name)), *arguments)


def linted(spec: str) -> None:
    """Stop if the new document breaks a rule."""
    print("1. The new document keeps the rules.", flush=True)
    for lint in (
        ("redocly", "lint", spec, "--config", "tools/redocly.yaml", "--format", "stylish"),
        # Spectral takes a name for a pattern.
        ("spectral", "lint", "--stdin-filepath", spec, "--ruleset", "tools/spectral.yaml", "--fail-severity", "hint"),
    ):
        fine, said = run(*lint, stdin=spec)
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


def replaced(spec: str, old: str, checks: str) -> None:
    """Replace the document and what is generated from it, and run the checks."""
    make = os.environ.get("MAKE", "make")
    by_hand = "make generate"
    print("3. The client is generated.", flush=True)
    if not is_in_place(spec):
        shutil.copyfile(spec, "openapi.yaml")
        by_hand = f"cp {shlex.quote(spec)} openapi.yaml && make generate"
    fine, said = run(*make.split(), "generate")
    if not fine:
        stop(said, f"Mend {spec}: the generator does not understand it.")
    print("4. The hand-written code fits it.", flush=True)
    fine, said = run("mypy")
    if not fine:
        stop(said, f"Change these lines. To work on them: {by_hand} && make lint")
    for check in checks.split():
        print(f"5. make {check}", flush=True)
        fine, said = run(*make.split(), check)
        if not fine:
            stop("\n".join(said.splitlines()[-40:]), f"See what fails: {by_hand} {check}")
    print("6. The changelog has an entry.", flush=True)
    fine, said = script("spec_diff.py", "--old", old, "--changelog", "CHANGELOG-contract.md")
    if not fine:
        stop(said, "Mend CHANGELOG-contract.md.")


def main() -> int:
    """Run the steps; restore everything if one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("--old", default="")
    parser.add_argument("--checks", default="test contract")
    parser.add_argument("--breaking", default="")
    given = parser.parse_args()
    for name in SIGNALS:
        if signal.getsignal(name) is not signal.SIG_IGN:  # nohup
            signal.signal(name, lambda number, _frame: received.append(number))
    if not Path(given.spec).is_file():
        missing = f"{given.spec} is not a file." if given.spec else "No document was named."
        stop(missing, "Name the new document: make upgrade SPEC=new.yaml")
    if given.breaking not in ("", "accepted"):
        stop(f"BREAKING={given.breaking} is not a value.", "Set BREAKING=accepted, or leave it out.")
    if not given.old and not (shutil.which("git") and run("git", "cat-file", "-e", "HEAD:openapi.yaml")[0]):
        need = "git is needed: its last commit of openapi.yaml is compared with the new document."
        stop(need, "Run this in a clone, or name a copy of the old document: make upgrade … OLD=old.yaml")
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder)
        # HEAD has the document before, even after a kill -9.
        old = given.old or ("" if is_in_place(given.spec) else "HEAD")
        linted(given.spec)
        compared(given.spec, old, given.breaking == "accepted")
        kept = {Path(name): before / str(number) for number, name in enumerate(REPLACED) if Path(name).exists()}
        for path, copy in kept.items():
            copied(path, copy)
        try:
            replaced(given.spec, old, given.checks)
        except BaseException:
            put_back(kept)
            raise
    print("\nopenapi.yaml, generated/ and CHANGELOG-contract.md are the new ones. Look at them, and commit.")
    return 0


def is_in_place(spec: str) -> bool:
    """Whether the new document is openapi.yaml, edited; it is compared with the last release."""
    return Path(spec).resolve() == Path("openapi.yaml").resolve()


def copied(source: Path, target: Path) -> None:
    """Copy a file or a folder. It gets the time of now, so that make installs again what was restored."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


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
