"""openapi.yaml, parsed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from document import Document

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    """openapi.yaml, parsed."""
    return yaml.safe_load((ROOT / "openapi.yaml").read_text())


@pytest.fixture(scope="session")
def resolved() -> Callable[[Any], Any]:
    """A function that follows the references of openapi.yaml."""
    return Document((ROOT / "openapi.yaml").read_text()).resolved


@pytest.fixture(scope="session")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The operations of the document by operationId."""
    return {
        operation["operationId"]: operation
        for item in document["paths"].values()
        for method, operation in item.items()
        if method in METHODS
    }
