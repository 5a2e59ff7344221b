"""The reference page of the API, which `make docs` makes in a source tree."""

from pathlib import Path
from typing import Final

from aiohttp import web

PATH: Final = "/docs"
PAGE: Final = Path(__file__).parents[2] / "build" / "reference.html"
HOW: Final = "There is no reference page here. Make it in a source tree of cavatica-upload: make docs\n"


def answer(request: web.BaseRequest) -> web.Response:
    """Return the page, or a sentence that says how to make it."""
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, headers={"Allow": "GET, HEAD"})
    if not PAGE.is_file():
        return web.Response(status=404, text=HOW)
    return web.Response(body=PAGE.read_bytes(), content_type="text/html", charset="utf-8")
