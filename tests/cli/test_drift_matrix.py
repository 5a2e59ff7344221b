"""What is said of uploads to servers that differ from the document is true, and nearly all succeed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from drift_matrix import Cell, Stage, cells
from drifting_proxy import DriftingProxy

from cavatica_mock import MockServer

EVERY = list(cells())
WHOLE = ("completeUpload", "getUpload")
SOME = [cell for at, cell in enumerate(EVERY) if at % 13 == 0 or (cell.operation in WHOLE and not cell.key)]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A server with a proxy in front of it."""
    with MockServer(part_size=1) as mock, DriftingProxy(mock.base_url) as proxy:
        yield Stage(mock, proxy)


def test_the_matrix_is_made_from_the_document() -> None:
    """The matrix has each operation that an upload calls and each key of its answer, in several ways."""
    assert len(EVERY) > 400
    assert len({cell.name for cell in EVERY}) == len(EVERY)
    assert {(cell.operation, cell.key) for cell in EVERY} >= {
        ("startUpload", "part_size"),
        ("getPartUrl", "report.headers"),
        ("completeUpload", "created_on"),
        ("getUpload", "parts.[].response.headers"),
        ("listFiles", "items.[].type"),
        ("editFiles", "items.[].resource"),
    }
    assert {cell.kind for cell in EVERY} >= {
        "absent",
        "null",
        "type",
        "no zone",
        "mail date",
        "206",
        "empty",
        "new key",
    }


@pytest.mark.parametrize("cell", SOME, ids=lambda cell: cell.name)
def test_what_is_said_is_true(stage: Stage, cell: Cell, tmp_path: Path) -> None:
    """The command never reports a stored file as failed or a failed one as stored, succeeds if it can, and reports each
    difference once.
    """
    verdict = stage.play(cell, tmp_path)
    assert verdict.hits
    assert (verdict.code == 0) == verdict.landed, verdict.err
    assert verdict.landed or cell.may_fail, verdict.err
    assert len(set(verdict.notices)) == len(verdict.notices)
    if verdict.changed and cell.kind in ("type", "mail date", "negative"):
        assert f"{cell.operation}:{cell.key.replace('.[]', '[]')}" in verdict.notices
    if cell.kind == "new key":
        assert not verdict.notices
