"""The suite behind nginx: the mock has no finding, a broken server is caught, each note is shown once."""

import pytest

from tests.contract import suite
from tests.contract.findings import notes
from tests.contract.mutants import run as mutants
from tests.contract.mutants.proxy import served
from tests.contract.options import SEED, Options
from tests.contract.requests import client as raw_client
from tests.contract.schemathesis import run as schemathesis_run
from tests.contract.server import ANEW, AS_IT_CAME, behind_nginx, nginx

pytestmark = pytest.mark.skipif(nginx() is None, reason="nginx is not installed")

# One of each kind, caught by what is judged everywhere.
CONTRACT_MUTANTS = (
    "missing_key", "html_errors", "no_allow", "not_found_for_a_method", "fails_on_wrong_shapes", "strangers_may_look",
    "tokens_in_any_case", "token_in_an_error", "missing_rate_header", "total_of_the_page", "downloads_are_cut",
    "cut_json",
)  # fmt: skip


@pytest.mark.parametrize("way", [AS_IT_CAME, ANEW], ids=["path as it came", "path written anew"])
def test_an_honest_server_has_no_finding(way: str) -> None:
    """What nginx itself answers to requests that no client sends is noted."""
    with served("none", SEED) as mock, behind_nginx(mock, way) as target:
        raw = raw_client.run(target, raw_client.CLAIMS)
        unit = schemathesis_run.run(target, ("examples", "coverage"), SEED)
        model = suite.model(suite.Run(target, Options(SEED)), examples=5, steps=10)
    assert [finding.message for outcome in (raw, unit, model) for finding in outcome.findings] == []
    kinds = [note.shown.kind for note in notes([raw, unit])]
    assert "the method TRACE" in kinds
    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize("mutant", CONTRACT_MUTANTS)
def test_a_broken_server_is_caught(mutant: str) -> None:
    """Nginx hides nothing that breaks a client."""
    assert mutants.run_mutant(mutant, SEED, ("raw", "model"), behind_nginx)["caught"]
