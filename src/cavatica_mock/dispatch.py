"""Finds the handler of a request: route, token, rate limit, then the checks of path, query and body."""

import hashlib
import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

import attrs

from cavatica_mock import contract, errors
from cavatica_mock.contract import Invalid, Operation
from cavatica_mock.errors import Problem
from cavatica_mock.handlers import HANDLERS, Answer, Call, Document, Handler
from cavatica_mock.state import RateLimitStatus, State

log = logging.getLogger("cavatica_mock")

VERSION: Final = "/v2"
FREE: Final = frozenset({"getRateLimit"})  # documented as not counted
JSON_TYPES: Final = frozenset({"application/json", "application_json"})  # the second is an error of the documentation
BODY_LIMIT: Final = 16 * 2**20  # 10,000 part reports are about 1 MiB


@attrs.frozen
class Admitted:
    """A request of a known operation and user, within the rate limit; its body is not read yet.

    `values` are the texts of the path parameters, `headers` have lower-case names, `origin` is how the client calls us.
    """

    operation: Operation
    values: Mapping[str, str]
    target: str
    headers: Mapping[str, str]
    origin: str
    user: str
    rate: RateLimitStatus

    @property
    def part(self) -> int | None:
        """The part number in the path, if there is one."""
        text = self.values.get("part_number", "")
        return int(text) if text.isascii() and text.isdigit() else None


class Dispatch:
    def __init__(self, state: State) -> None:
        self._state = state
        self._contract = contract.load()
        self._users = {token: _user_of(token) for token in state.settings.tokens}

    def admit(self, method: str, target: str, headers: Mapping[str, str], origin: str) -> Admitted | Answer:
        """The operation of a request, its user and their rate limit; or the answer that refuses it."""
        path = target.partition("?")[0]
        match = self._contract.match(path.removeprefix(VERSION)) if path.startswith(f"{VERSION}/") else None
        if match is None:
            # The platform was seen to answer so: with a word as the status, and without a code.
            return Answer(HTTPStatus.NOT_FOUND, {"status": "NOT_FOUND", "message": "There is nothing at this path."})
        operations, values = match
        operation = operations.get(method)
        if operation is None:
            return refused(errors.METHOD_NOT_ALLOWED, {"Allow": ", ".join(sorted(operations))})
        self._state.calls[operation.id] += 1
        user = self._users.get(_token(headers))
        if user is None:
            return refused(errors.NOT_AUTHENTICATED)
        rates = self._state.rates
        rate = rates.look(user) if operation.id in FREE else rates.spend(user)
        if rate.refused:
            return refused(errors.TOO_MANY_CALLS, rate.headers())
        return Admitted(operation, values, target, headers, origin, user, rate)

    def answer(self, admitted: Admitted, body: bytes) -> Answer:
        """What the operation answers, or why it refuses; with the rate limit in either case."""
        operation = admitted.operation
        try:
            handler = _handler(operation)
            pairs = _pairs(admitted.target)
            parameters = _parameters(admitted, pairs)
            answer = handler(self._state, Call(admitted.user, admitted.origin, parameters, _body(admitted, body)))
            if answer.document is not None:
                fields = ",".join(value for name, value in pairs if name == "fields")
                answer = attrs.evolve(answer, document=_selected(answer.document, fields))
        except Problem as problem:
            answer = Answer(problem.status, problem.body())
        except Exception:
            log.exception("The mock failed at %s", operation.id)
            answer = refused(errors.BROKEN)
        return attrs.evolve(answer, headers={**answer.headers, **admitted.rate.headers()})


def refused(code: int, headers: Mapping[str, str] | None = None) -> Answer:
    problem = Problem(code)
    return Answer(problem.status, problem.body(), headers or {})


def _handler(operation: Operation) -> Handler:
    if operation.id not in HANDLERS:
        raise Problem(errors.NOT_IMPLEMENTED, f"The mock does not implement the operation {operation.id}.")
    return HANDLERS[operation.id]


def _user_of(token: str) -> str:
    """A token's user, as the state on disk names it: the token itself is never written."""
    return hashlib.sha256(f"user of {token}".encode()).hexdigest()[:16]


def _token(headers: Mapping[str, str]) -> str:
    """The token header, or `Authorization: Bearer`, as the vendor's clients send it for single sign-on."""
    if "x-sbg-auth-token" in headers:
        return headers["x-sbg-auth-token"]
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _pairs(target: str) -> list[tuple[str, str]]:
    """Names and values of the query. Bytes that are not UTF-8 stay marked: only declared parameters are checked."""
    return parse_qsl(target.partition("?")[2], keep_blank_values=True, errors="surrogateescape")


def _parameters(admitted: Admitted, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """The declared parameters. Others are ignored, because clients send many."""
    values: dict[str, Any] = {}
    for parameter in admitted.operation.parameters:
        name = parameter.name
        if parameter.in_path:
            texts, code = [admitted.values[name]], errors.BAD_PATH[name]
            if texts[0] in ("", ".", ".."):
                raise Problem(code, f"{name} is missing.")
        else:
            texts = [text for given, text in pairs if given == name]
            code = errors.BAD_KEY.get((admitted.operation.id, name), errors.BAD_REQUEST)
        if not texts:
            continue
        try:
            "".join(texts).encode()
            values[name] = parameter.read(texts)
        except UnicodeError:
            raise Problem(code, f"{name} is not UTF-8.") from None
        except Invalid as invalid:
            raise Problem(code, invalid.why) from None
    return values


def _body(admitted: Admitted, body: bytes) -> Any:
    operation = admitted.operation
    if operation.body is None:
        return None  # the vendor's Python client sends `null` with a GET and `{}` with a DELETE
    bad = errors.BAD_BODY[operation.id]
    if not body:
        if operation.body_required:
            raise Problem(bad, "The request has no body.")
        return None
    if admitted.headers.get("content-type", "").partition(";")[0].strip().lower() not in JSON_TYPES:
        raise Problem(errors.WRONG_CONTENT_TYPE)
    document = _decoded(body, bad)
    if operation.id in errors.NEEDS_DESTINATION and isinstance(document, dict):
        # The schema refuses these too; here they get their own code and sentence.
        given = document.keys() & {"project", "parent"}
        if len(given) != 1:
            raise Problem(errors.DESTINATION_TWICE if given else errors.DESTINATION_MISSING)
    try:
        operation.body.check(document)
    except Invalid as invalid:
        first = str(invalid.where[0]) if invalid.where else ""
        raise Problem(errors.BAD_KEY.get((operation.id, first), bad), invalid.why) from None
    return document


def _decoded(body: bytes, code: int) -> Any:
    try:
        text = body.decode()
        document = json.loads(text, parse_constant=_no_constant)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair is not text
    except (ValueError, RecursionError):
        raise Problem(code, "The body is not JSON in UTF-8.") from None
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _selected(document: Document, fields: str) -> Document:
    """A document with the keys that the query parameter `fields` selects.

    Top-level keys separated by commas, `!key` for all but that one, `_all` for everything (docs.cavatica.org, The API).
    In a list they select among the keys of its items; the frame of the page stays.
    """
    names = {name.strip() for name in fields.split(",")} - {"", "items", "links"}
    if not names or "_all" in names:
        return document
    if "items" in document and "links" in document:
        return document | {"items": [_selected(item, fields) for item in document["items"]]}
    hidden = {name[1:] for name in names if name.startswith("!")}
    shown = {name for name in names if not name.startswith("!")} or set(document)
    return {key: value for key, value in document.items() if key in shown and key not in hidden}
