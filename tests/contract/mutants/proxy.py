"""How a mutant is written, and the proxy that it works in: requests go to the mock and answers come back through it.

    @answer("getUpload", 200)       gets each answer of these, and returns another (also the request, if it takes two)
    @request("startUpload")         gets each request of these, and returns another
    @behaviour                      gets a request and the way on to the mock, and answers

Without an operation they get all. The first line of the docstring says what is broken.
"""

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
import attrs
from aiohttp import web
from yarl import URL

from tests.contract import document

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "host"})
V2 = "/v2"
_SILENT = logging.getLogger("tests.contract.mutants")  # what is no HTTP is refused, and not worth a traceback
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


@attrs.frozen
class Ask:
    """A request. `target` is the path with the query, as on the wire; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """Below the base URL."""
        return self.target.partition("?")[0].removeprefix(V2)

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def operation(self) -> str | None:
        """The operationId."""
        found = document.find(self.method, self.path) if self.target.startswith(V2) else None
        return found.id if found else None

    @property
    def token(self) -> str:
        return self.headers.get("x-sbg-auth-token", "")

    @property
    def upload_id(self) -> str:
        """The segment where an upload's id stands, or nothing."""
        steps = self.path.split("/")
        return steps[3] if len(steps) > 3 and steps[1] == "upload" else ""

    def json(self) -> Any:
        """The body, None where it is no JSON that can be read."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def with_json(self, document: object) -> "Ask":
        headers = {**self.headers, "content-type": "application/json"}
        return attrs.evolve(self, body=json.dumps(document).encode(), headers=headers)

    def with_target(self, target: str) -> "Ask":
        return attrs.evolve(self, target=target)

    def with_header(self, name: str, value: str | None) -> "Ask":
        rest = {key: each for key, each in self.headers.items() if key != name}
        return attrs.evolve(self, headers=rest if value is None else {**rest, name: value})


@attrs.frozen
class Reply:
    """An answer. `manner` says how it goes out: whole, cut in the middle, trickling, or not at all."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    manner: str = "whole"

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def with_json(self, document: object) -> "Reply":
        return attrs.evolve(self, body=json.dumps(document).encode())

    def with_headers(self, **changes: str | None) -> "Reply":
        """Change headers; `_` stands for `-`, None takes one away."""
        names = {name.replace("_", "-"): value for name, value in changes.items()}
        kept = {name: value for name, value in self.headers.items() if name not in names}
        return attrs.evolve(
            self, headers={**kept, **{name: value for name, value in names.items() if value is not None}}
        )


class Way:
    """The way on to the mock, and what a defect remembers from one request to the next."""

    def __init__(self, origin: str, session: aiohttp.ClientSession) -> None:
        self.origin, self._session = origin, session
        self.memory: dict[Any, Any] = {}

    async def on(self, ask: Ask) -> Reply:
        """Send a request to the mock, byte for byte."""
        url = URL(self.origin + ask.target, encoded=True)
        data = ask.body if ask.body or ask.method in ("POST", "PUT") else None
        skip = {"Content-Type"} if "content-type" not in ask.headers else set()
        async with self._session.request(
            ask.method, url, headers=dict(ask.headers), data=data, allow_redirects=False, skip_auto_headers=skip
        ) as answer:
            body = await answer.read()
            headers = {n.lower(): value for n, value in answer.headers.items() if n.lower() not in HOP_BY_HOP}
            return Reply(answer.status, headers, body)

    async def get(self, ask: Ask, path: str) -> Any:
        """What the mock shows the same user at another path."""
        headers = {"x-sbg-auth-token": ask.token, "host": ask.headers.get("host", "")}
        return (await self.on(Ask("GET", V2 + path, headers))).json()


Defect = Callable[[Ask, Way], Awaitable[Reply]]


async def no_defect(ask: Ask, way: Way) -> Reply:
    """Nothing is broken: the proxy itself has to pass."""
    return await way.on(ask)


async def serve(origin: str, broken: Defect, ready: Callable[[int], None], port: int = 0) -> None:
    """Serve until cancelled. `/_mock` is never broken: the suite speaks to the mock there."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        way = Way(origin, session)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            headers = {name.lower(): value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
            headers["host"] = request.headers.get("Host", "")
            body = await request.read()
            ask = Ask(request.method, request.raw_path, headers, body)
            if ask.target.startswith("/_mock"):
                if ask.target == "/_mock/reset":
                    way.memory.clear()
                reply = await way.on(ask)
            else:
                reply = await broken(ask, way)
            return await _out(request, reply)

        runner = web.ServerRunner(web.Server(handle, access_log=None, logger=_SILENT), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ready(runner.addresses[0][1])
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


async def _out(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    headers = dict(reply.headers)
    if reply.manner == "whole":
        return web.Response(status=reply.status, headers=headers, body=reply.body)
    response = web.StreamResponse(status=reply.status, headers=headers)
    if reply.manner != "nothing":
        response.content_length = len(reply.body)
        await response.prepare(request)
        if reply.manner == "cut":
            await response.write(reply.body[: len(reply.body) // 2])
        else:  # trickling
            for index in range(len(reply.body)):
                await response.write(reply.body[index : index + 1])
                await asyncio.sleep(0.3)
    if request.transport is not None:
        request.transport.close()
    return response


DEFECTS: Final[dict[str, Defect]] = {}
Answering = Callable[..., Reply]
Asking = Callable[[Ask], Ask]


def behaviour(function: Defect) -> Defect:
    """Register a mutant that needs more than one request or answer."""
    DEFECTS[function.__name__] = function
    return function


def answer(operation: str | None = None, status: int | None = None) -> Callable[[Answering], Answering]:
    """Register a mutant that changes answers of an operation and a status."""

    def register(function: Answering) -> Answering:
        takes_request = len(inspect.signature(function).parameters) > 1

        async def defect(ask: Ask, way: Way) -> Reply:
            reply = await way.on(ask)
            if (operation and ask.operation != operation) or (status and reply.status != status):
                return reply
            return function(reply, ask) if takes_request else function(reply)

        return _registered(defect, function)

    return register


def request(operation: str | None = None) -> Callable[[Asking], Asking]:
    """Register a mutant that changes requests of an operation."""

    def register(function: Asking) -> Asking:
        async def defect(ask: Ask, way: Way) -> Reply:
            return await way.on(ask if operation and ask.operation != operation else function(ask))

        return _registered(defect, function)

    return register


def _registered(defect: Defect, function: Any) -> Any:
    defect.__name__, defect.__doc__ = function.__name__, function.__doc__
    DEFECTS[function.__name__] = defect
    return function
