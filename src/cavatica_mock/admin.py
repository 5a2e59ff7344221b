"""/_mock: what tests in other languages ask the mock itself. Without a token, from the same machine only."""

import ipaddress
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from cavatica_mock.faults import Fault

if TYPE_CHECKING:
    from cavatica_mock.app import Mock

PREFIX = "/_mock/"


async def answer(mock: "Mock", request: web.BaseRequest, target: str) -> web.Response:
    if not is_near(request.remote):
        return _json(403, {"message": "The mock's own endpoints are for this machine only."})
    what = target.partition("?")[0].removeprefix(PREFIX)
    if what == "faults" and request.method in ("POST", "GET", "DELETE"):
        return await _faults(mock, request)
    if what == "calls" and request.method == "GET":
        return _json(200, {"calls": dict(mock.traffic.calls), "bytes_received": mock.traffic.bytes_received})
    if what == "uploads" and request.method == "GET":
        return _json(200, {"items": mock.describe_uploads()})
    if what == "files" and request.method == "GET":
        return _json(200, {"items": mock.describe_files()})
    if what == "reset" and request.method == "POST":
        mock.reset()
        return _json(200, {})
    there = "POST, GET, DELETE /_mock/faults; GET /_mock/calls, /_mock/uploads, /_mock/files; POST /_mock/reset"
    return _json(404, {"message": f"The mock has: {there}."})


async def _faults(mock: "Mock", request: web.BaseRequest) -> web.Response:
    if request.method == "DELETE":
        mock.faults.clear()
    elif request.method == "POST":
        try:
            document = json.loads(await request.read())
            faults = [Fault.from_json(item) for item in (document if isinstance(document, list) else [document])]
        except (ValueError, RecursionError) as error:
            return _json(400, {"message": f"These faults cannot be taken: {error}."})
        mock.faults.add(*faults)
    return _json(200, {"items": mock.faults.to_json()})


def is_near(remote: str | None) -> bool:
    """True for an address of this machine alone."""
    try:
        return remote is not None and ipaddress.ip_address(remote).is_loopback
    except ValueError:
        return False


def _json(status: int, document: dict[str, Any]) -> web.Response:
    return web.json_response(document, status=status)
