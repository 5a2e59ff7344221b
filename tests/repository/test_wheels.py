"""The wheels that `pip install` gets."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, zipfile.ZipFile]:
    """The wheels of both distributions by name."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
    subprocess.run([*command, ROOT / "generated", ROOT], check=True, capture_output=True)
    return {path.name.partition("-")[0]: zipfile.ZipFile(path) for path in folder.glob("*.whl")}


def test_the_contract_is_shipped_with_the_mock(wheels):
    """The wheel has openapi.yaml, byte for byte, where the mock looks for it."""
    shipped = wheels["cavatica_upload"].read("cavatica_mock/openapi.yaml")
    assert shipped == (ROOT / "openapi.yaml").read_bytes()


def test_the_wheels_are_typed(wheels):
    """All three packages have the marker for type checkers."""
    for wheel, package in (
        ("cavatica_client", "cavatica_client"),
        ("cavatica_upload", "cavatica_upload"),
        ("cavatica_upload", "cavatica_mock"),
    ):
        assert f"{package}/py.typed" in wheels[wheel].namelist()


def test_the_client_imports_no_other_package(wheels, tmp_path):
    """The generated client imports none of our other packages."""
    wheels["cavatica_client"].extractall(tmp_path)
    code = (
        "import sys, cavatica_client.api.uploads.get_part_url as m\n"
        "print(m.__file__, 'cavatica_upload' in sys.modules, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [str(tmp_path / "cavatica_client/api/uploads/get_part_url.py"), "False"], (
        done.stderr
    )


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dask.lock"])
def test_the_locks_name_no_index(lock: str):
    """A lock pins every package with a hash and has no address."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert all("==" in line for line in packages)
    assert text.count("--hash=sha256:") > len(packages)
