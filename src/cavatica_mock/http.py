"""The HTTP front: requests in, answers out, faults between them, and what tests ask the mock itself. No rules here."""

import asyncio
import json
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import attrs
from aiohttp import web

from cavatica_mock import contract, dispatch, errors, faults
from cavatica_mock.dispatch import Admitted, Dispatch, Request
from cavatica_mock.errors import Problem
from cavatica_mock.faults import Fault, Faults
from cavatica_mock.handlers import Handlers, refused
from cavatica_mock.records import Views
from cavatica_mock.replies import (
    HOST,
    Answer,
    Reply,
    Server,
    cors_headers,
    gone,
    is_local_host,
    is_local_origin,
    is_loopback,
    preflight,
    reply,
)
from cavatica_mock.settings import Settings
from cavatica_mock.state import State
from cavatica_mock.storage import PREFIX, Storage

log = logging.getLogger("cavatica_mock")

ABSOLUTE: Final = re.compile(r"^https?://([^/?#]*)", re.IGNORECASE)  # proxies send the whole URL
READ_BUFFER: Final = 2**18  # bytes of a body that may wait to be read
OWN: Final = "/_mock/"
DOCS: Final = "/docs"
PAGE: Final = Path(__file__).parents[2] / "build" / "reference.html"  # by `make docs`
NO_PAGE: Final = "There is no reference page here. Make it in a source tree of cavatica-upload: make docs\n"


class Mock:
    """One mock on its socket. All of it belongs to one event loop."""

    def __init__(self, settings: Settings, folder: Path, script: Faults) -> None:
        self.settings = settings
        self.state = State(settings, folder, script)
        self.port = 0
        self.origin = ""
        self._answered = 0
        self._runner: web.ServerRunner | None = None
        self._connect()

    def _connect(self) -> None:
        """Put what answers over the rules, which a reset makes anew."""
        state, settings = self.state, self.settings
        self._storage = Storage(
            state.uploads, state.files, state.blobs, state.signer, state.script, state.traffic, settings.clock
        )
        handlers = Handlers(settings, state.uploads, state.files, state.rates, state.signer)
        self._dispatch = Dispatch(
            contract.load(), handlers, dispatch.users(settings.tokens), state.rates, state.traffic.calls
        )

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError when the address cannot be listened at."""
        server = Server(self._answer, auto_decompress=False, read_bufsize=READ_BUFFER, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=self.settings.tls).start()
        self.port = self._runner.addresses[0][1]
        self.origin = f"{self.settings.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def close(self) -> None:
        if self._runner is not None:
            server = self._runner.server
            transports = [connection.transport for connection in server.connections] if server is not None else []
            await self._runner.cleanup()
            if self.settings.tls is not None:  # they wait for the clients' goodbyes, and the loop is closed by then
                for transport in transports:
                    if transport is not None:
                        transport.abort()
                await asyncio.sleep(0)
        self.state.close()

    @property
    def calls(self) -> Counter[str]:
        return self.state.traffic.calls

    @property
    def bytes_received(self) -> int:
        return self.state.traffic.bytes_received

    def files(self) -> list[dict[str, Any]]:
        return self.state.describe_files(Views(f"{self.origin}/v2"))

    def uploads(self) -> list[dict[str, Any]]:
        return self.state.describe_uploads(Views(f"{self.origin}/v2"))

    def reset(self) -> None:
        """As new: no uploads, files, faults, calls; ids begin anew."""
        self.state.reset()
        self._connect()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = preflight(request) or await self._route(request)
        if not response.prepared:
            response.headers.update(cors_headers(request))
        if log.isEnabledFor(logging.INFO):  # without the query, which holds signatures
            log.info("%s %s %s", response.status, request.method, request.raw_path.partition("?")[0])
        return response

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            target = ABSOLUTE.sub("", request.raw_path)
            if target.startswith(PREFIX):
                return await self._storage.answer(request, target)
            if target.startswith(OWN):
                return await self._own(request, target)
            if target.partition("?")[0] == DOCS:
                return _reference_page(request)
            return await self._operate(request, target)
        except ConnectionError:
            return gone()
        except Exception as error:
            if isinstance(error, RuntimeError) and request.transport is None:
                return gone()  # aiohttp, asked to read the body of a client that went before its request was begun
            log.exception("The mock failed at %s %s", request.method, request.raw_path.partition("?")[0])
            return self._reply(refused(Problem(errors.BROKEN))).response()

    async def _operate(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        asked = Request(
            request.method,
            target,
            {name.lower(): value for name, value in request.headers.items()},
            self._origin_for(request),
        )
        admitted = self._dispatch.admit(asked)
        if isinstance(admitted, Answer):
            return self._reply(admitted).response()
        body = await self._body(request)
        if body is None:
            return self._reply(dispatch.too_long()).response()
        fault = self.state.script.take(admitted.operation.id, admitted.part)
        if fault is not None:
            return await self._fail(request, admitted, body, fault)
        return self._reply(self._dispatch.answer(admitted, body)).response()

    async def _fail(
        self, request: web.BaseRequest, admitted: Admitted, body: bytes, fault: Fault
    ) -> web.StreamResponse:
        """Act out a fault. Those that answer in the operation's place leave everything as it was."""
        if fault.then == "reset":
            return faults.reset(request)
        if fault.then == "close":
            return faults.close(request)
        if fault.then == "stall":
            return await faults.stall(request)
        now = self.settings.clock()
        scripted = faults.scripted(fault, now, admitted.rate.headers())
        if scripted is not None:
            return scripted.response()
        if fault.then == "delay":
            await asyncio.sleep(fault.seconds)
        answered = self._reply(self._dispatch.answer(admitted, body))
        if fault.then == "lost_answer":
            return faults.close(request)
        if fault.then == "truncate":
            return await faults.truncate(request, answered)
        if fault.then == "slow":
            return await faults.trickle(request, answered, fault.bytes_per_second)
        return answered.response()

    async def _body(self, request: web.BaseRequest) -> bytes | None:
        """The whole body; None when it is longer than anything that the API takes."""
        if not request.body_exists:
            return b""
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        while block := await request.content.readany():
            body += block
            if len(body) > dispatch.BODY_LIMIT:
                return None
        return bytes(body)

    def _reply(self, answer: Answer) -> Reply:
        self._answered += 1
        headers = {**answer.headers, "X-Request-Id": f"mock-{self._answered}"}
        return reply(attrs.evolve(answer, headers=headers), self.settings.clock())

    def _origin_for(self, request: web.BaseRequest) -> str:
        """The mock under the name by which the client reached it, so that every href can be followed."""
        host = request.headers.get("Host", "")
        return f"{self.settings.scheme}://{host}" if HOST.fullmatch(host) else self.origin

    async def _own(self, request: web.BaseRequest, target: str) -> web.Response:
        """What tests in other languages ask the mock itself. Without a token, from this machine only."""
        refusal = _foreign(request)
        if refusal is not None:
            return _json(403, {"message": f"The mock's own endpoints are for this machine only: {refusal}."})
        what = target.partition("?")[0].removeprefix(OWN)
        if what == "faults" and request.method in ("POST", "GET", "DELETE"):
            return await self._faults(request)
        if what == "calls" and request.method == "GET":
            return _json(
                200, {"calls": dict(self.state.traffic.calls), "bytes_received": self.state.traffic.bytes_received}
            )
        if what == "uploads" and request.method == "GET":
            return _json(200, {"items": self.uploads()})
        if what == "files" and request.method == "GET":
            return _json(200, {"items": self.files()})
        if what == "reset" and request.method == "POST":
            self.reset()
            return _json(200, {})
        there = "POST, GET, DELETE /_mock/faults; GET /_mock/calls, /_mock/uploads, /_mock/files; POST /_mock/reset"
        return _json(404, {"message": f"The mock has: {there}."})

    async def _faults(self, request: web.BaseRequest) -> web.Response:
        if request.method == "DELETE":
            self.state.script.clear()
        elif request.method == "POST":
            try:
                document = json.loads(await request.read())
                faults = [Fault.from_json(item) for item in (document if isinstance(document, list) else [document])]
            except (ValueError, RecursionError) as error:
                return _json(400, {"message": f"These faults cannot be taken: {error}."})
            self.state.script.add(*faults)
        return _json(200, {"items": self.state.script.to_json()})


def _foreign(request: web.BaseRequest) -> str | None:
    """Why the caller is not of this machine; None if it is.

    A web page from elsewhere can make a browser here call the mock: its `Origin` betrays it, or its `Host` if its name
    was made to lead here, which a proxy before the mock may have moved to `X-Forwarded-Host`.
    """
    if not is_loopback(request.remote):
        return "this call comes from another"
    absolute = ABSOLUTE.match(request.raw_path)
    if absolute is not None and not is_local_host(absolute[1]):
        return "the target names another"
    if not is_local_host(request.headers.get("Host", "")):
        return "the Host header names another"
    if not all(map(is_local_host, request.headers.getall("X-Forwarded-Host", ()))):
        return "the X-Forwarded-Host header names another"
    if not all(map(is_local_origin, request.headers.getall("Origin", ()))):
        return "the Origin header names another"
    return None


def _json(status: int, document: dict[str, Any]) -> web.Response:
    return web.json_response(document, status=status)


def _reference_page(request: web.BaseRequest) -> web.Response:
    """The reference page of the API, or a sentence that says how to make it."""
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, headers={"Allow": "GET, HEAD"})
    if not PAGE.is_file():
        return web.Response(status=404, text=NO_PAGE)
    return web.Response(body=PAGE.read_bytes(), content_type="text/html", charset="utf-8")
