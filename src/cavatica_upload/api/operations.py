"""Which operation a request is, and whether it may be made twice.

Paths and names are those of the document (`contract.py`); here stands only what the document cannot say: what a
second time would do.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

import attrs

from cavatica_upload.api.contract import ContractOperation, contract_operations
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
NEEDS_BODY = {"startUpload"}
"""Beside the reads: without what the answer says there is no going on."""
FREE = {"getRateLimit"}  # docs.cavatica.org, Get your current rate limit status
SLOW = {"completeUpload"}  # storage puts up to 10,000 parts together before the platform answers


@attrs.frozen
class Operation:
    """An operation of the contract, or a request that is none (`name` is then its method and path)."""

    name: str
    repeatable: bool
    """Whether it may be sent again although the first may have been done."""
    reads: bool
    """Whether it changes nothing."""
    needs_body: bool = False
    """Whether a success is one only with JSON in it."""
    gone_is_done: bool = False
    """Whether 404 after a lost answer means that the lost one did it."""
    free: bool = False
    """Whether it is not counted against the rate limit."""
    slow: bool = False
    """Whether its answer may take longer than others (`Timing.slow_silence`)."""
    successes: Mapping[int, Mapping[str, Any] | None] = attrs.field(factory=dict, eq=False)
    """The shape of the answer for each status of success that the document has (`contract.py`)."""


def recognise(method: str, path: str) -> Operation:
    """Return the operation behind a method and a raw path below the base URL."""
    method = method.upper()
    segments = path.split("/")
    for known, template, operation in _operations():
        if known == method and _fits(segments, template):
            return operation
    reads = method in ("GET", "HEAD")
    return Operation(name=f"{method} {path}", repeatable=reads, reads=method == "GET", needs_body=method == "GET")


def refuse_unsafe_path(path: str) -> None:
    """Raise UsageError if a value in a path would make it the path of another operation.

    An empty value, `.` and `..` do: browsers and HTTP libraries resolve them, so that getUpload("..") would list all
    uploads. So does a slash, if a server looks behind its quotes.
    """
    path = path.split("?", 1)[0].removeprefix("/")
    for segment in path.split("/") if path else ():
        value = unquote(segment)
        if not fits_into_path(value):
            raise UsageError(
                f"{value!r} cannot be an id or a name in the path of a request, nothing was sent.",
                "Give the id as the platform shows it.",
            )


def fits_into_path(value: str) -> bool:
    """Return whether an id or a name in a path is read as what it is."""
    return value not in ("", ".", "..") and not any(character in "/\\" or character < " " for character in value)


@cache
def _operations() -> tuple[tuple[str, list[str], Operation], ...]:
    return tuple((one.method, one.path.split("/"), _described(one)) for one in contract_operations())


def _described(one: ContractOperation) -> Operation:
    reads = one.method == "GET"
    has_json = any(shape is not None and shape.get("json", True) for shape in one.successes.values())
    return Operation(
        name=one.name,
        repeatable=reads or one.name in SAFE_TO_REPEAT,
        reads=reads,
        needs_body=has_json and (reads or one.name in NEEDS_BODY),
        gone_is_done=one.name in GONE_IS_DONE,
        free=one.name in FREE,
        slow=one.name in SLOW,
        successes=one.successes,
    )


def _fits(segments: list[str], template: list[str]) -> bool:
    return len(segments) == len(template) and all(
        segment == wanted or (wanted.startswith("{") and segment != "")
        for segment, wanted in zip(segments, template, strict=True)
    )
