"""What schemathesis loads, by `hooks` in schemathesis.toml: seeding, seeding, the PUT to storage, and the own checks.

From the environment: CONTRACT_TOKEN, CONTRACT_PROJECT (owner/name that can be written to), CONTRACT_URL (the server's
base URL), CONTRACT_RUN (part of every name, so that runs do not meet on one server), CONTRACT_RESET (not empty: the
server is a mock of our own, and may be reset) and CONTRACT_FACTS (a file to write to at the end: how many calls were
made, and which requests lead to each failure).
"""

import atexit
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis import HookContext
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.generation.stateful.state_machine import APIStateMachine
from schemathesis.openapi.checks import EnsureResourceAvailability

from tests.contract import rules
from tests.contract.answer import Answer, Broken
from tests.contract.call_counts import CallCounts
from tests.contract.client import ApiClient
from tests.contract.known_uploads import SMALL, KnownUploads
from tests.contract.schemathesis import checks
from tests.contract.schemathesis.case_seeding import CaseSeeding
from tests.contract.trace import Trace, to_json

Case = schemathesis.Case[Any]

TOKEN = os.environ["CONTRACT_TOKEN"]
PROJECT = os.environ.get("CONTRACT_PROJECT", "contract/suite")
URL = os.environ.get("CONTRACT_URL", "http://127.0.0.1:8080/v2")
FAULTY = (ValueError, KeyError, TypeError, AttributeError, Broken)  # an answer lacks what the document promises
LARGEST_PUT = 2**20  # bytes; a part of the usual size would only show how fast the disk is

api = ApiClient(URL, TOKEN, judge=False)
known = KnownUploads(api, PROJECT, os.environ.get("CONTRACT_RUN", "st"))
seeding = CaseSeeding(known)
counts = CallCounts()
countdown = rules.Countdown()
checks.register(known, countdown)


def operation_id(case: Case) -> str:
    name: str = case.operation.definition.raw["operationId"]
    return name


cases: dict[str, tuple[Trace, Answer]] = {}  # by the id of a case: where it stands among all requests
failed: dict[str, None] = {}  # ids of cases, in their order


with contextlib.suppress(*FAULTY):  # whatever is wrong with a first upload, the checks will tell
    known.learn()
if os.environ.get("CONTRACT_RESET"):
    api.reset_mock()


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    try:
        seeding.fit(operation_id(case), case)
    except FAULTY:
        return  # the server is at fault in the seeding: the case goes as it was drawn, and the checks will tell


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    name = operation_id(case)
    answer = checks.answer_of(response, case)
    api.trace.add(answer)
    cases[case.id] = api.trace, answer
    counts.add(answer.operation.id if answer.operation else None, response.status_code)
    if 200 <= response.status_code < 300 and answer.operation and answer.operation.id == name:
        try:
            remember(name, case, answer)
        except FAULTY:
            return  # not the body that the document promises: the checks tell


def remember(name: str, case: Case, answer: Answer) -> None:
    """Note what an accepted request has changed; put the bytes where a part URL was given."""
    path: dict[str, Any] = case.path_parameters
    body: Any = case.body
    upload = known.uploads.get(str(path.get("upload_id")))
    if name == "startUpload" and isinstance(body, dict):
        known.note_started(body, answer)
    elif name == "createFolder":
        known.note_folder(answer.field("id"))
    elif name == "deleteFile":
        known.forget(str(path["file_id"]))
    elif upload is None:
        return
    elif name == "getPartUrl":
        number = int(path["part_number"])
        if upload.length(number) <= LARGEST_PUT and number <= SMALL:
            known.put(upload, number, answer.json())
    elif name == "reportUploadedPart" and isinstance(body, dict):
        upload.note_report(body)
    elif name == "reportUploadedParts" and isinstance(body, dict):
        for report in body["parts"]:
            upload.note_report(report)
    elif name in ("completeUpload", "abortUpload"):
        upload.ended = True
        if name == "completeUpload":
            known.note_file(answer.field("id"))


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Completing ends an upload as deleting does, which schemathesis cannot know: 404 is right afterwards."""
    if isinstance(failure, EnsureResourceAvailability):
        upload = known.uploads.get(str(case.path_parameters.get("upload_id")))
        if upload is not None and upload.ended:
            return False
    # A check may send a request of its own, which comes by no other hook: what led to it is what led to the last case.
    failed[case.id if case.id in cases else next(reversed(cases), "")] = None
    return True


def end_scenario(machine: APIStateMachine) -> None:
    """Begin each scenario of the stateful phase with a server as new.

    What a scenario draws depends on the answers it gets. When those depend on the scenarios before it, Hypothesis gives
    up ("data generation behaved differently"), and schemathesis calls that a success.
    """
    if os.environ.get("CONTRACT_RESET"):
        api.trace = Trace()
        api.reset_mock()
        known.clear()
        seeding.turn = 0
        countdown.clear()


setattr(APIStateMachine, "teardown", end_scenario)  # noqa: B010 - not a method of ours to assign, says mypy


@atexit.register
def write_facts() -> None:
    if not os.environ.get("CONTRACT_RESET"):
        known.tidy()
    counts.update(api.counts)
    if "CONTRACT_FACTS" in os.environ:
        traced = {name: cases[name] for name in failed if name in cases}
        steps = {name: to_json(trace.before(answer)) for name, (trace, answer) in traced.items()}
        Path(os.environ["CONTRACT_FACTS"]).write_text(json.dumps({"counts": counts.to_json(), "steps": steps}))
