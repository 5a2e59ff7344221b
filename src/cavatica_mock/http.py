"""The HTTP front: requests in, answers out, faults between them, and the mock's own endpoints. No rules here."""

import asyncio
import ipaddress
import json
import logging
import re
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cavatica_mock import faults
from cavatica_mock.dispatch import BODY_LIMIT, Dispatch, refused
from cavatica_mock.errors import BAD_REQUEST, BROKEN, CODES, Problem, code_of, error_body
from cavatica_mock.faults import Fault, Faults
from cavatica_mock.handlers import Answer, Views
from cavatica_mock.settings import Settings
from cavatica_mock.state import State
from cavatica_mock.storage import PREFIX, Storage

log = logging.getLogger("cavatica_mock")

JSON: Final = "application/json"
ABSOLUTE: Final = re.compile(r"^https?://([^/?#]*)", re.IGNORECASE)  # proxies send the whole URL
HOST: Final = re.compile(r"(?:(?P<name>[A-Za-z0-9.-]+)|\[(?P<address>[0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?", re.ASCII)
READ_BUFFER: Final = 2**18  # bytes of a body that may wait to be read
OWN: Final = "/_mock/"
DOCS: Final = "/docs"
PAGE: Final = Path(__file__).parents[2] / "build" / "reference.html"  # by `make docs`
NO_PAGE: Final = "There is no reference page here. To make one, run `make docs` in a source tree of cavatica-upload.\n"
CORS_EXPOSED: Final = (
    "ETag, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id, X-Total-Matching-Query"
)


class Mock:
    """One mock on its socket. It belongs to one event loop."""

    def __init__(self, settings: Settings, folder: Path, script: Faults) -> None:
        self.settings = settings
        self.state = State(settings, folder, script)
        self.port = 0
        self.origin = ""
        self._storage = Storage(self.state)
        self._dispatch = Dispatch(self.state)
        self._answered = 0
        self._runner: web.ServerRunner | None = None

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError if it cannot listen at this address."""
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
            if self.settings.tls is not None:  # these wait for the clients to close TLS, longer than the loop lives
                for transport in transports:
                    if transport is not None:
                        transport.abort()
                await asyncio.sleep(0)
        self.state.close()

    def files(self) -> list[dict[str, Any]]:
        views = Views(f"{self.origin}/v2")
        return [views.file(file) for file in self.state.store.files(None)[0]]

    def uploads(self) -> list[dict[str, Any]]:
        views, store = Views(f"{self.origin}/v2"), self.state.store
        shown = []
        for upload in store.uploads(None)[0]:
            parts = store.parts(upload.id)
            stored = [{"part_number": each.number, "size": each.size, "etag": each.etag} for each in parts if each.blob]
            document = views.upload(upload, parts, list_parts=True)
            shown.append(document | {"size": upload.size, "stored_parts": stored})
        return shown

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = _preflight(request)
        if response is None:
            response = await self._route(request)
            response.headers.update(cors_headers(request))
        response.headers.update({"Server": "cavatica-mock", "Date": formatdate(self.settings.clock(), usegmt=True)})
        if log.isEnabledFor(logging.INFO):  # without the query, which holds signatures
            log.info("%s %s %s", response.status, request.method, request.raw_path.partition("?")[0])
        return response

    async def _route(self, request: web.BaseRequest) -> web.Response:
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
            return faults.gone()
        except Exception as error:
            if isinstance(error, RuntimeError) and request.transport is None:
                return faults.gone()  # aiohttp was to read the body of a client that was already gone
            log.exception("The mock failed at %s %s", request.method, request.raw_path.partition("?")[0])
            return self._response(refused(BROKEN))

    async def _operate(self, request: web.BaseRequest, target: str) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        host = headers.get("host", "")  # with the client's own name for the mock, every href can be followed
        origin = f"{self.settings.scheme}://{host}" if HOST.fullmatch(host) else self.origin
        admitted = self._dispatch.admit(request.method, target, headers, origin)
        if isinstance(admitted, Answer):
            return self._response(admitted)
        body = await _body(request)
        if body is None:
            return self._response(Answer(413, {"status": 413, "message": f"The limit is {BODY_LIMIT} bytes."}))
        fault = self.state.script.take(admitted.operation.id, admitted.part)
        if fault is None:
            return self._response(self._dispatch.answer(admitted, body))
        response = await faults.act(fault, request, self._scripted)
        if response is not None:
            if response.content_type == JSON:
                for name, value in admitted.rate.headers().items():
                    response.headers.setdefault(name, value)
            return response
        return faults.send(fault, request, self._response(self._dispatch.answer(admitted, body)))

    def _scripted(self, status: int, code: int | None) -> web.Response:
        """An error answer of the API, for a fault."""
        code = code_of(status) if code is None else code
        meaning = CODES[code][1] if code in CODES else "This is a scripted fault."
        return self._response(Answer(status, error_body(status, code, meaning)))

    def _response(self, answer: Answer) -> web.Response:
        """Every answer of the API says that it is JSON, an empty one too."""
        self._answered += 1
        body = b"" if answer.document is None else json.dumps(answer.document, ensure_ascii=False).encode()
        headers = {**answer.headers, "X-Request-Id": f"mock-{self._answered}"}
        if answer.status != 204:
            headers["Content-Type"] = JSON
        return web.Response(status=answer.status, body=body, headers=headers)

    async def _own(self, request: web.BaseRequest, target: str) -> web.Response:
        """The mock's own endpoints, for tests in other languages: without a token, from this machine only."""
        refusal = _foreign(request)
        if refusal is not None:
            message = f"The mock's own endpoints are for this machine only: {refusal}."
            return web.json_response({"message": message}, status=403)
        match request.method, target.partition("?")[0].removeprefix(OWN):
            case "POST" | "GET" | "DELETE", "faults":
                return await self._faults(request)
            case "GET", "calls":
                return web.json_response({"calls": dict(self.state.calls), "bytes_received": self.state.bytes_received})
            case "GET", "uploads":
                return web.json_response({"items": self.uploads()})
            case "GET", "files":
                return web.json_response({"items": self.files()})
            case "POST", "reset":
                self.state.reset()
                return web.json_response({})
        there = "POST, GET, DELETE /_mock/faults; GET /_mock/calls, /_mock/uploads, /_mock/files; POST /_mock/reset"
        return web.json_response({"message": f"The mock's own endpoints are: {there}."}, status=404)

    async def _faults(self, request: web.BaseRequest) -> web.Response:
        script = self.state.script
        if request.method == "DELETE":
            script.clear()
        elif request.method == "POST":
            try:
                document = json.loads(await request.read())
                documents = document if isinstance(document, list) else [document]
                script.add(*map(Fault.from_json, documents))
            except (ValueError, RecursionError) as error:
                return web.json_response({"message": f"These faults cannot be taken: {error}."}, status=400)
        return web.json_response({"items": script.to_json()})


async def _body(request: web.BaseRequest) -> bytes | None:
    """The whole body; None if it is longer than anything that the API takes."""
    if not request.body_exists:
        return b""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    while block := await request.content.readany():
        body += block
        if len(body) > BODY_LIMIT:
            return None
    return bytes(body)


def _reference_page(request: web.BaseRequest) -> web.Response:
    """The reference page of the API, or how to make it."""
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, headers={"Allow": "GET, HEAD"})
    if not PAGE.is_file():
        return web.Response(status=404, text=NO_PAGE)
    return web.Response(body=PAGE.read_bytes(), content_type="text/html", charset="utf-8")


# Who is of this machine: web pages, and callers of the mock's own endpoints.


def is_loopback(host: str | None) -> bool:
    """Whether a host without a port, a name or an address, is this machine."""
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_local_host(host: str) -> bool:
    """Whether a `Host`, with or without a port, names this machine."""
    found = HOST.fullmatch(host)
    return found is not None and is_loopback((found["name"] or found["address"]).lower())


def _is_local_origin(origin: str) -> bool:
    """Whether an `Origin` is that of a page which this machine serves."""
    scheme, _, host = origin.partition("://")
    return scheme.lower() in ("http", "https") and _is_local_host(host)


def _foreign(request: web.BaseRequest) -> str | None:
    """Why the caller is not of this machine; None if it is.

    A web page from elsewhere can make a browser on this machine call the mock. Its `Origin` reveals it, or its `Host`
    if its name was made to lead here, which a proxy in front of the mock may have moved to `X-Forwarded-Host`.
    """
    if not is_loopback(request.remote):
        return "this call comes from another"
    absolute = ABSOLUTE.match(request.raw_path)
    names = {
        "target": absolute is None or _is_local_host(absolute[1]),
        "Host header": _is_local_host(request.headers.get("Host", "")),
        "X-Forwarded-Host header": all(map(_is_local_host, request.headers.getall("X-Forwarded-Host", ()))),
        "Origin header": all(map(_is_local_origin, request.headers.getall("Origin", ()))),
    }
    return next((f"the {name} names another" for name, local in names.items() if not local), None)


def cors_headers(request: web.BaseRequest) -> dict[str, str]:
    """The headers that let a page of this machine read an answer; none for other callers.

    `null` is the origin of a page that was opened as a file. Other pages can have it too, but do not know the token.
    """
    origin = request.headers.get("Origin", "")
    if origin != "null" and not _is_local_origin(origin):
        return {}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": CORS_EXPOSED, "Vary": "Origin"}


def _preflight(request: web.BaseRequest) -> web.Response | None:
    """The answer to a CORS preflight; None for any other request."""
    allowed = cors_headers(request)
    if request.method != "OPTIONS" or not allowed or "Access-Control-Request-Method" not in request.headers:
        return None
    allowed["Access-Control-Allow-Methods"] = "GET, PUT, POST, DELETE"
    allowed["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "")
    return web.Response(status=204, headers=allowed)


class Connection(RequestHandler):
    """A client's connection. What is not HTTP is refused in the platform's form, without the parser's message."""

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
            raise ConnectionError("an answer was being sent already")
        problem = Problem(BAD_REQUEST if status < 500 else BROKEN)
        response = web.json_response(problem.body(), status=problem.status)
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's low-level server: one handler for everything, no router of its own."""

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)
