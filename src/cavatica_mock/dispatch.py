"""Finds the handler of a request: route, token, rate limit, then the checks of path, query and body."""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

import attrs

from cavatica_mock import errors
from cavatica_mock.contract import Contract, Invalid, Operation
from cavatica_mock.errors import Problem
from cavatica_mock.handlers import Call, Handlers, refused, unrouted
from cavatica_mock.records import select_fields, user_of
from cavatica_mock.replies import Answer
from cavatica_mock.state import RateLimit, RateLimitStatus

log = logging.getLogger("cavatica_mock")

VERSION: Final = "/v2"
FREE: Final = frozenset({"getRateLimit"})  # documented as not counted
JSON_TYPES: Final = frozenset({"application/json", "application_json"})  # the second is a slip of the documentation
BODY_LIMIT: Final = 16 * 2**20  # 10,000 part reports are about 1 MiB


@attrs.frozen
class Request:
    """A request as it came, up to its body. Names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    origin: str


@attrs.frozen
class Admitted:
    """A request that may be answered: it is known for which operation it is and whose.

    `values` are the texts of the path's parameters.
    """

    request: Request
    operation: Operation
    values: Mapping[str, str]
    user: str
    rate: RateLimitStatus

    @property
    def part(self) -> int | None:
        """The part number in the path, if there is one."""
        text = self.values.get("part_number", "")
        return int(text) if text.isascii() and text.isdigit() else None


@attrs.frozen
class Dispatch:
    """Finds the handler of a request, and counts the calls of each operation."""

    contract: Contract
    handlers: Handlers
    users: Mapping[str, str]  # token to user
    rates: RateLimit
    calls: Counter[str]

    def admit(self, request: Request) -> Admitted | Answer:
        """The operation that a request is for, who calls, and their rate limit; or the answer that refuses them."""
        path = request.target.partition("?")[0]
        if not path.startswith(f"{VERSION}/"):
            return unrouted()
        match = self.contract.match(path.removeprefix(VERSION))
        if match is None:
            return unrouted()
        operation = match.operations.get(request.method)
        if operation is None:
            answer = refused(Problem(errors.METHOD_NOT_ALLOWED))
            return attrs.evolve(answer, headers={"Allow": ", ".join(sorted(match.operations))})
        self.calls[operation.id] += 1
        user = self.users.get(_token(request.headers))
        if user is None:
            return refused(Problem(errors.NOT_AUTHENTICATED))
        rate = self.rates.look(user) if operation.id in FREE else self.rates.spend(user)
        if rate.refused:
            return attrs.evolve(refused(Problem(errors.TOO_MANY_CALLS)), headers=rate.headers())
        return Admitted(request, operation, match.values, user, rate)

    def answer(self, admitted: Admitted, body: bytes) -> Answer:
        """What the operation answers, or why it refuses; with the rate limit in either case."""
        try:
            handler = self.handlers.handler(admitted.operation.id)
            pairs = _pairs(admitted.request.target)
            call = Call(
                user=admitted.user,
                origin=admitted.request.origin,
                path=_path(admitted),
                query=_query(admitted.operation, pairs),
                body=_body(admitted, body),
            )
            answer = handler(call)
            if answer.document is not None:
                fields = ",".join(value for name, value in pairs if name == "fields")
                answer = attrs.evolve(answer, document=select_fields(answer.document, fields))
        except Problem as problem:
            answer = refused(problem)
        except Exception:
            log.exception("The mock failed at %s", admitted.operation.id)
            answer = refused(Problem(errors.BROKEN))
        return attrs.evolve(answer, headers={**answer.headers, **admitted.rate.headers()})


def users(tokens: tuple[str, ...]) -> dict[str, str]:
    return {token: user_of(token) for token in tokens}


def _token(headers: Mapping[str, str]) -> str:
    """The token header, or `Authorization: Bearer` in its place, as the vendor's clients send it for single sign-on."""
    if "x-sbg-auth-token" in headers:
        return headers["x-sbg-auth-token"]
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _pairs(target: str) -> list[tuple[str, str]]:
    """Names and values of the query. Bytes that are not UTF-8 stay marked: only declared parameters are checked."""
    return parse_qsl(target.partition("?")[2], keep_blank_values=True, errors="surrogateescape")


def _path(admitted: Admitted) -> dict[str, Any]:
    values = {}
    for parameter in admitted.operation.of_kind("path"):
        text = admitted.values[parameter.name]
        if text in ("", ".", ".."):
            raise Problem(errors.BAD_PATH[parameter.name], f"{parameter.name} is missing.")
        try:
            values[parameter.name] = parameter.read([text])
        except Invalid as invalid:
            raise Problem(errors.BAD_PATH[parameter.name], invalid.why) from None
    return values


def _query(operation: Operation, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """The declared parameters. Others are ignored, because clients send many."""
    values: dict[str, Any] = {}
    for parameter in operation.of_kind("query"):
        name = parameter.name
        texts = [text for given, text in pairs if given == name]
        if not texts:
            continue
        code = errors.BAD_KEY.get((operation.id, name), errors.BAD_REQUEST)
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
            raise Problem(bad, "There is no body.")
        return None
    if admitted.request.headers.get("content-type", "").partition(";")[0].strip().lower() not in JSON_TYPES:
        raise Problem(errors.WRONG_CONTENT_TYPE)
    document = _decoded(body, bad)
    _check_destination(operation, document)
    try:
        operation.body.check(document)
    except Invalid as invalid:
        first = str(invalid.where[0]) if invalid.where else ""
        raise Problem(errors.BAD_KEY.get((operation.id, first), bad), invalid.why) from None
    return document


def _check_destination(operation: Operation, document: Any) -> None:
    """The schema refuses these too; here they get their own code and sentence."""
    if operation.id in errors.NEEDS_DESTINATION and isinstance(document, dict):
        if "project" in document and "parent" in document:
            raise Problem(errors.DESTINATION_TWICE)
        if "project" not in document and "parent" not in document:
            raise Problem(errors.DESTINATION_MISSING)


def _decoded(body: bytes, code: int) -> Any:
    try:
        text = body.decode()
        document = json.loads(text, parse_constant=_no_constant)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Problem(code, "The body is not JSON in UTF-8.") from None
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def too_long() -> Answer:
    document = {"status": 413, "message": f"A body has at most {BODY_LIMIT} bytes here."}
    return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, dict(document))
