"""The operations of the API as methods, with asyncio and without; what they do is in `calls.py`.

What may be sent again is decided below (`policy.py`): a start or a completion whose answer was lost raises an error
with `maybe_acted`, and the caller finds out what happened.
"""

import functools
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from cavatica_client import AuthenticatedClient
from cavatica_upload.api import calls
from cavatica_upload.api.calls import Call, Listing, Steps
from cavatica_upload.api.operations import operation_of
from cavatica_upload.api.readers import Pages
from cavatica_upload.api.responses import Answer, Drifts, error_of
from cavatica_upload.events import Drift

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
Method = TypeVar("Method", bound=Callable[..., Any])

AS_IT_CAME = "cavatica_upload.as_it_came"
"""The extension of a request whose answer is not adapted to the document, since it is read leniently."""

_log = logging.getLogger("cavatica_upload")


def log_drift(drift: Drift) -> None:
    """Log a drift if nobody listens to events."""
    _log.warning("%s", drift.text)


def _read(call: Call[T], response: httpx.Response, base: httpx.URL, drifts: Drifts) -> T:
    operation = operation_of(response.request, base)
    if operation is None or not response.is_success:  # never with a client made by connect(), which raises
        raise error_of(response.status_code, response.headers, response.content)
    answer = Answer(operation, response.status_code, response.headers, response.content)
    drifts.note(answer)
    return call.read(answer)


# Makers of methods: a type checker sees the arguments of the function in `calls.py`, help() its docstring.


def _call(make: Callable[P, Call[T] | Steps[T]]) -> "Callable[Concatenate[Operations, P], T]":
    def method(self: "Operations", /, *args: P.args, **kwargs: P.kwargs) -> T:
        steps, value = iter(make(*args, **kwargs)), None
        try:
            while True:
                value = self._send(steps.send(value))
        except StopIteration as end:
            result: T = end.value
            return result

    return _named_after(make, method)


def _acall(make: Callable[P, Call[T] | Steps[T]]) -> "Callable[Concatenate[AsyncApi, P], Coroutine[Any, Any, T]]":
    async def method(self: "AsyncApi", /, *args: P.args, **kwargs: P.kwargs) -> T:
        steps, value = iter(make(*args, **kwargs)), None
        try:
            while True:
                value = await self._send(steps.send(value))
        except StopIteration as end:
            result: T = end.value
            return result

    return _named_after(make, method)


def _list(make: Callable[P, Listing[Item]]) -> "Callable[Concatenate[Operations, P], Iterator[Item]]":
    def method(self: "Operations", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Item]:
        listing = make(*args, **kwargs)
        pages = Pages(listing.key)
        while not pages.over:
            yield from pages.take(self._send(listing.page(pages.offset)))

    return _named_after(make, method)


def _alist(make: Callable[P, Listing[Item]]) -> "Callable[Concatenate[AsyncApi, P], AsyncIterator[Item]]":
    async def method(self: "AsyncApi", /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Item]:
        listing = make(*args, **kwargs)
        pages = Pages(listing.key)
        while not pages.over:
            for item in pages.take(await self._send(listing.page(pages.offset))):
                yield item

    return _named_after(make, method)


def _named_after(make: Callable[..., Any], method: Method) -> Method:
    functools.update_wrapper(method, make)
    signature = inspect.signature(make)
    oneself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    shown: Any = method
    shown.__signature__ = signature.replace(parameters=[oneself, *signature.parameters.values()])
    return method


class Operations:
    """The operations of the API, one method each.

    Every method raises the errors of `cavatica_upload.errors`. IDs are those that the platform gave; an empty one,
    or one with dots or slashes for a name, is refused with UsageError before anything is sent. A destination is a
    Destination, "owner/name", or the ID of a folder. Answers are read leniently, into the records of
    `cavatica_upload.api.records`. Lists are followed page by page as they are read.
    """

    _drifts: Drifts

    start_upload = _call(calls.start_upload)
    list_uploads = _list(calls.list_uploads)
    get_upload = _call(calls.get_upload)
    get_part_url = _call(calls.get_part_url)
    report_part = _call(calls.report_part)
    report_parts = _call(calls.report_parts)
    complete_upload = _call(calls.complete_upload)
    abort_upload = _call(calls.abort_upload)
    get_file = _call(calls.get_file)
    get_download_url = _call(calls.get_download_url)
    delete_file = _call(calls.delete_file)
    list_files = _list(calls.list_files)
    find_file = _call(calls.find_file)
    list_folder = _list(calls.list_folder)
    create_folder = _call(calls.create_folder)
    edit_files = _call(calls.edit_files)
    get_project = _call(calls.get_project)
    get_rate_limit = _call(calls.get_rate_limit)

    def get_httpx_client(self) -> httpx.Client:
        """Return the client that sends requests."""
        raise NotImplementedError

    def _send(self, call: Call[T]) -> T:
        client = self.get_httpx_client()
        response = client.request(**call.request, extensions={AS_IT_CAME: True})
        return _read(call, response, client.base_url, self._drifts)


class AsyncApi:
    """The operations of `Operations` as coroutines; a client made by `connect()` has it as `aio`.

    `async with connect() as api: async for upload in api.aio.list_uploads(): …`
    """

    def __init__(self, client: AuthenticatedClient, drifts: Drifts) -> None:
        self._client = client
        self._drifts = drifts

    start_upload = _acall(calls.start_upload)
    list_uploads = _alist(calls.list_uploads)
    get_upload = _acall(calls.get_upload)
    get_part_url = _acall(calls.get_part_url)
    report_part = _acall(calls.report_part)
    report_parts = _acall(calls.report_parts)
    complete_upload = _acall(calls.complete_upload)
    abort_upload = _acall(calls.abort_upload)
    get_file = _acall(calls.get_file)
    get_download_url = _acall(calls.get_download_url)
    delete_file = _acall(calls.delete_file)
    list_files = _alist(calls.list_files)
    find_file = _acall(calls.find_file)
    list_folder = _alist(calls.list_folder)
    create_folder = _acall(calls.create_folder)
    edit_files = _acall(calls.edit_files)
    get_project = _acall(calls.get_project)
    get_rate_limit = _acall(calls.get_rate_limit)

    async def _send(self, call: Call[T]) -> T:
        client = self._client.get_async_httpx_client()
        response = await client.request(**call.request, extensions={AS_IT_CAME: True})
        return _read(call, response, client.base_url, self._drifts)
