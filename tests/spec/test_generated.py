"""The generated client has everything that openapi.yaml describes."""

import hashlib
import importlib
import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

from document import Document
from generate import readme

import cavatica_client
from cavatica_client import api
from cavatica_mock import MockServer

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = Path("src/cavatica_upload/api/contract.json")


def snake(name: str) -> str:
    """The operationId as the generator spells a module."""
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def modules() -> dict[str, str]:
    """The generated operation modules: short name, full name."""
    return {
        info.name.rpartition(".")[2]: info.name
        for info in pkgutil.walk_packages(api.__path__, "cavatica_client.api.")
        if not info.ispkg
    }


def answers_nothing(operation: dict) -> bool:
    """Whether the success of the operation has no body."""
    return not any("content" in answer for status, answer in operation["responses"].items() if status < "300")


def test_every_operation_is_generated(operations):
    """Every operation of the document is generated under its name."""
    assert set(modules()) == {snake(name) for name in operations}


def test_every_operation_has_its_four_functions():
    """Each operation has a blocking and an asyncio function, for the value and for the whole response."""
    for full_name in modules().values():
        module = importlib.import_module(full_name)
        for name in ("sync", "sync_detailed", "asyncio", "asyncio_detailed"):
            assert callable(getattr(module, name)), f"{full_name}.{name}"


def test_nothing_became_any(operations):
    """Every body, parameter and answer has a type; only an answer without a body is `Any`."""
    found = modules()
    for name, operation in operations.items():
        module = importlib.import_module(found[snake(name)])
        signature = inspect.signature(module.sync_detailed)
        for parameter in signature.parameters.values():
            assert "Any" not in str(parameter.annotation), f"{name} {parameter}"
        lost = "Any" in str(signature.return_annotation)
        assert lost == answers_nothing(operation), f"{name} {signature.return_annotation}"


def test_every_parameter_and_body_is_an_argument(operations, document, resolved):
    """Every parameter and body of the document is an argument of the function."""
    shared = {
        operation["operationId"]: item.get("parameters", [])
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    }
    for name, operation in operations.items():
        expected = {resolved(one)["name"] for one in (*shared[name], *operation.get("parameters", []))}
        expected |= {"body"} if "requestBody" in operation else set()
        function = importlib.import_module(modules()[snake(name)]).sync_detailed
        assert set(inspect.signature(function).parameters) == {*expected, "client"}, name


def test_the_package_is_typed():
    """The package has the marker for type checkers."""
    assert (Path(cavatica_client.__file__).parent / "py.typed").exists()


def test_the_version_is_the_documents(document):
    """The client has the version of the document."""
    text = (Path(cavatica_client.__file__).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{document["info"]["version"]}"' in text


def test_the_readme_is_made_from_the_document(document):
    """The client's README is generated, names each operation, and its Python runs."""
    text = (Path(cavatica_client.__file__).parents[1] / "README.md").read_text()
    source = (ROOT / "openapi.yaml").read_bytes()
    assert readme(Document(source.decode()), hashlib.sha256(source).hexdigest()) == text
    assert "api.example.com" not in text
    for module, full_name in modules().items():
        assert f"`{module}`" in text, module
        assert f"`{full_name.rpartition('.')[0]}`" in text, module
    (python,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    with MockServer() as mock:
        served = python.replace(document["servers"][0]["url"], mock.base_url)
        served = served.replace("your authentication token", mock.token)
        done = subprocess.run([sys.executable, "-c", served], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_failed_generation_leaves_the_client_alone(tmp_path):
    """If `make generate` fails, the old client stays."""
    for name in ("Makefile", "generator-config.yml", "tools", "generated", "openapi.yaml"):
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(
                source, target, ignore=shutil.ignore_patterns("__pycache__", ".pdm-build", "venv", "node_modules")
            )
        else:
            shutil.copy(source, target)
    (tmp_path / "src" / "cavatica_upload" / "api").mkdir(parents=True)
    shutil.copy(ROOT / CONTRACT, tmp_path / CONTRACT)
    before = {path: path.read_bytes() for path in (tmp_path / "generated").rglob("*") if path.is_file()}

    def make(target: str) -> subprocess.CompletedProcess[str]:
        """Run a target with the programs of this environment."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        command = ["make", "--assume-old=install", target]
        return subprocess.run(command, cwd=tmp_path, env={"PATH": path}, check=False, capture_output=True, text=True)

    good = (tmp_path / "openapi.yaml").read_text()
    (tmp_path / "openapi.yaml").write_text(good.replace("'#/components/schemas/StartedUpload'", "'#/nowhere'"))
    failed = make("generate")
    assert failed.returncode != 0
    assert "nothing was changed" in failed.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "generated").rglob("*") if path.is_file()} == before
    (tmp_path / "openapi.yaml").write_text(good.replace("List ongoing uploads", "List uploads"))
    stale = make("check-generated")
    assert stale.returncode != 0
    assert "make generate" in stale.stderr
    assert make("generate").returncode == 0, "and a good document is generated from"
    assert make("check-generated").returncode == 0
    assert "List uploads" in (tmp_path / "generated" / "README.md").read_text()
