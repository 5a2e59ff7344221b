"""What comes of a call, with asyncio or without."""

import logging
from typing import TypeVar

import httpx

from cavatica_upload.api.answers import Answer, operation_of
from cavatica_upload.api.calls import Call
from cavatica_upload.api.drifts import Drifts
from cavatica_upload.api.problems import error_of
from cavatica_upload.api.records import FileDetails
from cavatica_upload.errors import CavaticaError, UnexpectedAnswer
from cavatica_upload.events import Drift
from cavatica_upload.request import FileEdit

T = TypeVar("T")

_log = logging.getLogger("cavatica_upload")


def log_drift(drift: Drift) -> None:
    """Tell a drift to those who listen to nothing else."""
    _log.warning("%s", drift.text)


def read_answer(call: Call[T], response: httpx.Response, base: httpx.URL, drifts: Drifts) -> T:
    """Read the answer to a call, and tell what is different in it."""
    operation = operation_of(response.request, base)
    if operation is None or not response.is_success:  # never so with a client made by connect(), which raises
        raise error_of(response.status_code, response.headers, response.content)
    answer = Answer.of(response, operation)
    drifts.note(answer)
    return call.read(answer)


def not_to_be_found(name: str) -> FileDetails:
    """Raise the error of a folder that is not there although it was made."""
    raise UnexpectedAnswer(
        f"createFolder failed: the server said that it made the folder {name!r}, and the folder is not there.",
        "Look for the folder on the platform, and run the same command again.",
        status=200,
        operation="createFolder",
    )


def as_edited(edit: FileEdit, file: FileDetails) -> CavaticaError | None:
    """Say whether a file has what was to be set, after an answer that did not say."""
    metadata_set = file.metadata is None or dict(edit.metadata).items() <= file.metadata.items()
    if metadata_set and (file.tags is None or set(edit.tags) <= set(file.tags)):
        return None
    return UnexpectedAnswer(
        "editFiles failed: the server did not say what became of the file, and the file is as it was.",
        "Run the same command again.",
        status=200,
        operation="editFiles",
    )
