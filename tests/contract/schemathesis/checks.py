"""The checks that schemathesis lacks, loaded through `hooks`. A check returns nothing or raises.

Most apply a rule of `rules` to schemathesis' response. The others use the known uploads.
"""

import json
import os
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response
from schemathesis.generation.meta import CONTENT_TYPE_PROBES, CoverageScenario, coverage_scenario

from tests.contract import document, rules
from tests.contract.answer import TOKEN_HEADER, Answer, Request
from tests.contract.known_uploads import KnownUploads

Case = schemathesis.Case[Any]
LISTS: Final = {"listUploads", "listFiles", "listFolder"}
DEFAULT_LIMIT: Final = 50
TARGET: Final[dict[str, Any]] = {
    "url": "http://127.0.0.1:8080/v2", "project": "contract/suite", "run": "st", "own": False, "facts": "",
    **json.loads(os.environ.get("CONTRACT_TARGET", "{}")),
}  # fmt: skip
URL: Final = urlsplit(TARGET["url"])
ORIGIN: Final = f"{URL.scheme}://{URL.netloc}"
PREFIX: Final = URL.path.rstrip("/")


def answer_of(response: Response, case: Case) -> Answer:
    """Schemathesis' response in the suite's own terms."""
    sent = response.request
    target = sent.path_url or "/"
    path = target.partition("?")[0].removeprefix(PREFIX)
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    request = Request(
        sent.method or "",
        ORIGIN,
        target,
        path,
        {name: str(value) for name, value in sent.headers.items()},
        body if isinstance(body, bytes) else None,
    )
    operation = document.find(request.method, path)
    headers = {name.lower(): ", ".join(values) for name, values in response.headers.items()}
    return Answer(request, operation, response.status_code, headers, response.content, response.elapsed)


def rule_check(rule: Callable[[Answer], str | None], name: str) -> None:
    """Register a rule as a check of schemathesis."""

    def check(ctx: Any, response: Response, case: Case) -> None:
        wrong = rule(answer_of(response, case))
        if wrong is not None:
            raise AssertionError(f"{name}: {wrong}")

    check.__name__ = name
    check.__doc__ = rule.__doc__
    schemathesis.check(check)


def register(known: KnownUploads, countdown: rules.Countdown) -> None:
    """Register every check, with the known uploads and the countdown of the hooks."""
    rule_check(rules.error_body, "error_body_conformance")
    rule_check(rules.media_type, "body_where_declared")
    rule_check(rules.rate_headers, "rate_limit_headers")
    token = known.api.token

    @schemathesis.check
    def rate_limit_counts_down(ctx: Any, response: Response, case: Case) -> None:
        answer = answer_of(response, case)
        if answer.request.headers.get(TOKEN_HEADER) == token and (wrong := countdown.observe(answer)):
            raise AssertionError(wrong)

    @schemathesis.check
    def token_stays_secret(ctx: Any, response: Response, case: Case) -> None:
        if wrong := rules.token_in(answer_of(response, case), [token]):
            raise AssertionError(wrong)

    schemathesis.check(unsupported_media_type)
    schemathesis.check(undeclared_method)
    schemathesis.check(bad_body_by_itself)
    schemathesis.check(page_adds_up)

    @schemathesis.check
    def reported_parts(ctx: Any, response: Response, case: Case) -> None:
        _reported_parts(known, response, case)


def unsupported_media_type(ctx: Any, response: Response, case: Case) -> None:
    """A body whose content type is not JSON is refused with 415, unless the path is refused first."""
    if coverage_scenario(case) in CONTENT_TYPE_PROBES and _takes_body(case) and response.request.body:
        assert response.status_code in (400, 401, 404, 415), f"{response.status_code}, expected 415"
        if coverage_scenario(case) is CoverageScenario.UNSUPPORTED_CONTENT_TYPE:
            assert response.status_code in (401, 404, 415), f"{response.status_code}, expected 415"


def undeclared_method(ctx: Any, response: Response, case: Case) -> None:
    """A method that a path does not have is refused with 405 and a list of those it has."""
    if coverage_scenario(case) is not CoverageScenario.UNSPECIFIED_HTTP_METHOD:
        return
    answer = answer_of(response, case)
    if document.methods_of(answer.request.path) and answer.status != 401 and (broken := rules.other_method(answer)):
        raise AssertionError(broken[1])


def bad_body_by_itself(ctx: Any, response: Response, case: Case) -> None:
    """A bad body is refused with 400 if everything else of the request is valid."""
    meta = case.meta
    if (
        meta is None
        or coverage_scenario(case) in CONTENT_TYPE_PROBES
        or not meta.is_negative_at(ParameterLocation.BODY)
    ):
        return
    if all(not info.mode.is_negative for where, info in meta.components.items() if where != ParameterLocation.BODY):
        allowed = (200, 201, 400, 401, 404, 415)  # accepted: negative_data_rejection judges better whether it is bad
        assert response.status_code in allowed, f"{response.status_code}, expected 400"


def page_adds_up(ctx: Any, response: Response, case: Case) -> None:
    """The number of items on a page agrees with limit, offset and total."""
    operation_id = case.operation.definition.raw.get("operationId")
    if operation_id not in LISTS or response.status_code != 200 or case.meta is None:
        return
    if case.meta.is_negative_at(ParameterLocation.QUERY):
        return
    total = response.headers.get("x-total-matching-query")
    if not total:
        return
    limit = int(case.query.get("limit") or DEFAULT_LIMIT)
    offset = int(case.query.get("offset") or 0)
    items = json.loads(response.content)["items"]
    right = max(0, min(limit, int(total[0]) - offset))
    assert len(items) == right, (
        f"{len(items)} items, expected {right} (total {total[0]}, offset {offset}, limit {limit})"
    )


def _reported_parts(known: KnownUploads, response: Response, case: Case) -> None:
    """`list_parts` shows exactly the reports of this upload."""
    if case.operation.definition.raw.get("operationId") != "getUpload" or response.status_code != 200:
        return
    upload = known.uploads.get(str(case.path_parameters.get("upload_id")))
    if upload is None:
        return
    shown = json.loads(response.content)
    count = shown["uploaded_parts_count"]
    assert count == len(upload.reported), f"uploaded_parts_count is {count}; {len(upload.reported)} were reported"
    if "parts" in shown:
        numbers = [int(part["part_number"]) for part in shown["parts"]]
        assert sorted(numbers) == sorted(upload.reported), (
            f"parts {numbers} are listed; {sorted(upload.reported)} were reported"
        )
        for part in shown["parts"]:
            seen = part["response"]["headers"].get("ETag")
            reported = upload.reported[int(part["part_number"])]
            assert seen is None or reported is None or seen.strip('"') == reported, (
                f"the listed ETag is {seen}; {reported} was reported"
            )


def _takes_body(case: Case) -> bool:
    return "requestBody" in case.operation.definition.raw
