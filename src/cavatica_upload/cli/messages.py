"""Errors and events in words, and as the records of --json, which docs/events.md describes."""

import re
from typing import Any

import attrs
import click

from cavatica_upload.cli.exit_codes import NO_FOLDER, exit_of
from cavatica_upload.cli.format import count_text, time_text
from cavatica_upload.clock import now_utc
from cavatica_upload.errors import BadRequest, NameTaken, NotFound, UploadGone
from cavatica_upload.events import (
    BytesSent,
    Drift,
    Event,
    Notice,
    Outage,
    PartRetried,
    PartSent,
    PartsReported,
    RateLimitWait,
    Retrying,
    UploadCompleted,
    UploadFailed,
    UploadSkipped,
    UploadStarted,
)
from cavatica_upload.plan import size_text

# What an operation of the API does, for people who do not know its name.
_OPERATIONS = {
    "startUpload": "Starting the upload",
    "getPartUrl": "Asking where to send a part",
    "reportUploadedPart": "Reporting a part",
    "reportUploadedParts": "Reporting parts",
    "completeUpload": "Completing the file",
    "abortUpload": "Aborting the upload",
    "getUpload": "Looking at the upload",
    "listUploads": "Listing unfinished uploads",
    "listFiles": "Listing files",
    "listFolder": "Listing a folder",
    "getFile": "Looking at a file",
    "createFolder": "Creating a folder",
    "editFiles": "Setting metadata",
    "getProject": "Looking at the project",
    "getRateLimit": "Asking for the rate limit",
}
_OPERATION = re.compile(rf"\b({'|'.join(_OPERATIONS)}) failed\b")
_PATTERN = re.compile(r' does not match "\^[^"]*"')
_IN_PYTHON = re.compile(r" \([^)]* in Python\)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def message_of(error: BaseException) -> str:
    """Return what happened, in one sentence."""
    if isinstance(error, NameTaken):
        return "A file with this name already exists."
    return in_plain_words(getattr(error, "message", None) or str(error) or type(error).__name__)


def in_plain_words(text: str) -> str:
    """Write “Starting the upload failed” instead of “startUpload failed”, and leave out regular expressions."""
    return _PATTERN.sub(" has the wrong form", _OPERATION.sub(lambda found: f"{_OPERATIONS[found[1]]} failed", text))


def hint_of(error: BaseException) -> str | None:
    """Return what to do, in one sentence, None if there is nothing to say."""
    if isinstance(error, NameTaken):
        hint: str | None = "Use --if-exists skip, overwrite or rename."
    else:
        hint = getattr(error, "hint", None)
    if hint is None and isinstance(error, NotFound) and not isinstance(error, UploadGone):
        hint = "Check --project or --parent: what the token may not see looks as if it did not exist."
    if hint is None and isinstance(error, BadRequest) and (error.code == NO_FOLDER or "parent:" in error.message):
        hint = "Check --parent: it takes the ID of a folder, not its name or path."
    return _with_command(_IN_PYTHON.sub("", hint)) if hint else None


def _with_command(hint: str) -> str:
    """Say which command an option belongs to, if the command that is running does not have it."""
    context = click.get_current_context(silent=True)
    if context is None or "cavatica " in hint:
        return hint
    own = {name for param in context.command.params for name in param.opts}
    foreign = [name for name in _OPTION.findall(hint) if name not in own]
    return f"{hint} ({foreign[0]} is an option of “cavatica upload”.)" if foreign and own else hint


def error_record(error: BaseException) -> dict[str, Any]:
    """Return an error as the keys that --json gives it."""
    record: dict[str, Any] = {
        "kind": type(error).__name__,
        "message": message_of(error),
        "hint": hint_of(error),
        "exit_code": int(exit_of(error)),
    }
    operation = getattr(error, "operation", None)
    return record | {"operation": operation} if operation else record


def sentence(event: Event) -> str:
    """Return what an event says, in one line."""
    match event:
        case UploadStarted(file, _, size, part_size, parts, resumed_parts, resumed_bytes):
            if resumed_parts:
                of = f"{resumed_parts:,} of {count_text(parts, 'part')}" if parts else count_text(resumed_parts, "part")
                return f"{file}: resuming, {of} ({size_text(resumed_bytes)}) already uploaded"
            text = f"{file}: started"
            if size is not None and parts is not None:
                of = f" of {size_text(part_size)}" if parts > 1 else ""
                text += f", {size_text(size)} in {count_text(parts, 'part')}{of}"
            return text
        case PartSent(file, number, size, seconds):
            return f"{file}: part {number} sent, {size_text(size)} in {time_text(seconds)}"
        case PartRetried(file, number, attempt, reason, delay):
            return f"{file}: part {number} failed ({reason.rstrip('.')}); try {attempt} in {time_text(delay)}"
        case BytesSent(file, count):
            return f"{file}: {count} bytes"
        case PartsReported(file, count):
            return f"{file}: {count_text(count, 'part')} reported"
        case RateLimitWait(seconds):
            return f"API rate limit reached; resuming in {time_text(seconds)}"
        case Retrying(operation, attempt, reason, delay):
            return in_plain_words(f"{operation} failed ({reason.rstrip('.')}); try {attempt} in {time_text(delay)}")
        case Outage(over=True):
            return "The connection is back."
        case Outage(seconds, parts, reason):
            waiting = f"; {count_text(parts, 'part')} waiting" if parts else ""
            return f"No connection for {time_text(seconds)} ({in_plain_words(reason)}){waiting}"
        case UploadCompleted(file, receipt):
            proof = "verified" if receipt.verified else "not verified"
            return f"{file}: done, {size_text(receipt.size)}, {proof}, file ID {receipt.file_id}"
        case UploadFailed(file, error, _):
            return f"{file}: {message_of(error)}"
        case UploadSkipped(file, reason):
            return f"{file}: skipped. {reason}"
        case Notice(file, text):
            return f"{file}: {text}" if file else text
        case Drift():
            return event.text


def _name(event: Event) -> str:
    """Return `upload_started` for UploadStarted."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()


def record(event: Event) -> dict[str, Any]:
    """Return an event as the object that --json prints; the keys are part of the command's interface."""
    head = {"event": _name(event), "time": timestamp()}
    match event:
        case UploadCompleted(file, receipt):
            return head | {
                "file": file,
                "file_id": receipt.file_id,
                "name": receipt.name,
                "project": receipt.project,
                "parent": receipt.parent,
                "size": receipt.size,
                "verified": receipt.verified,
                "receipt": None if receipt.path is None else str(receipt.path),
            }
        case UploadFailed(file, error, resumable):
            return head | {"file": file, "resumable": resumable, "error": error_record(error)}
        case UploadSkipped(file, reason, different):
            return head | {"file": file, "reason": reason, "different": different}
        case _:
            return head | attrs.asdict(event)


def timestamp() -> str:
    """Return the time now, UTC, ISO 8601, to the millisecond."""
    return now_utc("milliseconds")
