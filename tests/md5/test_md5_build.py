"""The build with a compiler, without one, and with one that fails."""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from md5_support import COMPILER

from cavatica_upload.md5 import load

ROOT = Path(__file__).parents[2]
PACKAGE = Path("src/cavatica_upload/md5")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The source files that a wheel is built from, with nothing compiled."""
    tree = tmp_path / "tree"
    without = shutil.ignore_patterns("__pycache__", "*.so")
    for package in ("src/cavatica_upload/md5", "src/cavatica_mock"):
        shutil.copytree(ROOT / package, tree / package, ignore=without)
    for name in ("pyproject.toml", "openapi.yaml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tree)
    return tree


def run(tree: Path, *words: str, **environment: str) -> str:
    """Run Python in the tree, and return its output."""
    env: Mapping[str, str] = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ} | environment
    done = subprocess.run([sys.executable, *words], cwd=tree, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def wheel(tree: Path, **environment: str) -> tuple[Path, str]:
    """Build a wheel, and return it with the output."""
    said = run(tree, "-m", "hatchling", "build", "-t", "wheel", **environment)
    (made,) = (tree / "dist").glob("*.whl")
    return made, said


@pytest.mark.parametrize("compiler", [COMPILER] if COMPILER else [])
def test_a_wheel_with_the_library(tree: Path, compiler: str) -> None:
    """With a compiler the wheel is for this platform and any Python, has a library that works, and no C source."""
    made, _ = wheel(tree)
    assert "-py3-none-" in made.name
    assert not made.name.endswith("-any.whl")
    names = [name for name in zipfile.ZipFile(made).namelist() if "/md5/" in name]
    assert "cavatica_upload/md5/liblanes.so" in names
    assert not [name for name in names if name.endswith(("lanes.c", "build.py"))]
    with zipfile.ZipFile(made) as archive:
        library = load(Path(archive.extract("cavatica_upload/md5/liblanes.so", tree)))
    assert library is not None
    assert library.lanes >= 8


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PATH": "/nonexistent"}, "there is no C compiler"),
        ({"CC": "/nonexistent/cc"}, "/nonexistent/cc failed"),
        ({"CC": f"{shlex.quote(sys.executable)} -c 'raise SystemExit(3)'"}, "ended with 3"),
        ({"CAVATICA_MD5": "hashlib"}, "CAVATICA_MD5 is hashlib"),
    ],
    ids=["none", "absent", "failing", "unwanted"],
)
def test_a_wheel_without_the_library(tree: Path, environment: dict[str, str], said: str) -> None:
    """Without a working compiler the wheel is pure, one line says why, and no old library is in it."""
    (tree / PACKAGE / "liblanes.so").write_bytes(b"of another day")
    os.utime(tree / PACKAGE / "liblanes.so", (1, 1))
    made, told = wheel(tree, **environment)
    assert made.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(made).namelist() if name.endswith(".so")]
    (line,) = [line for line in told.splitlines() if "MD5" in line]
    assert said in line


@pytest.mark.parametrize("compiler", [COMPILER] if COMPILER else [])
def test_compiled_again_only_if_the_source_is_newer(tree: Path, compiler: str) -> None:
    """The library is compiled again only if lanes.c is newer."""
    build = ["-c", f"import runpy; print(runpy.run_path('{PACKAGE}/build.py')['build']())"]
    library, source = tree / PACKAGE / "liblanes.so", tree / PACKAGE / "lanes.c"
    assert run(tree, *build) == "None\n"
    made = library.stat().st_mtime_ns
    assert run(tree, *build) == "None\n"
    assert library.stat().st_mtime_ns == made
    os.utime(source, ns=(made + 1, made + 1))
    assert run(tree, *build) == "None\n"
    assert library.stat().st_mtime_ns > made
    assert sorted(path.name for path in library.parent.glob("liblanes*")) == ["liblanes.so"]
