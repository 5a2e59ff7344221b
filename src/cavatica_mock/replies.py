"""Turns answers into bytes, with the CORS headers that let pages of this machine read them."""

import ipaddress
import json
import logging
import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

import attrs
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cavatica_mock.errors import BAD_REQUEST, BROKEN, Problem
from cavatica_mock.records import Document

log = logging.getLogger("cavatica_mock")

JSON: Final = "application/json"
PAGE: Final = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><hr>proxy</body></html>"
CORS_EXPOSED: Final = (
    "ETag, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id, X-Total-Matching-Query"
)
CORS_METHODS: Final = "GET, PUT, POST, DELETE"
HOST: Final = re.compile(r"(?:(?P<name>[A-Za-z0-9.-]+)|\[(?P<address>[0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?", re.ASCII)


@attrs.frozen
class Answer:
    """`document` None means an empty body."""

    status: int
    document: Document | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Reply:
    """An answer down to its bytes."""

    status: int
    body: bytes
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def response(self) -> web.Response:
        return web.Response(status=self.status, body=self.body, headers={"Server": "cavatica-mock", **self.headers})


def reply(answer: Answer, date: float) -> Reply:
    """Every answer of the API says that it is JSON, the empty ones too."""
    body = b"" if answer.document is None else json.dumps(answer.document, ensure_ascii=False).encode()
    headers = {**answer.headers, "Date": http_date(date)}
    if answer.status != 204:
        headers["Content-Type"] = JSON
    return Reply(answer.status, body, headers)


def http_date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


def html(status: int) -> Reply:
    """An HTML error page, as a proxy sends it in place of the API."""
    title = {200: "Please sign in", 502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable"}
    body = PAGE.format(title.get(status, f"{status} Error")).encode()
    return Reply(status, body, {"Content-Type": "text/html; charset=utf-8"})


def gone() -> web.Response:
    """What a handler returns if the connection is closed already."""
    return web.Response(status=500)


class Connection(RequestHandler):
    """A client's connection. What is not HTTP is refused in the platform's shape, without the parser's own words."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse what is not HTTP, and close the connection."""
        log.debug("Not answered in full: %s", message or exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was under way already")
        problem = Problem(BAD_REQUEST if status < 500 else BROKEN)
        response = web.json_response(problem.body(), status=problem.status)
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's low-level server: one handler for everything, no router of its own."""

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


def is_loopback(host: str | None) -> bool:
    """Whether a host without a port, as a name or an address, is this machine alone."""
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_origin(origin: str) -> bool:
    """Whether an `Origin` is that of a page which this machine serves to itself."""
    scheme, _, host = origin.partition("://")
    return scheme.lower() in ("http", "https") and is_local_host(host)


def is_local_host(host: str) -> bool:
    """Whether a `Host`, with or without a port, names this machine alone."""
    found = HOST.fullmatch(host)
    return found is not None and is_loopback((found["name"] or found["address"]).lower())


def cors_headers(request: web.BaseRequest) -> dict[str, str]:
    """What lets a page of this machine read an answer; nothing for other callers.

    `null` is the origin of a page that was opened as a file. Others can have it too, but they do not know the token.
    """
    origin = request.headers.get("Origin", "")
    if origin != "null" and not is_local_origin(origin):
        return {}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": CORS_EXPOSED, "Vary": "Origin"}


def preflight(request: web.BaseRequest) -> web.Response | None:
    """The answer to a CORS preflight; None for any other request."""
    allowed = cors_headers(request)
    if request.method != "OPTIONS" or not allowed or "Access-Control-Request-Method" not in request.headers:
        return None
    allowed["Access-Control-Allow-Methods"] = CORS_METHODS
    allowed["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "")
    return web.Response(status=204, headers=allowed)
