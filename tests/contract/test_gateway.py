"""The suite behind gateways: the mock has no finding, a broken server is caught, each note is shown once."""

import gzip
import re

import attrs
import pytest

from cavatica_mock import MockServer
from tests.contract import report, suite
from tests.contract.findings import causes, notes
from tests.contract.mutants import DEFECTS
from tests.contract.mutants import run as mutants
from tests.contract.mutants.proxy import Ask, Reply, Way, served
from tests.contract.options import SEED, Options
from tests.contract.requests import client as raw_client
from tests.contract.schemathesis import run as schemathesis_run
from tests.contract.server import ANEW, AS_IT_CAME, PROJECT, TOKEN, Target, behind_nginx, nginx

NEEDS_NGINX = pytest.mark.skipif(nginx() is None, reason="nginx is not installed")

# One of each kind, caught by what is judged everywhere.
CONTRACT_MUTANTS = (
    "missing_key", "html_errors", "no_allow", "not_found_for_a_method", "fails_on_wrong_shapes", "strangers_may_look",
    "tokens_in_any_case", "token_in_an_error", "missing_rate_header", "total_of_the_page", "downloads_are_cut",
    "cut_json",
)  # fmt: skip


@NEEDS_NGINX
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


@NEEDS_NGINX
@pytest.mark.parametrize("mutant", CONTRACT_MUTANTS)
def test_a_broken_server_is_caught(mutant: str) -> None:
    """Nginx hides nothing that breaks a client."""
    assert mutants.run_mutant(mutant, SEED, ("raw", "model"), behind_nginx)["caught"]


MD5 = re.compile(rb'(?<!"md5": ")(?<!"md5":")(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])')


def other_etags(body: bytes) -> bytes:
    """ETags that are no MD5s, or the MD5s again."""
    return MD5.sub(lambda etag: etag[0][::-1], body)


async def manners(ask: Ask, way: Way) -> Reply:
    """What the document leaves open, as gateways and stores other than ours have it."""
    api, path = ask.target.startswith("/v2"), ask.target.partition("?")[0]
    headers = {"via": "1.1 edge", "set-cookie": "LB=1; Path=/", "server": "edge", "connection": "close"}
    if ask.method == "OPTIONS":
        return Reply(204, {**headers, "access-control-allow-origin": "*"})
    if api and ask.method == "GET" and path in ("/v2", "/v2/"):
        return Reply(200, {**headers, "content-type": "application/json"}, b'{"upload_url": "http://127.0.0.1/"}')
    if api and ask.method == "GET" and path.endswith("/"):
        return Reply(308, {**headers, "location": path.rstrip("/"), "content-type": "text/html"}, b"<h1>308</h1>")
    reports = ask.operation in ("reportUploadedPart", "reportUploadedParts", "completeUpload")
    reply = await way.on(attrs.evolve(ask, body=other_etags(ask.body)) if reports else ask)
    if not api and ask.method == "PUT" and reply.status == 200:
        return Reply(201, {**headers, "etag": other_etags(reply.headers["etag"].encode()).decode()})
    if ask.operation == "getPartUrl" and reply.status == 200:
        shown = reply.json()
        reply = reply.with_json({**shown, "success_codes": [201], "report": {"headers": ["ETag"]}})
    if ask.operation in ("getUpload", "reportUploadedPart"):
        reply = attrs.evolve(reply, body=other_etags(reply.body))
    if api and reply.body:
        headers["content-type"] = "application/json;charset=UTF-8"
        if ask.headers.get("accept-encoding") != "identity":
            headers["content-encoding"] = "gzip"
            reply = attrs.evolve(reply, body=gzip.compress(reply.body))
    return attrs.evolve(reply, headers={**reply.headers, **headers})


def test_manners_of_gateways_are_no_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirected slashes, OPTIONS, gzip, closed connections, other ETags and success codes of storage."""
    monkeypatch.setitem(DEFECTS, "manners", manners)
    with served("manners", SEED) as mock:
        target = attrs.evolve(mock, own=False, start=(), run="gateway")
        raw = raw_client.run(target, raw_client.CLAIMS)
        unit = schemathesis_run.run(target, ("examples",), SEED)
        model = suite.model(suite.Run(target, Options(SEED)), examples=2, steps=10)
    assert [finding.message for outcome in (raw, unit, model) for finding in outcome.findings] == []
    assert "a slash at the end of the path" in [note.shown.kind for note in notes([raw])]


@pytest.mark.parametrize("body", [b"<h1>401</h1>", b'{"message": "Unauthorized"}'], ids=["HTML", "JSON"])
def test_an_answer_of_a_gateway_is_called_so(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it refuses bad tokens itself, a sentence says that the API did not answer."""

    async def refuses(ask: Ask, way: Way) -> Reply:
        return await way.on(ask) if ask.token == TOKEN else Reply(401, {"content-type": "application/json"}, body)

    monkeypatch.setitem(DEFECTS, "refuses", refuses)
    with served("refuses", SEED) as mock:
        target = attrs.evolve(mock, own=False, start=(), run="gateway", other_token=None)
        outcome = raw_client.run(target, [each for each in raw_client.CLAIMS if each.__name__.startswith("nobody")])
    (cause,) = causes([outcome])
    assert "It looks as if a gateway answered, not the API" in report.describe(1, cause, target)


def test_a_used_up_rate_limit_is_waited_for() -> None:
    """On a server that is not ours, so that its limit is no finding."""
    with MockServer(tokens=(TOKEN,), projects=[PROJECT], rate_limit=(20, 1.0)) as mock:
        api = Target(mock.base_url, TOKEN, PROJECT, own=False).api()
        assert {api.call("listUploads").status for _ in range(50)} == {200}
        api.close()
