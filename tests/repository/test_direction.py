"""Imports go one way: down from the command line to the errors, and from the uploader to the client."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UPLOADER = ROOT / "src" / "cavatica_upload"

ORDER = (
    ("__init__", "__main__"),
    ("cli", "public"),
    ("uploader",),
    ("engine", "batch"),
    ("journal",),
    ("storage",),
    ("verification",),
    ("sources",),
    ("api",),
    ("http",),
    ("md5",),
    ("events",),
    ("request",),
    ("receipt",),
    ("plan", "destination", "config", "timing", "disk"),
    ("errors", "redact"),
)
"""The rooms of cavatica_upload, from the top down: a room imports those below its line, never one on it or above."""


def modules(package: Path) -> dict[str, Path]:
    """The modules of a package by name."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(name: str, path: Path) -> Iterator[str]:
    """The full names of all imports of a module: in functions, for type checkers, and relative ones."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def graph(package: Path) -> dict[str, set[str]]:
    """For each module of a package, the modules of the same package that it imports."""
    known = modules(package)
    edges: dict[str, set[str]] = {}
    for name, path in known.items():
        edges[name] = set()
        for target in imported(name, path):
            while target and target not in known:
                target = target.rpartition(".")[0]
            edges[name] |= {target} - {"", name}
    return edges


def room(name: str) -> str:
    """The room of a module: the first part of its name below the package."""
    return [*name.split("."), "__init__"][1]


LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


def upward(edges: dict[str, set[str]]) -> list[str]:
    """The imports that do not go down, as sentences."""
    return [
        f"{name} imports {target}"
        for name, targets in sorted(edges.items())
        for target in sorted(targets)
        if room(name) != room(target) and LEVEL[room(name)] >= LEVEL[room(target)]
    ]


def test_every_room_has_its_place() -> None:
    """The list has each module and folder of the uploader once, and nothing else."""
    assert {room(name) for name in modules(UPLOADER)} == LEVEL.keys()
    assert len(LEVEL) == sum(map(len, ORDER))


def test_imports_go_down() -> None:
    """No module imports from its own line or above, in functions and for type checkers too."""
    edges = graph(UPLOADER)
    assert sum(map(len, edges.values())) > 2 * len(edges), "imports were found"
    assert upward(edges) == []


def test_there_is_no_circle() -> None:
    """No two modules of the uploader import each other, directly or through others."""
    TopologicalSorter(graph(UPLOADER)).prepare()


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("src/cavatica_upload", {"cavatica_mock"}),
        ("src/cavatica_mock", {"cavatica_upload", "cavatica_client"}),
        ("generated/cavatica_client", {"cavatica_upload", "cavatica_mock"}),
    ],
)
def test_packages(package: str, forbidden: set[str]) -> None:
    """The uploader imports the client and not the mock; mock and client import neither."""
    for name, path in modules(ROOT / package).items():
        assert not forbidden & {target.split(".")[0] for target in imported(name, path)}, name


@pytest.mark.parametrize(
    "line",
    [
        "import cavatica_upload.cli.app",
        "def later():\n    from cavatica_upload.cli import app",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cavatica_upload.cli.app import main",
        "from ..cli import app",
    ],
)
def test_an_import_that_goes_up_is_found(tmp_path: Path, line: str) -> None:
    """An upward import is found in any place and form."""
    for place, text in (("cli/__init__", ""), ("cli/app", ""), ("api/__init__", ""), ("api/policy", line)):
        path = (tmp_path / "cavatica_upload" / place).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert upward(graph(tmp_path / "cavatica_upload")) == ["cavatica_upload.api.policy imports cavatica_upload.cli.app"]
