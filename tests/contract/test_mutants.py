"""The proof of the suite in small: a few broken servers are caught."""

import re
from typing import Any

import attrs
import pytest

from tests.contract import document, suite
from tests.contract.mutants import DEFECTS
from tests.contract.mutants import run as mutants
from tests.contract.mutants.proxy import Ask, Reply, Way, served
from tests.contract.mutants.run import run_mutant
from tests.contract.options import SEED, Options
from tests.contract.schemathesis import run as schemathesis_run


@pytest.mark.parametrize("name", mutants.SMOKE)
def test_a_broken_server_is_caught(name: str) -> None:
    """By the cheap phases alone."""
    assert run_mutant(name, SEED, ("raw", "model"))["caught"]


def test_the_unbroken_mock_passes() -> None:
    """Behind the same proxy, so that defects are caught and not the proxy."""
    assert run_mutant(mutants.UNBROKEN, SEED, ("raw",))["caught"] is None


KEPT = frozenset({"resource", "error", "parts", "code", "report", "success_codes"})  # without them less is compared
STATUSES = {("completeUpload", 201): 200, ("createFolder", 200): 201}


def least(shown: Any, schema: Any) -> Any:
    """What the document requires of an answer, with a key that it does not have."""
    schema = document.resolve(dict(schema))
    if isinstance(shown, list):
        return [least(each, schema["items"]) for each in shown]
    if not isinstance(shown, dict) or "properties" not in schema:
        return shown
    kept = shown.keys() & {*schema.get("required", ()), *KEPT}
    return {"extra": [None], **{key: least(shown[key], schema["properties"][key]) for key in sorted(kept)}}


async def free(ask: Ask, way: Way) -> Reply:
    """Answer as the document permits, and unlike the mock wherever it can."""
    if ask.operation in ("listFiles", "listUploads", "listFolder") and "limit=" not in ask.query:
        ask = ask.with_target(f"{ask.target}{'&' if ask.query else '?'}limit=25")
    reply = await way.on(ask)
    operation = document.operations().get(ask.operation or "")
    declared = operation.declared.get(reply.status) if operation else None
    if declared is None or declared.schema is None:
        return reply
    body = reply.with_json(least(reply.json(), declared.schema)).body
    body = re.sub(rb"(T\d\d:\d\d:\d\d)(\.\d+)?Z", rb"\1.123456+00:00", body).replace(b'"ETag"', b'"etag"')
    status = STATUSES.get((ask.operation or "", reply.status), reply.status)
    return attrs.evolve(reply, status=status, body=body).with_headers(x_total_matching_query=None, x_request_id="1")


def test_a_server_that_uses_its_freedom_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optional keys and headers, other statuses, 25 items on a page and the spelling of times are no findings."""
    monkeypatch.setitem(DEFECTS, "free", free)
    with served("free", SEED) as target:
        run = suite.Run(target, Options(SEED))
        outcomes = [suite.raw(run), suite.model(run, examples=5), schemathesis_run.run(target, ("examples",), SEED)]
    assert [finding.message for outcome in outcomes for finding in outcome.findings] == []


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
