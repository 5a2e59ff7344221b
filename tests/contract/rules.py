"""What is true of every answer, whatever the request was.

A rule is a function of one answer that returns what is wrong, or None. `judge` applies them all; schemathesis
applies them as checks (`hooks`).
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from tests.contract import document
from tests.contract.answer import SHORT_TOKEN, Answer

# The error codes of uploads, files and projects with their HTTP status, from the published table. They are repeated
# here on purpose: the suite judges a server and does not ask one.
HTTP_STATUS: Final[dict[int, int]] = {
    0: 503,
    1000: 429,
    **dict.fromkeys((3001, 5001, 5008, 8001, 8002, 90002), 403),
    **dict.fromkeys((3002, 5002, 5026, 8003, 8004, 90003), 404),
    **dict.fromkeys((3012, 5004, 5005, 5022, 5024, 5029, 5031, 5033), 400),
    **dict.fromkeys((8010, 8011, 8012, 8013, 8014, 8015, 90000), 400),
    **dict.fromkeys((5003, 5030, 8005, 8006, 8007, 8008, 8009, 90007), 409),
    **dict.fromkeys((5000, 8000, 90004, 90005), 503),
    90001: 401,
    90006: 405,
    90008: 415,
    90009: 500,
    90010: 501,
}

# The codes that clients act on, on any server.
NO_SUCH_UPLOAD: Final = 8003
NOT_COMPLETE: Final = 8007
NOT_DECODED: Final = 90009
# The codes whose meaning names what was tried, with the operations at which they make sense.
_REPORTS: Final = frozenset({"getPartUrl", "reportUploadedPart", "reportUploadedParts", "completeUpload"})
_NAMES: Final = frozenset({"startUpload", "completeUpload", "createFolder", "editFiles"})
ONLY_AT: Final[dict[int, frozenset[str]]] = {
    **dict.fromkeys((8008, 8012, 8014, 8015), _REPORTS),
    **dict.fromkeys((5003, 5030), _NAMES),
    8007: frozenset({"completeUpload"}),
    8009: frozenset({"abortUpload"}),
    8013: frozenset({"startUpload"}),
}
DEFAULT_LIMITS: Final = (50, 25)  # items on a page; the sources disagree
NAME_TAKEN: Final = frozenset({5003, 8005, 8006})
BAD_PART_NUMBER: Final = frozenset({8012, 8014, 8015, 90000})

UNLIMITED: Final = 2**63 - 1  # calls left if there is no limit
RATE_HEADERS: Final = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
UNROUTED: Final = frozenset({400, 401, 404, 405})
NEVER_COUNTED: Final = "getRateLimit"

Rule = Callable[[Answer], str | None]


def declared_status(answer: Answer) -> str | None:
    """The operation declares the status. A path without an operation is refused."""
    if answer.operation is None:
        return None if answer.status in UNROUTED else "expected a refusal, as the path has no operation"
    if answer.status not in answer.operation.declared:
        return f"the document declares only {', '.join(map(str, sorted(answer.operation.declared)))}"
    return None


def media_type(answer: Answer) -> str | None:
    """A body claims to be JSON and is. If the document declares no body, there is none."""
    declared = answer.operation.declared.get(answer.status) if answer.operation else None
    if declared is not None and declared.schema is None:
        return f"the document declares no body; the answer has {len(answer.body)} bytes" if answer.body else None
    kind, _, parameters = answer.headers.get("content-type", "").lower().partition(";")
    if kind.strip() != "application/json":
        return f"Content-Type is {kind.strip() or 'missing'}, expected application/json"
    charset = re.search(r"charset=[\"']?([^\s;\"']+)", parameters)
    try:
        text = answer.body.decode()
        json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
        if charset is not None and answer.body.decode(charset[1]) != text:
            return f"the body is in UTF-8, as JSON is, and Content-Type says {charset[1]}"
    except LookupError as error:
        return f"Content-Type names an {error}"
    except (ValueError, RecursionError) as error:
        return f"the body is not JSON ({error}): {answer.body[:60]!r}"
    return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which no key stands twice: which of the two counts depends on the reader."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def body_schema(answer: Answer) -> str | None:
    """The body fits the schema of its status."""
    if answer.operation is None:
        return None
    validator = document.validator(answer.operation.id, answer.status)
    if validator is None:
        return None
    for error in validator.iter_errors(json.loads(answer.body)):
        where = "/".join(map(str, error.instance_path)) or "the body"
        return f"{where}: {error.message[:200]}"
    return None


def rate_headers(answer: Answer) -> str | None:
    """The rate-limit headers that the document requires are present and valid."""
    declared = answer.operation.declared.get(answer.status) if answer.operation else None
    required = declared.headers if declared else frozenset()
    if missing := sorted(required - set(answer.headers)):
        return f"the header {missing[0]} is missing"
    present = [answer.headers[name] for name in RATE_HEADERS if name in answer.headers]
    if unlimited(answer):
        present[0] = str(UNLIMITED)
    if not all(value.isascii() and value.isdigit() for value in present):
        return f"the rate-limit headers are not integers: {present}"
    if len(present) < len(RATE_HEADERS):
        return "a rate-limit header is missing" if present else None
    limit, remaining, reset = map(int, present)
    if remaining > limit:
        return f"X-RateLimit-Remaining is {remaining}, more than the limit of {limit}"
    if not -60 <= reset - answer.clock.timestamp() <= 86400:
        return f"X-RateLimit-Reset is {reset}, expected seconds since 1970, at most a day from now"
    return None


def unlimited(answer: Answer) -> bool:
    """Whether calls are not limited: the limit is -1, as the platform shows it for instances."""
    return answer.headers.get("x-ratelimit-limit") == "-1"


def error_body(answer: Answer) -> str | None:
    """An error repeats its HTTP status and has a message; its code, if it has one, is a known one of that status."""
    errors = _errors(answer)
    if answer.status >= 400:
        if not errors:
            return f"the error is not a JSON object: {answer.body[:60]!r}"
        status = errors[0].get("status")
        if not errors[0].get("message"):
            return "the error has no message"
        if answer.operation is None and answer.status == 404 and isinstance(status, str):
            return None  # seen on the real platform if no operation was reached
        if status != answer.status:
            return f"the status in the body is {status!r}"
    for error in errors:
        code = error.get("code", 0)
        if not isinstance(code, int | float) or code not in HTTP_STATUS:
            return f"the code {code!r} is not in the published table"
        if "code" in error and HTTP_STATUS[int(code)] != error.get("status"):
            return f"the code {code} belongs to status {HTTP_STATUS[int(code)]}"
    return None


def error_place(answer: Answer) -> str | None:
    """The code of an error makes sense at the operation. No source says this: it is judged on our own servers only."""
    operation = answer.operation
    if operation is None:
        return None
    for error in _errors(answer):
        code = error.get("code")
        if not isinstance(code, int):
            continue
        if 8000 <= code < 9000 and not operation.path.startswith("/upload/"):
            return f"the code {code} is one of uploads"
        if 5000 <= code < 6000 and operation.path.startswith(("/projects/", "/rate_limit")):
            return f"the code {code} is one of files"
        if operation.id not in ONLY_AT.get(code, (operation.id,)):
            return f"the code {code} makes sense at {', '.join(sorted(ONLY_AT[code]))} only"
    return None


def _errors(answer: Answer) -> list[dict[str, Any]]:
    """The error that an answer is, or those among the outcomes of edits, if they are objects."""
    edited = answer.operation is not None and answer.operation.id == "editFiles"
    if answer.status < 400 and not edited:
        return []
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return []
    if answer.status >= 400:
        found = [body]
    else:
        items = body.get("items") if isinstance(body, dict) else None
        found = [item.get("error") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return [error for error in found if isinstance(error, dict)]


def other_method(answer: Answer) -> tuple[str, str] | None:
    """A method that a path does not have is refused with 405 and a list of those it has."""
    declared = document.methods_of(answer.request.path)
    if answer.status != 405:
        return "method_not_allowed", "expected 405 for a method that the path does not have"
    allowed = {method.strip() for method in answer.headers.get("allow", "").split(",")} - {"HEAD", "OPTIONS"}
    if allowed != declared:
        return "allow_header", "expected an Allow header with the methods of the document"
    return None


RULES: Final[tuple[Rule, ...]] = (declared_status, media_type, error_body, body_schema, rate_headers)


def breaches(answer: Answer, *, own: bool = False) -> Iterable[tuple[str, str]]:
    """The name of each rule that the answer breaks, with what is wrong. The first is the most basic one.

    `own`: the server is ours.
    """
    for rule in (*RULES, error_place) if own else RULES:
        try:
            wrong = rule(answer)
        except (ValueError, RecursionError):  # not JSON: media_type has said so
            continue
        if wrong is not None:
            yield rule.__name__, wrong


def judge(answer: Answer, *, own: bool = False) -> None:
    """Raise Broken for the first rule that the answer breaks. `own`: the server is ours."""
    for check, wrong in breaches(answer, own=own):
        raise answer.broken(check, wrong)


def token_in(answer: Answer, secrets: Iterable[str]) -> str | None:
    """Where an answer contains a token; None if nowhere. A short token may be part of any word and is ignored."""
    for secret in secrets:
        if len(secret) < SHORT_TOKEN:
            continue
        needle = secret.encode()
        if needle in answer.body:
            return "the body contains the token"
        if any(secret in value for value in answer.headers.values()):
            return "a header contains the token"
    return None


class Countdown:
    """Checks one token's rate limit: within a window it stays, and each counted call lowers what remains of it."""

    def __init__(self) -> None:
        self._last: tuple[int, int, int] | None = None

    def clear(self) -> None:
        """The server was reset."""
        self._last = None

    def observe(self, answer: Answer) -> str | None:
        """What is wrong with the count after this answer, if anything. Answers must be given in their order."""
        if any(name not in answer.headers for name in RATE_HEADERS) or answer.operation is None or unlimited(answer):
            return None
        limit, remaining, reset = (int(answer.headers[name]) for name in RATE_HEADERS)
        before, self._last = self._last, (remaining, reset, limit)
        if before is None or reset != before[1]:
            return None
        if limit != before[2]:
            return f"X-RateLimit-Limit was {before[2]} before this call and is {limit} after it"
        free = answer.operation.id == NEVER_COUNTED or answer.status == 429
        if remaining > before[0] or (remaining == before[0] and not free and before[0] > 0):
            return f"X-RateLimit-Remaining was {before[0]} before this call and is {remaining} after it"
        return None
