"""/_mock: what tests in other languages ask the mock itself. Without a token, from the same machine only."""

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from cavatica_mock import cors
from cavatica_mock.faults import Fault

if TYPE_CHECKING:
    from cavatica_mock.app import Mock

PREFIX = "/_mock/"


async def answer(mock: "Mock", request: web.BaseRequest, target: str) -> web.Response:
    refusal = _refusal(request)
    if refusal is not None:
        return _json(403, {"message": f"The mock's own endpoints are for this machine only: {refusal}."})
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


def _refusal(request: web.BaseRequest) -> str | None:
    """Why the caller is not of this machine; None if it is.

    A web page from elsewhere can make a browser here call the mock: its `Origin` betrays it, or its `Host` if its name
    was made to lead here.
    """
    if not cors.is_loopback(request.remote):
        return "this call comes from another"
    if not cors.is_local_host(request.headers.get("Host", "")):
        return "the Host header names another"
    if "Origin" in request.headers and not cors.is_local_origin(request.headers["Origin"]):
        return "the Origin header names another"
    return None


def _json(status: int, document: dict[str, Any]) -> web.Response:
    return web.json_response(document, status=status)
