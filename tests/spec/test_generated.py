"""Nothing of openapi.yaml is lost on the way to generated/."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import cavatica_client
from cavatica_client import api


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
    """Whether the operation's success has no body."""
    return not any("content" in answer for status, answer in operation["responses"].items() if status < "300")


def test_every_operation_is_generated(operations):
    """There are as many generated operations as the document has, under the names it gives them."""
    assert set(modules()) == {snake(name) for name in operations}


def test_every_operation_has_its_four_functions():
    """Each operation can be called blocking and non-blocking, for the value or for the whole response."""
    for full_name in modules().values():
        module = importlib.import_module(full_name)
        for name in ("sync", "sync_detailed", "asyncio", "asyncio_detailed"):
            assert callable(getattr(module, name)), f"{full_name}.{name}"


def test_nothing_became_any(operations):
    """No body, parameter or answer lost its type; only an answer without a body is `Any`."""
    found = modules()
    for name, operation in operations.items():
        module = importlib.import_module(found[snake(name)])
        signature = inspect.signature(module.sync_detailed)
        for parameter in signature.parameters.values():
            assert "Any" not in str(parameter.annotation), f"{name} {parameter}"
        lost = "Any" in str(signature.return_annotation)
        assert lost == answers_nothing(operation), f"{name} {signature.return_annotation}"


def test_every_parameter_and_body_is_an_argument(operations, document):
    """What the document lets a caller say, the generated function lets a caller say."""
    shared = {
        operation["operationId"]: item.get("parameters", [])
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    }
    for name, operation in operations.items():
        references = [*shared[name], *operation.get("parameters", [])]
        expected = {document["components"]["parameters"][ref["$ref"].rpartition("/")[2]]["name"] for ref in references}
        expected |= {"body"} if "requestBody" in operation else set()
        function = importlib.import_module(modules()[snake(name)]).sync_detailed
        assert set(inspect.signature(function).parameters) == {*expected, "client"}, name


def test_the_package_is_typed():
    """Type checkers of other projects see the types."""
    assert (Path(cavatica_client.__file__).parent / "py.typed").exists()


def test_the_version_is_the_documents(document):
    """The client carries the version of the contract that it was made from."""
    text = (Path(cavatica_client.__file__).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{document["info"]["version"]}"' in text
