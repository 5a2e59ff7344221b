"""Servers that are broken on purpose: a proxy in front of the real mock breaks one thing for each mutant.

    @document("getUpload", 200)     gets the JSON body of each such answer, and returns another
    @answer("getUpload", 200)       gets each such answer, and returns another (also the request, if it takes two)
    @body("startUpload")            gets the JSON object in the body of each such request, and returns another
    @request("startUpload")         gets each such request, and returns another
    @behaviour("startUpload")       gets each such request and the way on to the mock, and answers

Without an operation they get all. The docstring says what is broken.
"""

import asyncio
import contextlib
import functools
import inspect
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Final

import aiohttp
import attrs
from aiohttp import web
from yarl import URL

from tests.contract import document as openapi
from tests.contract.options import UsageError
from tests.contract.server import Target, again, mock_server, of_mock

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "host"})
V2 = "/v2"
_SILENT = logging.getLogger("tests.contract.mutants")  # what is not HTTP is refused; a traceback would say no more
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
        found = openapi.find(self.method, self.path) if self.target.startswith(V2) else None
        return found.id if found else None

    @property
    def token(self) -> str:
        return self.headers.get("x-sbg-auth-token", "")

    @property
    def upload_id(self) -> str:
        """The upload's id in the path, or nothing."""
        steps = self.path.split("/")
        return steps[3] if len(steps) > 3 and steps[1] == "upload" else ""

    def json(self) -> Any:
        """The body, None if it is not JSON."""
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
    """An answer. `manner` says how it is sent: whole, cut, trickling, or nothing."""

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

    def refused(self, status: int, code: int) -> "Reply":
        """An error in the place of this answer."""
        headers = {**self.headers, "content-type": "application/json"}
        return Reply(status, headers).with_json({"status": status, "code": code, "message": "Refused."})

    def with_headers(self, **changes: str | None) -> "Reply":
        """Change headers; `_` stands for `-`, None removes one."""
        names = {name.replace("_", "-"): value for name, value in changes.items()}
        kept = {name: value for name, value in self.headers.items() if name not in names}
        return attrs.evolve(
            self, headers={**kept, **{name: value for name, value in names.items() if value is not None}}
        )


class Way:
    """The way on to the mock, and what a mutant remembers from one request to the next."""

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


@contextlib.asynccontextmanager
async def proxy(origin: str, defect: Defect, port: int) -> AsyncIterator[int]:
    """The proxy, and its port. `/_mock` is never broken: there the suite talks to the mock itself."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        way = Way(origin, session)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            headers = {name.lower(): value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
            headers["host"] = request.headers.get("Host", "")
            ask = Ask(request.method, request.raw_path, headers, await request.read())
            if ask.target == "/_mock/reset":
                way.memory.clear()
            return await _out(request, await (way.on(ask) if ask.target.startswith("/_mock") else defect(ask, way)))

        runner = web.ServerRunner(web.Server(handle, access_log=None, logger=_SILENT), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield runner.addresses[0][1]
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


def behaviour(operation: str | None = None) -> Callable[[Defect], Defect]:
    """Register a mutant that needs more than one request or answer."""

    def register(function: Defect) -> Defect:
        async def defect(ask: Ask, way: Way) -> Reply:
            return await (way.on(ask) if operation and ask.operation != operation else function(ask, way))

        defect.__doc__ = function.__doc__
        DEFECTS[function.__name__] = defect
        return function

    return register


def answer(operation: str | None = None, status: int | None = None) -> Callable[[Any], Any]:
    """Register a mutant that changes answers of an operation and a status."""

    def register(function: Any) -> Any:
        takes_request = len(inspect.signature(function).parameters) > 1

        @functools.wraps(function)
        async def defect(ask: Ask, way: Way) -> Reply:
            reply = await way.on(ask)
            if status and reply.status != status:
                return reply
            changed: Reply = function(reply, ask) if takes_request else function(reply)
            return changed

        behaviour(operation)(defect)
        return function

    return register


def document(operation: str | None = None, status: int = 200) -> Callable[[Any], Any]:
    """Register a mutant that changes the JSON bodies of such answers."""

    def register(function: Callable[[Any], Any]) -> Any:
        @functools.wraps(function)
        def changed(reply: Reply) -> Reply:
            return reply.with_json(function(reply.json()))

        answer(operation, status)(changed)
        return function

    return register


def request(operation: str | None = None) -> Callable[[Any], Any]:
    """Register a mutant that changes requests of an operation."""

    def register(function: Callable[[Ask], Ask]) -> Any:
        @functools.wraps(function)
        async def defect(ask: Ask, way: Way) -> Reply:
            return await way.on(function(ask))

        behaviour(operation)(defect)
        return function

    return register


def body(operation: str) -> Callable[[Any], Any]:
    """Register a mutant that changes the JSON objects in the bodies of requests of an operation."""

    def register(function: Callable[[Any], Any]) -> Any:
        @functools.wraps(function)
        def changed(ask: Ask) -> Ask:
            sent = ask.json()
            made = function(dict(sent)) if isinstance(sent, dict) else sent
            return ask if made == sent else ask.with_json(made)

        request(operation)(changed)
        return function

    return register


async def _unbroken(ask: Ask, way: Way) -> Reply:
    return await way.on(ask)


@contextlib.contextmanager
def served(name: str, seed: int, port: int = 0) -> Iterator[Target]:
    """The mock with this defect, behind a proxy in this process. Raises UsageError if the port cannot be used."""
    started: Future[tuple[int, asyncio.AbstractEventLoop]] = Future()
    stop = asyncio.Event()

    async def live(origin: str) -> None:
        async with proxy(origin, DEFECTS.get(name, _unbroken), port) as bound:
            started.set_result((bound, asyncio.get_running_loop()))
            await stop.wait()

    def work(origin: str) -> None:
        try:
            asyncio.run(live(origin))
        except OSError:
            started.set_exception(UsageError(f"Port {port} cannot be used."))

    with mock_server(seed=seed, rate_limit=(9_000_000, 3600)) as mock:
        thread = threading.Thread(target=work, args=(mock.origin,), daemon=True)
        thread.start()
        bound, loop = started.result()
        start = [sys.executable, "-m", "tests.contract", "mutants", "serve", name, "--seed", str(seed)]
        try:
            yield of_mock(f"http://127.0.0.1:{bound}/v2", again(start))
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
