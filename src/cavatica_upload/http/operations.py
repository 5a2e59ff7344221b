"""Which operation a request is, and whether it may be made twice.

Paths and names are taken from the generated functions, so that the contract is not copied here; only what the
contract cannot say is: what a second time would do.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType, SimpleNamespace
from urllib.parse import unquote

import attrs

import cavatica_client.api
from cavatica_upload.errors import UsageError

SAFE_TO_REPEAT = {
    "reportUploadedPart": "the same report again changes nothing",
    "reportUploadedParts": "the same reports again change nothing",
    "abortUpload": "what is aborted stays so; a repeated call finds it gone, which is what was wanted",
    "deleteFile": "what is deleted stays so; a repeated call finds it gone, which is what was wanted",
    "editFiles": "metadata are merged, and the same values again change nothing",
}
ONLY_ONCE = {
    "startUpload": "a second one opens a second upload: the caller looks in listUploads",
    "completeUpload": "after the first one the upload is gone (404/8003): the caller looks for the file",
    "createFolder": "a second one finds the name taken (409): the caller looks for the folder",
}
GONE_IS_DONE = {"abortUpload", "deleteFile"}
SUCCESS = {
    "abortUpload": 204,
    "createFolder": 201,
    "deleteFile": 204,
    "reportUploadedPart": 200,
    "reportUploadedParts": 200,
    "startUpload": 200,
}
"""The contract's status where the sources disagree; the vendor's clients take 200, 201, 202 and 204 for the same."""
ECHOES = {"reportUploadedPart", "reportUploadedParts"}
"""Answered with the request's own body by some platforms, with nothing by others."""
FREE = {"getRateLimit"}  # docs.cavatica.org, Get your current rate limit status
PATIENCE = {
    "completeUpload": 300.0,  # storage puts up to 10,000 parts together before the platform answers
}


@attrs.frozen
class Operation:
    """An operation of the contract, or a request that is none (`name` is then its method and path)."""

    name: str
    repeatable: bool
    """Whether it may be sent again although the first may have been done."""
    reads: bool
    """Whether it changes nothing, and always answers with a body."""
    gone_is_done: bool = False
    """Whether 404 after a lost answer means that the lost one did it."""
    success: int | None = None
    """The status that stands for every success, where it may come with another."""
    echoes: bool = False
    """Whether an empty answer means the same as the request's own body."""
    free: bool = False
    """Whether it is not counted against the rate limit."""
    patience: float = 0.0
    """Seconds that an answer may take, where that is more than usual."""


def recognise(method: str, path: str) -> Operation:
    """Return the operation behind a method and a raw path below the base URL."""
    method = method.upper()
    segments = path.split("/")
    for known, template, operation in _operations():
        if known == method and _fits(segments, template):
            return operation
    return Operation(name=f"{method} {path}", repeatable=method in ("GET", "HEAD"), reads=method == "GET")


def refuse_unsafe_path(path: str) -> None:
    """Raise UsageError where a value in a path would make it the path of another operation.

    An empty value, `.` and `..` do: browsers and HTTP libraries resolve them, so that getUpload("..") would list all
    uploads. So does a slash, where a server looks behind its quotes.
    """
    path = path.split("?", 1)[0].removeprefix("/")
    for segment in path.split("/") if path else ():
        value = unquote(segment)
        if value in ("", ".", "..") or any(character in "/\\" or character < " " for character in value):
            raise UsageError(
                f"{value!r} cannot be an id or a name in the path of a request, nothing was sent.",
                "Give the id as the platform shows it.",
            )


@cache
def _operations() -> tuple[tuple[str, list[str], Operation], ...]:
    return tuple(_describe(module) for module in generated_modules())


def generated_modules() -> Iterator[ModuleType]:
    """Import and yield the generated module of every operation."""
    package = cavatica_client.api
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.ispkg:
            yield importlib.import_module(found.name)


def _fits(segments: list[str], template: list[str]) -> bool:
    return len(segments) == len(template) and all(
        segment == wanted or (wanted == _MARK and segment != "")
        for segment, wanted in zip(segments, template, strict=True)
    )


def _describe(module: ModuleType) -> tuple[str, list[str], Operation]:
    first, *others = module.__name__.rpartition(".")[2].split("_")
    name = first + "".join(word.capitalize() for word in others)
    # Ask the generated function itself which path it makes, with marks in the place of values.
    parameters = inspect.signature(module._get_kwargs).parameters.values()  # noqa: SLF001  (all that names the path)
    values: dict[str, object] = {}
    for parameter in parameters:
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            values[parameter.name] = _MARK
        elif parameter.default is parameter.empty:
            values[parameter.name] = SimpleNamespace(to_dict=dict) if parameter.name == "body" else _MARK
    request = module._get_kwargs(**values)  # noqa: SLF001
    method = request["method"].upper()
    operation = Operation(
        name=name,
        repeatable=method == "GET" or name in SAFE_TO_REPEAT,
        reads=method == "GET",
        success=SUCCESS.get(name),
        echoes=name in ECHOES,
        free=name in FREE,
        gone_is_done=name in GONE_IS_DONE,
        patience=PATIENCE.get(name, 0.0),
    )
    return method, request["url"].split("/"), operation


_MARK = "00value00"
