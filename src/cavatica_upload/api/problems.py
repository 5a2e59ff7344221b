"""From an answer that is not success to the error that is raised: the platform's JSON, a proxy's page, or nothing."""

import json
import re
from collections.abc import Mapping

import attrs

from cavatica_upload.errors import (
    ApiError,
    BadRequest,
    CompleteRefused,
    Conflict,
    Forbidden,
    NameTaken,
    NotFound,
    PartNotReserved,
    RateLimited,
    ServerError,
    Unauthorized,
    UnexpectedAnswer,
    UploadGone,
)
from cavatica_upload.redact import scrub


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, operation: str | None = None, hint: str | None = None
) -> ApiError:
    """Make the error of an answer, whatever its status and body are; `hint` stands for the usual one."""
    problem = read_problem(status, headers, body)
    kind = _kind(status, problem.code)
    sentence = f"{operation or 'The request'} failed: the server answered {status}"
    if problem.code is not None:
        sentence += f" (code {problem.code})"
    sentence += f": {problem.reason.rstrip('.')}." if problem.reason else "."
    return kind(
        sentence,
        hint or _hint(status, problem.code, kind),
        status=status,
        code=problem.code,
        reason=problem.reason,
        more_info=problem.more_info,
        operation=operation,
        request_id=problem.request_id,
    )


@attrs.frozen
class Problem:
    """What could be read of a failure; everything in it can be shown.

    `code` is the platform's number, None where the answer is not the platform's.
    """

    code: int | None
    reason: str | None
    more_info: str | None
    request_id: str | None


def read_problem(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """Read an answer that is not success.

    The platform sends `status`, `code`, `message` and `more_info` (seen in sevenbridges-python); for a path that it
    does not know `status` is a word and there is no `code`.
    """
    known = {name.lower(): value for name, value in headers.items()}
    problem = _json_object(body)
    reason = _text(problem.get("message"))
    if 300 <= status < 400:
        reason = f"a redirect to {_host(known.get('location', ''))}, which is not followed"
    elif reason is None and not problem and body.strip():
        reason = _page_title(body) or "something that is not JSON"
    return Problem(
        code=_whole_number(problem.get("code")),
        reason=reason,
        more_info=_text(problem.get("more_info")),
        request_id=_text(known.get("x-request-id")),
    )


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _whole_number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None


def _text(value: object) -> str | None:
    return scrub(value) or None if isinstance(value, str) else None


def _page_title(body: bytes) -> str | None:
    found = re.search(rb"<title[^>]*>([^<]*)</title>", body[:4096], re.IGNORECASE)
    title = scrub(found[1].decode("utf-8", "replace")) if found else ""
    return f"an HTML page, “{title}”" if title else None


def _host(url: str) -> str:
    found = re.match(r"https?://(?:[^/?#@]*@)?([^/?#\s]+)", url, re.IGNORECASE)
    return scrub(found[1]) if found else "another place"


# docs.cavatica.org, API status codes
_KIND_OF_CODE: Mapping[tuple[int, int], type[ApiError]] = {
    (404, 8003): UploadGone,
    (409, 8005): NameTaken,
    (409, 5003): NameTaken,
    (409, 5030): NameTaken,
    (409, 8007): CompleteRefused,
    (409, 8008): PartNotReserved,
}
_KIND_OF_STATUS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
}
_HINT_OF_KIND: Mapping[type[ApiError], str] = {
    Unauthorized: "Check the token: make a new one on the platform's developer page, and see that it belongs to "
    "this endpoint.",
    Forbidden: "Ask an administrator of the project for write permission, or use another project.",
    UploadGone: "Start the upload again.",
    NameTaken: "Choose another name, or allow the existing one to be replaced.",
    CompleteRefused: "Run the same command again: parts that are missing or wrong are sent again.",
    RateLimited: "Wait until the rate limit resets, and let fewer programs share the token.",
    ServerError: "The platform is in trouble, try again later.",
    UnexpectedAnswer: "Check the endpoint, and whether a proxy answers in its place.",
}


def _kind(status: int, code: int | None) -> type[ApiError]:
    if code is not None and (status, code) in _KIND_OF_CODE:
        return _KIND_OF_CODE[status, code]
    if status in _KIND_OF_STATUS:
        return _KIND_OF_STATUS[status]
    if 400 <= status < 500:
        return BadRequest
    return ServerError if status >= 500 else UnexpectedAnswer


def _hint(status: int, code: int | None, kind: type[ApiError]) -> str | None:
    if status == 503 and code == 0:
        return "The platform is down for maintenance, try again later."
    if code is None and status in (403, 404, 405, 407):
        # The platform's own refusals carry a code.
        return _HINT_OF_KIND[UnexpectedAnswer]
    return _HINT_OF_KIND.get(kind)
