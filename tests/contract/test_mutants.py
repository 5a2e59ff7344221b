"""The proof of the suite in small: a few broken servers are caught."""

from typing import Any

import pytest

from tests.contract.mutants import DEFECTS
from tests.contract.mutants import run as mutants
from tests.contract.mutants.run import run_mutant
from tests.contract.options import SEED


@pytest.mark.parametrize("name", mutants.SMOKE)
def test_a_broken_server_is_caught(name: str) -> None:
    """By the cheap phases alone."""
    assert run_mutant(name, SEED, ("raw", "model"))["caught"]


def test_the_unbroken_mock_passes() -> None:
    """Behind the same proxy, so that defects are caught and not the proxy."""
    assert run_mutant(mutants.UNBROKEN, SEED, ("raw",))["caught"] is None


def test_every_defect_says_what_it_breaks() -> None:
    """One sentence each, none twice."""
    sentences = [defect.__doc__ for defect in DEFECTS.values()]
    assert len(DEFECTS) >= 30
    assert all(sentences)
    assert len(set(sentences)) == len(sentences)


def test_the_table_shows_survivors() -> None:
    """A mutant that was not caught is marked in the table."""
    caught = {"phase": "model", "check": "list_parts", "message": ""}
    results: list[dict[str, Any]] = [
        {"name": "none", "caught": None, "calls": 9, "seconds": 1.0},
        {"name": "missing_key", "caught": caught, "calls": 3, "seconds": 0.5},
        {"name": "wrong_type", "caught": None, "calls": 9, "seconds": 1.0},
    ]
    table = mutants.markdown(results, SEED, 2.0)
    assert "1 of 2 caught" in table
    assert "| wrong_type | The part size of a started upload is a string. |  | not caught | 9 | 1.0 |" in table
