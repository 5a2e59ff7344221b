"""How answers leave, and how a scripted fault makes them go wrong: the only module that touches transports."""

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

import attrs
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cavatica_mock import cors
from cavatica_mock.faults import Fault
from cavatica_mock.operations import Answer
from cavatica_mock.problems import BAD_REQUEST, BROKEN, CODES, Problem, code_of, error_body

log = logging.getLogger("cavatica_mock")

JSON: Final = "application/json"
PAGE: Final = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><hr>proxy</body></html>"
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 seconds
TICK: Final = 0.05  # seconds between two looks at whether a client is still there


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
        """Answer what never reached a handler, and end the connection."""
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


@attrs.frozen
class Reply:
    """An answer down to its bytes."""

    status: int
    body: bytes = b""
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
    """What a proxy says in the API's place."""
    title = {200: "Please sign in", 502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable"}
    body = PAGE.format(title.get(status, f"{status} Error")).encode()
    return Reply(status, body, {"Content-Type": "text/html; charset=utf-8"})


def scripted(fault: Fault, date: float, standing: Mapping[str, str]) -> Reply | None:
    """The API's answer where a fault answers in an operation's place; None where the fault is of another kind."""
    if fault.then == "html":
        return html(200)
    if fault.then == "bad_json":
        return Reply(200, b'{"upload_id": ', {"Content-Type": JSON, **standing})
    if fault.then != "status":
        return None
    if fault.html:
        answered = html(fault.status)
    else:
        code = code_of(fault.status) if fault.code is None else fault.code
        _, meaning = CODES.get(code, (fault.status, "This is a scripted fault."))
        answered = reply(Answer(fault.status, error_body(fault.status, code, meaning), standing), date)
    return attrs.evolve(answered, headers={**answered.headers, **fault.headers})


def gone() -> web.Response:
    """What a handler returns when there is no connection any more that it could go over."""
    return web.Response(status=500)


def reset(request: web.BaseRequest) -> web.Response:
    """End the connection by a TCP reset."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with socket.socket(fileno=socket.dup(raw.fileno())) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        transport.abort()
    return gone()


def close(request: web.BaseRequest) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.close()
    return gone()


async def stall(request: web.BaseRequest) -> web.Response:
    """Neither read nor write until the client has gone, or the server stops."""
    while client_is_there(request):
        await asyncio.sleep(TICK)
    return close(request)


def client_is_there(request: web.BaseRequest) -> bool:
    """Asks the kernel, because a connection that is not read from does not tell of its end."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return False
    raw = transport.get_extra_info("socket")
    if raw is None or not hasattr(socket, "TCP_INFO"):
        return True
    with socket.socket(fileno=socket.dup(raw.fileno())) as connection:
        state: int = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == 1  # TCP_ESTABLISHED


async def truncate(request: web.BaseRequest, answer: Reply) -> web.Response:
    """Announce the whole body and send half of it; where there is none, send half of the head."""
    lines = [f"HTTP/1.1 {answer.status} Truncated", f"Content-Length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    head = "\r\n".join((*lines, "", "")).encode("latin-1", "replace")
    if request.transport is not None:
        whole = head + answer.body[: len(answer.body) // 2] if answer.body else head[: len(head) // 2]
        request.transport.write(whole)
    return close(request)


async def trickle(request: web.BaseRequest, answer: Reply, bytes_per_second: float) -> web.StreamResponse:
    """Send the body at a given speed."""
    response = web.StreamResponse(status=answer.status, headers={**answer.headers, **cors.headers(request)})
    response.content_length = len(answer.body)
    await response.prepare(request)
    step = max(1, int(bytes_per_second * TICK))
    for start in range(0, len(answer.body), step):
        await response.write(answer.body[start : start + step])
        await asyncio.sleep(step / bytes_per_second)
    await response.write_eof()
    return response
