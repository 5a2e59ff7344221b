"""The hooks that schemathesis.toml names: case seeding, the PUT to storage, and the checks of the suite.

From the environment: CONTRACT_TOKEN, and CONTRACT_TARGET, a JSON object with `url` (the server's base URL), `project`
(owner/name that can be written to), `run` (part of every name, so that runs do not meet on one server), `own` (a mock
of ours, which may be reset) and `facts` (a file to write to at the end: how many calls were made, and which requests
lead to each failure).
"""

import atexit
import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import schemathesis
from schemathesis import HookContext
from schemathesis.core.failures import Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response
from schemathesis.generation.meta import CONTENT_TYPE_PROBES, CoverageScenario, coverage_scenario
from schemathesis.generation.stateful.state_machine import APIStateMachine
from schemathesis.openapi.checks import EnsureResourceAvailability

from tests.contract import document, rules
from tests.contract.answer import TOKEN_HEADER, Answer, Request
from tests.contract.client import ApiClient, CallCounts
from tests.contract.known_uploads import FAULTY, SMALL, KnownUploads
from tests.contract.model import asserts
from tests.contract.schemathesis.seeding import LARGEST_PUT, CaseSeeding
from tests.contract.trace import Trace, to_json

Case = schemathesis.Case[Any]
LISTS: Final = frozenset({"listUploads", "listFiles", "listFolder"})
TARGET: Final[dict[str, Any]] = {
    "url": "http://127.0.0.1:8080/v2", "project": "contract/suite", "run": "st", "own": False, "facts": "",
    **json.loads(os.environ.get("CONTRACT_TARGET", "{}")),
}  # fmt: skip

api = ApiClient(TARGET["url"], os.environ["CONTRACT_TOKEN"], judge=False, patient=not TARGET["own"])
known = KnownUploads(api, TARGET["project"], TARGET["run"])
seeding = CaseSeeding(known)
counts = CallCounts()
countdown = rules.Countdown()


def operation_id(case: Case) -> str:
    name: str = case.operation.definition.raw["operationId"]
    return name


cases: dict[str, tuple[Trace, Answer]] = {}  # by the id of a case
failed: dict[str, None] = {}  # ids of cases, in their order


with contextlib.suppress(*FAULTY):  # the checks will find whatever is wrong
    known.learn()
if TARGET["own"]:
    api.reset_mock()


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    try:
        seeding.fit(operation_id(case), case)
    except FAULTY:
        return  # the server failed in the seeding: the case is sent as it was drawn, and the checks will find why


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    name = operation_id(case)
    answer = answer_of(response, case)
    if answer.headers.get("x-ratelimit-remaining") == "0" and not TARGET["own"]:
        with contextlib.suppress(*FAULTY):
            api.call("listUploads")  # which waits if the rate limit is used up
    api.trace.add(answer)
    cases[case.id] = api.trace, answer
    counts.add(answer.operation.id if answer.operation else None, response.status_code)
    if answer.operation is None or answer.operation.id != name:
        return
    with contextlib.suppress(*FAULTY):  # not the body that the document declares: the checks find that
        known.observe(answer)
        upload = known.uploads.get(str(case.path_parameters.get("upload_id")))
        if name == "getPartUrl" and answer.status == 200 and upload is not None:
            part = int(case.path_parameters["part_number"])
            if upload.length(part) <= LARGEST_PUT and part <= SMALL:
                known.put(upload, part, answer.json())


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """A completed upload is gone, which schemathesis cannot know: 404 is right afterwards."""
    if isinstance(failure, EnsureResourceAvailability):
        upload = known.uploads.get(str(case.path_parameters.get("upload_id")))
        if upload is not None and upload.ended:
            return False
    # A check may send a request itself, which no other hook sees: the requests before it are those of the last case.
    failed[case.id if case.id in cases else next(reversed(cases), "")] = None
    return True


def end_scenario(machine: APIStateMachine) -> None:
    """Begin each scenario of the stateful phase with a reset server.

    What a scenario draws depends on its answers. If those depend on earlier scenarios, Hypothesis gives up ("data
    generation behaved differently"), and schemathesis reports a success.
    """
    if TARGET["own"]:
        api.trace = Trace()
        api.reset_mock()
        known.clear()
        seeding.turn = 0
        countdown.clear()


setattr(APIStateMachine, "teardown", end_scenario)  # noqa: B010 - mypy refuses to assign a method


@atexit.register
def write_facts() -> None:
    if not TARGET["own"]:
        known.tidy()
    counts.update(api.counts)
    if TARGET["facts"]:
        traced = {name: cases[name] for name in failed if name in cases}
        steps = {name: to_json(trace.before(answer)) for name, (trace, answer) in traced.items()}
        Path(TARGET["facts"]).write_text(json.dumps({"counts": counts.to_json(), "steps": steps}))


def answer_of(response: Response, case: Case) -> Answer:
    """Schemathesis' response in the suite's own terms."""
    sent = response.request
    target = sent.path_url or "/"
    path = target.partition("?")[0].removeprefix(api.prefix)
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    request = Request(
        sent.method or "",
        api.origin,
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


rule_check(
    lambda answer: rules.error_body(answer) or (rules.error_place(answer) if TARGET["own"] else None),
    "error_body_conformance",
)
rule_check(rules.media_type, "body_where_declared")
rule_check(rules.rate_headers, "rate_limit_headers")
rule_check(lambda answer: rules.token_in(answer, [api.token]), "token_stays_secret")


@schemathesis.check
def rate_limit_counts_down(ctx: Any, response: Response, case: Case) -> None:
    """Each counted call lowers the count."""
    answer = answer_of(response, case)
    if answer.request.headers.get(TOKEN_HEADER) == api.token and (wrong := countdown.observe(answer)):
        raise AssertionError(wrong)


@schemathesis.check
def unsupported_media_type(ctx: Any, response: Response, case: Case) -> None:
    """A body whose content type is not JSON is refused with 415, unless the path is refused first."""
    if coverage_scenario(case) in CONTENT_TYPE_PROBES and _takes_body(case) and response.request.body:
        assert response.status_code in (400, 401, 404, 415), f"{response.status_code}, expected 415"
        if coverage_scenario(case) is CoverageScenario.UNSUPPORTED_CONTENT_TYPE:
            assert response.status_code in (401, 404, 415), f"{response.status_code}, expected 415"


@schemathesis.check
def undeclared_method(ctx: Any, response: Response, case: Case) -> None:
    """A method that a path does not have is refused with 405 and a list of those it has."""
    if coverage_scenario(case) is not CoverageScenario.UNSPECIFIED_HTTP_METHOD:
        return
    answer = answer_of(response, case)
    if document.methods_of(answer.request.path) and answer.status != 401 and (broken := rules.other_method(answer)):
        raise AssertionError(broken[1])


@schemathesis.check
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


@schemathesis.check
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
    limits = [int(case.query["limit"])] if case.query.get("limit") else rules.DEFAULT_LIMITS
    offset = int(case.query.get("offset") or 0)
    items = json.loads(response.content)["items"]
    right = [max(0, min(limit, int(total[0]) - offset)) for limit in limits]
    assert len(items) in right, (
        f"{len(items)} items, expected {right[0]} (total {total[0]}, offset {offset}, limit {limits[0]})"
    )


@schemathesis.check
def reported_parts(ctx: Any, response: Response, case: Case) -> None:
    """`list_parts` shows exactly the reports of this upload."""
    if case.operation.definition.raw.get("operationId") != "getUpload" or response.status_code != 200:
        return
    upload = known.uploads.get(str(case.path_parameters.get("upload_id")))
    if upload is None:
        return
    shown, reported = json.loads(response.content), sorted(upload.reported.items())
    count = shown["uploaded_parts_count"]
    assert count == len(reported), f"uploaded_parts_count is {count}; {len(reported)} were reported"
    listed = asserts.listed(shown) if "parts" in shown else reported
    assert listed == reported, f"{listed} are listed; {reported} were reported"


def _takes_body(case: Case) -> bool:
    return "requestBody" in case.operation.definition.raw
