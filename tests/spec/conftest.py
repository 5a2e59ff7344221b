"""openapi.yaml, parsed."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from house_rules import findings

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    """openapi.yaml, parsed."""
    return yaml.safe_load((ROOT / "openapi.yaml").read_text())


@pytest.fixture(scope="session")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The operations of the document by operationId.

    If the document breaks a house rule, the tests are skipped: `test_house_rules` reports it by line.
    """
    if findings((ROOT / "openapi.yaml").read_text()):
        pytest.skip("openapi.yaml breaks a house rule: see test_house_rules")
    return {
        operation["operationId"]: operation
        for item in document["paths"].values()
        for method, operation in item.items()
        if method in METHODS
    }
