"""The HTTP front: one handler that routes by openapi.yaml."""

from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web

from cavatica_mock.faults import Faults
from cavatica_mock.settings import Settings


class Mock:
    """One mock: its state, its rules and its socket."""

    def __init__(self, settings: Settings, folder: Path, faults: Faults) -> None:
        self.settings = settings
        self.folder = folder
        self.faults = faults
        self.calls: Counter[str] = Counter()
        self.bytes_received = 0
        self.port = 0
        self._runner: web.ServerRunner | None = None

    async def listen(self, host: str, port: int) -> None:
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"status": "NOT_FOUND", "message": "Nothing is routed yet"}, status=404)

    def describe_files(self) -> list[dict[str, Any]]:
        return []

    def describe_uploads(self) -> list[dict[str, Any]]:
        return []

    def file_bytes(self, file_id: str) -> bytes:
        raise KeyError(file_id)

    def reset(self) -> None:
        self.calls.clear()
