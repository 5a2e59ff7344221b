"""The HTTP front: requests in, answers out, faults between them. The rules are elsewhere."""

import asyncio
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import attrs
from aiohttp import web

from cavatica_mock import admin, contract, cors, gate, problems, wire
from cavatica_mock.blobs import Blobs
from cavatica_mock.faults import Fault, Faults
from cavatica_mock.files import Files
from cavatica_mock.gate import Admitted, Gate, Request
from cavatica_mock.ids import Ids
from cavatica_mock.operations import Answer, Operations, refused
from cavatica_mock.places import Places
from cavatica_mock.problems import Problem
from cavatica_mock.ratelimit import RateLimit
from cavatica_mock.settings import Settings
from cavatica_mock.signing import PREFIX, Signer
from cavatica_mock.storage import Storage, Traffic
from cavatica_mock.store import Store
from cavatica_mock.uploads import Uploads
from cavatica_mock.views import Views

log = logging.getLogger("cavatica_mock")

HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?", re.ASCII)
ABSOLUTE: Final = re.compile(r"^https?://[^/?#]*", re.IGNORECASE)  # proxies send the whole URL
READ_BUFFER: Final = 2**18  # bytes of a body that may wait to be read
STATE: Final = "state.sqlite"


class Mock:
    """One mock: its state, its rules and its socket. All of it belongs to one event loop."""

    def __init__(self, settings: Settings, folder: Path, faults: Faults) -> None:
        self.settings = settings
        self.faults = faults
        self.traffic = Traffic()
        self.port = 0
        self.origin = ""
        self._answered = 0
        self._runner: web.ServerRunner | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._store = Store(None if settings.data is None else folder / STATE)
        self._blobs = Blobs(folder)
        self._blobs.sweep(self._store.blobs())
        self._rates = RateLimit(settings.rate_limit, settings.clock)
        self._build()

    def _build(self) -> None:
        clock, store, blobs = self.settings.clock, self._store, self._blobs
        ids = Ids(self.settings.seed)
        places = Places(store, self.settings.projects)
        signer = Signer(store.setting("signing secret", ids.secret()).encode())
        self._files = Files(store, blobs, places, ids, clock)
        self._uploads = Uploads(store, blobs, places, ids, clock, self.settings.min_part_size, self.settings.part_size)
        self._storage = Storage(self._uploads, self._files, blobs, signer, self.faults, self.traffic, clock)
        operations = Operations(self.settings, self._uploads, self._files, self._rates, signer)
        document = contract.load()
        self._gate = Gate(document, operations, gate.users(self.settings.tokens), self._rates)

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError when the address cannot be listened at."""
        server = wire.Server(self._answer, auto_decompress=False, read_bufsize=READ_BUFFER, access_log=None)
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
        self._store.close()

    @property
    def calls(self) -> Counter[str]:
        return self.traffic.calls

    @property
    def bytes_received(self) -> int:
        return self.traffic.bytes_received

    def reset(self) -> None:
        """As new: no uploads, files, faults, calls; ids begin anew."""
        self._store.clear()
        self._blobs.sweep(set())
        self._rates.clear()
        self.faults.clear()
        self.traffic.calls.clear()
        self.traffic.bytes_received = 0
        self._build()

    def describe_files(self) -> list[dict[str, Any]]:
        return [self._views.file(file) for file in self._store.files(None)[0]]

    def describe_uploads(self) -> list[dict[str, Any]]:
        shown = []
        for upload in self._store.uploads(None)[0]:
            document = self._views.upload(upload, self._store.reported(upload.id), self._store.parts(upload.id))
            shown.append(document | {"size": upload.size, "stored_parts": self._stored(upload.id)})
        return shown

    def file_bytes(self, file_id: str) -> bytes:
        if self._store.file(file_id) is None:
            raise KeyError(file_id)
        return b"".join(self._blobs.read(self._store.pieces(file_id)))

    @property
    def _views(self) -> Views:
        return Views(f"{self.origin}/v2")

    def _stored(self, upload_id: str) -> list[dict[str, Any]]:
        parts = [part for part in self._store.parts(upload_id) if part.blob is not None]
        return [{"part_number": part.number, "size": part.size, "etag": part.etag} for part in parts]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = cors.preflight(request) or await self._route(request)
        if not response.prepared:
            response.headers.update(cors.headers(request))
        if log.isEnabledFor(logging.INFO):  # without the query, which holds signatures
            log.info("%s %s %s", response.status, request.method, request.raw_path.partition("?")[0])
        return response

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            target = ABSOLUTE.sub("", request.raw_path)
            if target.startswith(PREFIX):
                return await self._storage.answer(request, target)
            if target.startswith(admin.PREFIX):
                return await admin.answer(self, request, target)
            return await self._operate(request, target)
        except ConnectionError:
            return wire.gone()
        except Exception:
            log.exception("The mock failed at %s %s", request.method, request.raw_path.partition("?")[0])
            return self._reply(refused(Problem(problems.BROKEN))).response()

    async def _operate(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        asked = Request(
            request.method,
            target,
            {name.lower(): value for name, value in request.headers.items()},
            self._origin_for(request),
        )
        routed = self._gate.route(asked)
        if isinstance(routed, Answer):
            return self._reply(routed).response()
        operation = routed.operation
        self.traffic.calls[operation.id] += 1
        admitted = self._gate.admit(routed)
        if isinstance(admitted, Answer):
            return self._reply(admitted).response()
        body = await self._body(request)
        if body is None:
            return self._reply(gate.too_long()).response()
        fault = self.faults.take(operation.id, admitted.part)
        if fault is not None:
            return await self._fail(request, admitted, body, fault)
        return self._reply(self._gate.answer(admitted, body)).response()

    async def _fail(
        self, request: web.BaseRequest, admitted: Admitted, body: bytes, fault: Fault
    ) -> web.StreamResponse:
        """Act out a fault. Those that answer in the operation's place leave everything as it was."""
        if fault.then == "reset":
            return wire.reset(request)
        if fault.then == "close":
            return wire.close(request)
        if fault.then == "stall":
            return await wire.stall(request)
        now = self.settings.clock()
        scripted = wire.scripted(fault, now, admitted.standing.headers())
        if scripted is not None:
            return scripted.response()
        if fault.then == "delay":
            await asyncio.sleep(fault.seconds)
        answered = self._reply(self._gate.answer(admitted, body))
        if fault.then == "lost_answer":
            return wire.close(request)
        if fault.then == "truncate":
            return await wire.truncate(request, answered)
        if fault.then == "slow":
            return await wire.trickle(request, answered, fault.bytes_per_second)
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
            if len(body) > gate.BODY_LIMIT:
                return None
        return bytes(body)

    def _reply(self, answer: Answer) -> wire.Reply:
        self._answered += 1
        headers = {**answer.headers, "X-Request-Id": f"mock-{self._answered}"}
        return wire.reply(attrs.evolve(answer, headers=headers), self.settings.clock())

    def _origin_for(self, request: web.BaseRequest) -> str:
        """The mock under the name by which the client reached it, so that every href can be followed."""
        host = request.headers.get("Host", "")
        return f"{self.settings.scheme}://{host}" if HOST.fullmatch(host) else self.origin
