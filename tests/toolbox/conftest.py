"""Tests of the targets that need the toolbox; they are skipped if it is not installed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
PATHS = [Path(sys.executable).parent, TOOLS / "venv" / "bin", TOOLS / "node_modules" / ".bin"]

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder if the toolbox is not installed."""
    if not (TOOLS / "venv" / "installed").exists():
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.skip(reason="the toolbox is not installed: make test-spec"))


@pytest.fixture(scope="session")
def environ() -> dict[str, str]:
    """The environment of the Makefile's recipes."""
    path = os.pathsep.join([*map(str, PATHS), os.environ["PATH"]])
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    git = {f"GIT_{who}_{what}": "tester" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {**os.environ, **quiet, **git, "PATH": path}


@pytest.fixture(scope="session")
def run(environ: dict[str, str]) -> Run:
    """Run a command in this repository or another folder, with the tools on PATH."""

    def call(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=cwd, env=environ, check=False, capture_output=True, text=True)

    return call
