"""What a server says of a failure: the platform's JSON, other JSON, a proxy's page, or nothing."""

import json
import re
from collections.abc import Iterable, Mapping

import attrs

LONGEST_REASON = 400  # characters kept of what a server says of itself

_URL_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*", re.IGNORECASE)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` as one line that may be shown: no secrets, no URL queries, no control characters, not too long."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _URL_QUERY.sub(r"\1?…", text)
    # Terminals obey control characters, and half a surrogate pair cannot be written at all.
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


@attrs.frozen
class Problem:
    """What could be read of a failure; everything in it can be shown.

    `code` is the platform's number, None where the answer is not the platform's.
    """

    code: int | None
    reason: str | None
    more_info: str | None
    request_id: str | None


def read_problem(status: int, headers: Mapping[str, str], body: bytes, secrets: Iterable[str] = ()) -> Problem:
    """Read an answer that is not success.

    The platform sends `status`, `code`, `message` and `more_info` (seen in sevenbridges-python); for a path that it
    does not know `status` is a word and there is no `code`. `secrets` are cut out of what the server said.
    """
    known = {name.lower(): value for name, value in headers.items()}
    secrets = tuple(secrets)
    problem = _json_object(body)
    reason = _text(problem.get("message"), secrets)
    if 300 <= status < 400:
        reason = f"a redirect to {_host(known.get('location', ''))}, which is not followed"
    elif reason is None and not problem and body.strip():
        reason = _page_title(body, secrets) or "something that is not JSON"
    return Problem(
        code=_whole_number(problem.get("code")),
        reason=reason,
        more_info=_text(problem.get("more_info"), secrets),
        request_id=_text(known.get("x-request-id"), secrets),
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


def _text(value: object, secrets: Iterable[str]) -> str | None:
    return scrub(value, secrets) or None if isinstance(value, str) else None


def _page_title(body: bytes, secrets: Iterable[str]) -> str | None:
    found = re.search(rb"<title[^>]*>([^<]*)</title>", body[:4096], re.IGNORECASE)
    title = scrub(found[1].decode("utf-8", "replace"), secrets) if found else ""
    return f"an HTML page, “{title}”" if title else None


def _host(url: str) -> str:
    found = re.match(r"https?://(?:[^/?#@]*@)?([^/?#\s]+)", url, re.IGNORECASE)
    return scrub(found[1]) if found else "another place"
