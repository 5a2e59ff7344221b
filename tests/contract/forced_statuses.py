"""Brings out the statuses that no other phase saw, with the mock's faults and a second mock with a small limit.

A fault makes the mock answer with the status; what is proved is that the answer has the form that the document
declares for it. On any other server there are no faults, and this phase does nothing.
"""

from collections.abc import Iterable
from typing import Final

from tests.contract import document, rules
from tests.contract.client import CallCounts
from tests.contract.findings import Finding, Outcome
from tests.contract.requests.client import RawClient, valid_request
from tests.contract.server import Target, mock_arguments, started

# Declared, and beyond what the mock does or can be made to do.
UNREACHABLE: Final = {
    (
        "completeUpload",
        200,
    ): "the document allows it for platforms that answer 200; the mock answers 201, as the newest source says",
    ("createFolder", 201): "the document allows it; the mock answers 200, as the vendor's OpenAPI says",
}
CALLS_ALLOWED: Final = 4


def run(target: Target, seen: CallCounts, seed: int, *, limits: bool = True) -> Outcome:
    """Force every declared status that was not seen yet. `limits`: 429 too, on a second mock."""
    outcome = Outcome("forced statuses", own=target.own)
    if not target.own:
        return outcome
    with outcome.timed():
        if limits:
            rate_limits(outcome, seed)
        faults(outcome, target, CallCounts.of((seen, outcome.counts)).never_seen())
    return outcome


def rate_limits(outcome: Outcome, seed: int) -> None:
    """A mock with a small limit refuses every operation but getRateLimit when the limit is used up."""
    arguments = mock_arguments(seed, rate_limit=f"{CALLS_ALLOWED}/3600")
    with started(arguments) as limited, RawClient.at(limited) as raw:
        with outcome.claim(f"{CALLS_ALLOWED} calls are answered, and the next is refused", raw.api.trace):
            for left in reversed(range(CALLS_ALLOWED)):
                answer = raw.api.call("listUploads").expect(200)
                if answer.headers["x-ratelimit-remaining"] != str(left):
                    raise answer.broken(
                        "rate_countdown", f"{answer.headers['x-ratelimit-remaining']} calls left, expected {left}"
                    )
        for operation in document.operations().values():
            path = operation.url(
                upload_id="x", part_number=1, file_id="0" * 24, project_owner="contract", project_name="suite"
            )
            with outcome.claim(f"{operation.id} obeys the rate limit", raw.api.trace):
                answer = raw.api.send(operation.method, path)
                answer.expect(200 if operation.id == rules.NEVER_COUNTED else 429, check="rate_limit")
                if answer.headers["x-ratelimit-remaining"] != "0":
                    raise answer.broken("rate_limit", "X-RateLimit-Remaining is not 0 although the limit is used up")
        with outcome.claim("each token has its own limit"):
            raw.api.call("listUploads", token=limited.other_token).expect(200, check="rate_limit_per_token")
        outcome.counts.update(raw.api.counts)


def faults(outcome: Outcome, target: Target, missing: Iterable[tuple[str, int]]) -> None:
    """Script each missing status, send a valid request, and judge the answer."""
    with RawClient.at(target) as raw:
        for operation_id, status in missing:
            if status < 400 or (operation_id, status) in UNREACHABLE:
                continue  # a fault can only refuse
            with outcome.claim(f"{operation_id} answers {status} as declared", raw.api.trace):
                raw.api.reset_mock()
                raw.known.clear()
                request = valid_request(raw, document.operations()[operation_id])
                raw.api.mock("POST", "faults", {"on": operation_id, "then": "status", "status": status}).expect(200)
                raw.api.send(**request).expect(status, check="forced_status")
        raw.api.reset_mock()
        outcome.counts.update(raw.api.counts)


def demand_everything(outcome: Outcome, seen: CallCounts, *, follows: bool = False) -> None:
    """Note declared statuses that no phase saw, as a finding unless it `follows` from others."""
    missing: dict[str, list[str]] = {}
    for operation_id, status in seen.never_seen():
        if (operation_id, status) not in UNREACHABLE:
            missing.setdefault(operation_id, []).append(str(status))
    if not missing:
        outcome.found("every declared status was seen", None)
        return
    listed = "; ".join(f"{operation_id} {', '.join(statuses)}" for operation_id, statuses in missing.items())
    message = f"declared statuses were not seen: {listed}"
    if follows:
        outcome.too_few.append(message)
    else:
        outcome.found("every declared status was seen", Finding("never_seen", message))
