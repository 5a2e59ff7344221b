"""Clients that other generators make of openapi.yaml upload a file to the mock."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cavatica_mock import MockServer

ROOT = Path(__file__).resolve().parents[2]
LIVES = Path(__file__).parent / "lives"
TOOLS = ROOT / "tools"
PROGRAMS = TOOLS / "venv" / "bin"
NODE_MODULES = TOOLS / "node_modules"
SETTINGS = {
    "compilerOptions": {
        "strict": True,
        "noUncheckedIndexedAccess": True,
        "exactOptionalPropertyTypes": True,
        "target": "es2022",
        "module": "nodenext",
        "moduleResolution": "nodenext",
        "types": ["node"],
    },
    "include": ["*.ts"],
}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a program, and return its standard output; fail with all of its output."""
    path = os.pathsep.join([str(PROGRAMS), str(NODE_MODULES / ".bin"), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def server() -> Iterator[MockServer]:
    """A mock that accepts parts of a few bytes."""
    with MockServer(min_part_size=1) as mock:
        yield mock


def check(server: MockServer, told: dict[str, Any]) -> None:
    """Check that the client saw what the mock has."""
    file, empty = told.pop("file"), told.pop("empty")
    assert told == {
        "size": 10,
        "part_size": 4,
        "bulk": 200,
        "reported": [1, 2],
        "open": True,
        "found": ["empty.txt", "sample 07.txt"],
        "aborted": [204, 204, 204],
        "folder": "my new folder",
        "edited": ["s7", 5002],
        "gone": [404, 8003],
        "taken": [409, 8005],
    }
    assert server.file_bytes(file) == b"0123456789"
    assert server.file_bytes(empty) == b""
    assert server.uploads() == []


def test_openapi_typescript_and_openapi_fetch(server: MockServer, tmp_path: Path) -> None:
    """Types of openapi-typescript, checked by `tsc --strict`, and calls of openapi-fetch on Node."""
    node = shutil.which("node", path=os.pathsep.join([str(PROGRAMS), os.environ["PATH"]]))
    needed = ("openapi-typescript", "openapi-fetch", "typescript", "@types/node")
    missing = [name for name in needed if not (NODE_MODULES / name).exists()]
    if node is None or missing:
        pytest.skip(f"{'Node' if node is None else ', '.join(missing)} is not installed: make toolbox")
    shutil.copy(LIVES / "life.ts", tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps(SETTINGS))
    run("openapi-typescript", ROOT / "openapi.yaml", "--output", "api.d.ts", cwd=tmp_path)
    run("tsc", "--project", ".", cwd=tmp_path)
    check(server, json.loads(run(node, "life.js", cwd=tmp_path, BASE_URL=server.base_url, TOKEN=server.token)))


def test_openapi_generator_python(server: MockServer, tmp_path: Path) -> None:
    """The Python client of openapi-generator, with its own models and checks."""
    if shutil.which("java") is None:
        pytest.skip("Java is not installed, which openapi-generator runs on")
    if not (PROGRAMS / "openapi-generator-cli").exists():
        pytest.skip("openapi-generator is not installed: make toolbox")
    command = ["openapi-generator-cli", "generate", "-g", "python", "-i", ROOT / "openapi.yaml", "-o", "made"]
    run(*command, "--additional-properties=packageName=foreign_client", cwd=tmp_path)
    environment = {"PYTHONPATH": str(tmp_path / "made"), "BASE_URL": server.base_url, "TOKEN": server.token}
    check(server, json.loads(run(PROGRAMS / "python", LIVES / "life.py", cwd=tmp_path, **environment)))
