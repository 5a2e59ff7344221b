"""The rules can fail: each gets an answer that breaks it, and one that does not."""

import json
import time
from typing import Any

import attrs
import pytest

from tests.contract import document, rules
from tests.contract.answer import Answer, Request
from tests.contract.reproduce import curl
from tests.contract.server import Target

RATE = {"x-ratelimit-limit": "1000", "x-ratelimit-remaining": "9", "x-ratelimit-reset": str(int(time.time()) + 3600)}
JSON = {"content-type": "application/json"}
PROBLEM = {"status": 404, "code": 8003, "message": "There is no such upload."}
STARTED = {"upload_id": "a", "project": "o/p", "name": "n", "part_size": 1, "parallel_uploads": True}


def answer(operation: str, status: int, body: Any = None, **headers: str | None) -> Answer:
    """An answer to an operation, good but for what is given."""
    found = document.operations()[operation]
    request = Request(found.method, "http://x", "/v2" + found.path, found.path, {}, None)
    all_headers = {**JSON, **RATE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    kept = {name: value for name, value in all_headers.items() if value is not None}
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(request, found, status, kept, data, 0.0)


GOOD = [
    answer("startUpload", 200, STARTED),
    answer("getUpload", 404, PROBLEM),
    answer("abortUpload", 204, content_type=None),
    answer("abortUpload", 204, content_type=None, x_ratelimit_limit="-1", x_ratelimit_remaining=str(2**63 - 1)),
    answer("reportUploadedParts", 200),
    answer("getUpload", 401, {"status": 401, "code": 90001, "message": "No."}, **dict.fromkeys(RATE)),
    answer("getUpload", 404, {"status": 404, "message": "A code is optional."}),
    answer("editFiles", 200, {"items": [{"error": {"status": 404, "message": "Here, too."}}]}),
]
BAD = [
    ("declared_status", answer("startUpload", 201, STARTED)),
    ("declared_status", answer("getUpload", 500, {**PROBLEM, "status": 500, "code": 90009})),
    ("media_type", answer("startUpload", 200, STARTED, content_type="text/html")),
    ("media_type", answer("startUpload", 200, b'{"upload_id": ')),
    ("media_type", answer("startUpload", 200, b"\xef\xbb\xbf" + json.dumps(STARTED).encode())),
    ("media_type", answer("startUpload", 200, json.dumps(STARTED).encode("utf-16"))),
    ("media_type", answer("startUpload", 200, {**STARTED, "load": float("nan")})),
    ("media_type", answer("startUpload", 200, b'{"name": "m", ' + json.dumps(STARTED).encode()[1:])),
    ("media_type", answer("abortUpload", 204, {})),
    ("media_type", answer("reportUploadedParts", 200, {})),
    ("body_schema", answer("startUpload", 200, {**STARTED, "part_size": "1"})),
    ("body_schema", answer("startUpload", 200, {key: value for key, value in STARTED.items() if key != "name"})),
    ("error_body", answer("getUpload", 404, {**PROBLEM, "status": 400})),
    ("error_body", answer("getUpload", 404, {**PROBLEM, "status": "NOT_FOUND"})),
    ("error_body", answer("getUpload", 404, {**PROBLEM, "code": 8013})),
    ("error_body", answer("getUpload", 404, {**PROBLEM, "code": 4711})),
    ("error_body", answer("getUpload", 404, {key: value for key, value in PROBLEM.items() if key != "message"})),
    ("error_body", answer("getUpload", 404, {**PROBLEM, "code": []})),
    ("error_body", answer("editFiles", 200, {"items": [{"error": {**PROBLEM, "code": 8013}}]})),
    ("body_schema", answer("editFiles", 200, {})),
    ("body_schema", answer("editFiles", 200, [])),
    ("body_schema", answer("editFiles", 200, {"items": 7})),
    ("body_schema", answer("editFiles", 200, {"items": [None]})),
    ("body_schema", answer("editFiles", 200, {"items": [{"error": None}]})),
    ("body_schema", answer("editFiles", 200, {"items": [{"error": {**PROBLEM, "code": {}}}]})),
    ("media_type", answer("editFiles", 200, b"[" * 99999)),
    ("rate_headers", answer("startUpload", 200, STARTED, x_ratelimit_remaining=None)),
    ("rate_headers", answer("startUpload", 200, STARTED, x_ratelimit_remaining="1001")),
    ("rate_headers", answer("startUpload", 200, STARTED, x_ratelimit_reset="1795345200000")),
    ("rate_headers", answer("startUpload", 200, STARTED, x_ratelimit_limit="many")),
    ("rate_headers", answer("startUpload", 200, STARTED, x_ratelimit_limit="-2")),
    ("rate_headers", answer("startUpload", 200, STARTED, x_ratelimit_limit="-1", x_ratelimit_remaining="-1")),
]


@pytest.mark.parametrize("good", GOOD, ids=lambda good: f"{good.label}-{good.status}")
def test_a_good_answer_breaks_no_rule(good: Answer) -> None:
    """An answer that fits the document has no finding."""
    assert list(rules.breaches(good)) == []


@pytest.mark.parametrize(("rule", "bad"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_a_bad_answer_breaks_its_rule(rule: str, bad: Answer) -> None:
    """Each rule finds what breaks it."""
    assert rule in [name for name, _ in rules.breaches(bad)]


@pytest.mark.parametrize(
    ("operation", "code"), [("startUpload", 8014), ("listFiles", 8010), ("getProject", 5004), ("getRateLimit", 8011)]
)
def test_the_place_of_a_code_is_judged_on_our_own_servers(operation: str, code: int) -> None:
    """No source says which operation answers with which code."""
    bad = answer(operation, 400, {"status": 400, "code": code, "message": "No."})
    assert "error_place" not in [name for name, _ in rules.breaches(bad)]
    assert "error_place" in [name for name, _ in rules.breaches(bad, own=True)]


@pytest.mark.parametrize(
    ("operation", "before", "after", "wrong"),
    [
        ("getUpload", 9, 8, False),
        ("getUpload", 9, 5, False),  # others may use the token too
        ("getUpload", 9, 9, True),
        ("getUpload", 9, 10, True),
        ("getRateLimit", 9, 9, False),
    ],
)
def test_the_count_goes_down(operation: str, before: int, after: int, wrong: bool) -> None:
    """A counted call lowers the count by at least one; getRateLimit does not."""
    countdown = rules.Countdown()
    assert countdown.observe(answer("listUploads", 200, {"items": []}, x_ratelimit_remaining=str(before))) is None
    verdict = countdown.observe(answer(operation, 200, {}, x_ratelimit_remaining=str(after)))
    assert (verdict is not None) is wrong
    assert countdown.observe(answer("getUpload", 200, {}, x_ratelimit_limit="8", x_ratelimit_remaining="0")) is not None


def test_no_window_is_waited_for_longer_than_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal whose window begins tomorrow is a finding, on a server that is not ours, too."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    api = Target("http://x/v2", "t", "o/p", own=False).api()
    body = {"status": 429, "code": 1000, "message": "Wait."}
    for seconds, waited in ((80_000, False), (300, True)):
        refused = answer("listUploads", 429, body, x_ratelimit_reset=str(int(time.time()) + seconds))
        assert api.waited(refused) is waited
    assert len(slept) == 1


def test_a_failure_of_head_is_no_gateway_s() -> None:
    """An answer to HEAD has no body; its content type says that the API failed."""
    failed = answer("getUpload", 500, **dict.fromkeys(RATE))
    failed = attrs.evolve(failed, request=attrs.evolve(failed.request, method="HEAD"))
    assert not failed.by_gateway
    assert attrs.evolve(failed, headers={"content-type": "text/html"}).by_gateway


def test_a_value_that_the_suite_lacks_is_named() -> None:
    """An operation that the document has gained says what the suite needs for it."""
    with pytest.raises(RuntimeError, match=r"getFile is new to the suite: give 'file_id' a value in valid_request"):
        document.operations()["getFile"].url(upload_id="x")


def test_a_token_in_an_answer_is_noticed() -> None:
    """In the body as in a header."""
    assert rules.token_in(answer("getUpload", 404, {**PROBLEM, "message": "t0k3n-t0k3n"}), ["t0k3n-t0k3n"])
    assert rules.token_in(answer("getUpload", 404, PROBLEM, x_debug="is t0k3n-t0k3n"), ["t0k3n-t0k3n"])
    assert rules.token_in(answer("getUpload", 404, PROBLEM), ["t0k3n-t0k3n"]) is None


def test_a_short_token_is_not_looked_for() -> None:
    """`tok` is part of every "token": a token of less than eight characters is ignored."""
    assert rules.token_in(answer("getUpload", 404, {**PROBLEM, "message": "The token is bad."}), ["tok"]) is None


def test_every_code_in_the_document_is_known() -> None:
    """The suite's table of codes and the examples of the document agree."""

    def errors(node: Any) -> list[dict[str, Any]]:
        if isinstance(node, dict):
            here = [node] if {"status", "message", "code"} <= node.keys() and isinstance(node["code"], int) else []
            return here + [found for value in node.values() for found in errors(value)]
        return [found for value in node for found in errors(value)] if isinstance(node, list) else []

    found = errors(document.load())
    assert len(found) > 10
    for error in found:
        assert rules.HTTP_STATUS[error["code"]] == error["status"], error


def test_a_curl_command_shows_the_request_without_the_token() -> None:
    """It can be pasted anywhere."""
    request = Request(
        "POST", "http://x", "/v2/a/../b?c='", "/a/../b", {"X-SBG-Auth-Token": "t0k3n-t0k3n", "A": "b c"}, b"{'}"
    )
    command = curl(request, Target("http://x/v2", "t0k3n-t0k3n", "o/p", own=False))
    assert command is not None
    assert "t0k3n" not in command
    assert "--path-as-is" in command
    assert '"X-SBG-Auth-Token: $TOKEN"' in command
