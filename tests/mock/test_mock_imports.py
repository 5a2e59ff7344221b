"""The mock's modules import in one direction."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import cavatica_mock

FOLDER = Path(cavatica_mock.__file__).parent


def imports(path: Path) -> set[str]:
    """The modules of the mock that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "cavatica_mock":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cavatica_mock."):
            found.add(str(node.module).partition(".")[2])
    return found


def test_there_is_no_circle() -> None:
    """No module imports one that imports it, not even for types. (The package itself only re-exports names.)"""
    modules = {path.stem: path for path in FOLDER.glob("*.py") if path.stem != "__init__"}
    graph = {name: imports(path) & modules.keys() for name, path in modules.items()}
    assert sum(map(len, graph.values())) > len(modules), "imports were found"
    TopologicalSorter(graph).prepare()
