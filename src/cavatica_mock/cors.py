"""CORS for pages of this machine, so that the "Try it" of a documentation page on loopback reaches the mock."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

EXPOSED: Final = (
    "ETag, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id, X-Total-Matching-Query"
)
METHODS: Final = "GET, PUT, POST, DELETE"


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
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and is_loopback(parts.hostname)
    except ValueError:
        return False


def is_local_host(host: str) -> bool:
    """Whether a `Host`, with or without a port, names this machine alone."""
    return is_local_origin(f"http://{host}")


def headers(request: web.BaseRequest) -> dict[str, str]:
    """What lets a page of this machine read an answer; nothing for other callers."""
    origin = request.headers.get("Origin", "")
    if not is_local_origin(origin):
        return {}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def preflight(request: web.BaseRequest) -> web.Response | None:
    """The answer to the question that a browser asks before a call; None if this is no such question."""
    allowed = headers(request)
    if request.method != "OPTIONS" or not allowed or "Access-Control-Request-Method" not in request.headers:
        return None
    allowed["Access-Control-Allow-Methods"] = METHODS
    allowed["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "")
    return web.Response(status=204, headers=allowed)
