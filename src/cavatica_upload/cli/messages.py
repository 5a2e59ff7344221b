"""Exit codes; errors and events in words and as the objects of --json; times in words."""

import re
from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Any

import attrs

from cavatica_upload import errors, events
from cavatica_upload.plan import count_text, size_text
from cavatica_upload.timing import now_utc


class Exit(IntEnum):
    """The exit codes of `cavatica`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    ACCESS = 3
    NETWORK = 4
    INTEGRITY = 5
    INTERNAL = 70
    INTERRUPTED = 130


MEANINGS: Mapping[Exit, str] = {
    Exit.DONE: "all done",
    Exit.FAILED: "some files failed, or failed for different reasons",
    Exit.USAGE: "wrong usage, or a file or manifest that cannot be used; nothing was sent",
    Exit.ACCESS: "the token, its permissions, the project, or a certificate",
    Exit.NETWORK: "network, storage or rate limit; run the same command to resume",
    Exit.INTEGRITY: "the bytes are not what they should be",
    Exit.INTERNAL: "internal error",
    Exit.INTERRUPTED: "interrupted; run the same command to resume",
}

_PERMANENT_STATUS = frozenset({400, 404, 405, 410, 411, 413, 414, 415, 501, 505})
"""Answers of storage or of a failing server that stay the same however often the command is run."""

_NO_FOLDER = 5022  # docs.cavatica.org, API status codes: the parent is not a folder

_CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (errors.Interrupted, Exit.INTERRUPTED),
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (errors.UsageError, Exit.USAGE),
    (errors.ConfigError, Exit.ACCESS),
    (errors.Unauthorized, Exit.ACCESS),
    (errors.Forbidden, Exit.ACCESS),
    (errors.UploadGone, Exit.FAILED),
    (errors.NotFound, Exit.ACCESS),
    (errors.IntegrityError, Exit.INTEGRITY),
    (errors.CertificateUntrusted, Exit.ACCESS),
    (errors.ConnectionFailed, Exit.NETWORK),
    (errors.StorageError, Exit.NETWORK),
    (errors.RateLimited, Exit.NETWORK),
    (errors.ServerError, Exit.NETWORK),
    (errors.CompleteRefused, Exit.NETWORK),
    (errors.PartNotReserved, Exit.NETWORK),
    (errors.CavaticaError, Exit.FAILED),
)
"""The first class that fits decides; so subclasses come first."""


def exit_of(error: BaseException) -> Exit:
    """Return the exit code of a command that failed with this error."""
    if isinstance(error, errors.BadRequest) and error.code == _NO_FOLDER:
        return Exit.ACCESS
    if isinstance(error, errors.PartRefused | errors.ServerError) and error.status in _PERMANENT_STATUS:
        return Exit.FAILED
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.INTERNAL)


def exit_of_run(done: int, failures: Collection[Exit]) -> Exit:
    """Return the exit code of a run: `done` files succeeded, `failures` are the codes of the others.

    130 if the run was interrupted. 4 if all failures are of the network: the same command resumes. If nothing succeeded
    and all failures have one code, that code. Otherwise 1.
    """
    codes = set(failures)
    if not codes:
        return Exit.DONE
    if Exit.INTERRUPTED in codes:
        return Exit.INTERRUPTED
    return codes.pop() if codes == {Exit.NETWORK} or (len(codes) == 1 and not done) else Exit.FAILED


def is_resumable(error: BaseException) -> bool:
    """Whether the same command, run again, resumes after this error."""
    again = isinstance(error, errors.UploadBusy | errors.EtagMismatch)
    return again or exit_of(error) in (Exit.NETWORK, Exit.INTERRUPTED)


_PATTERN = re.compile(r' does not match "\^[^"]*"')
_IN_PYTHON = re.compile(r" \((?:[^()]|\(\))* in Python\)")


def message_of(error: BaseException) -> str:
    """Return what happened, in one sentence."""
    if isinstance(error, errors.NameTaken):
        return "A file with this name already exists."
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    return _PATTERN.sub(" has the wrong form", message)


def hint_of(error: BaseException) -> str | None:
    """Return what to do, in one sentence, None if there is nothing to say."""
    hint: str | None = getattr(error, "hint", None)
    match error:
        case errors.NameTaken():
            hint = "With “cavatica upload”, use --if-exists skip, overwrite or rename."
        case errors.NotFound(hint=None) if not isinstance(error, errors.UploadGone):
            hint = "Check --project or --parent: what the token may not see looks as if it did not exist."
        case errors.BadRequest(hint=None) if error.code == _NO_FOLDER or "parent:" in error.message:
            hint = "Check --parent: it takes the ID of a folder, not its name or path."
    return _IN_PYTHON.sub("", hint) if hint else None


def error_record(error: BaseException) -> dict[str, Any]:
    """Return an error as the keys and values of --json."""
    operation = getattr(error, "operation", None)
    return {
        "kind": type(error).__name__,
        "message": message_of(error),
        "hint": hint_of(error),
        "exit_code": int(exit_of(error)),
    } | ({"operation": operation} if operation else {})


def sentence(event: events.Event) -> str:
    """Return an event in words, on one line."""
    match event:
        case events.UploadStarted(file, _, size, part_size, parts, resumed_parts, resumed_bytes):
            if resumed_parts:
                of = f"{resumed_parts:,} of {count_text(parts, 'part')}" if parts else count_text(resumed_parts, "part")
                return f"{file}: resuming, {of} ({size_text(resumed_bytes)}) already uploaded"
            if size is None or parts is None:
                return f"{file}: started"
            of = f" of {size_text(part_size)}" if parts > 1 else ""
            return f"{file}: started, {size_text(size)} in {count_text(parts, 'part')}{of}"
        case events.PartSent(file, number, size, seconds):
            return f"{file}: part {number} sent, {size_text(size)} in {time_text(seconds)}"
        case events.PartRetried(file, number, attempt, reason, delay):
            return f"{file}: part {number} failed ({reason.rstrip('.')}); try {attempt} in {time_text(delay)}"
        case events.BytesSent(file, count):
            return f"{file}: {count_text(count, 'byte')}"
        case events.PartsReported(file, count):
            return f"{file}: {count_text(count, 'part')} reported"
        case events.RateLimitWait(seconds):
            return f"API rate limit reached; resuming in {time_text(seconds)}"
        case events.Retrying(operation, attempt, reason, delay):
            from cavatica_upload.api.operations import failed  # with an API client it is loaded

            return f"{failed(operation)} ({reason.rstrip('.')}); try {attempt} in {time_text(delay)}"
        case events.Outage(over=True):
            return "The connection is back."
        case events.Outage(seconds, parts, reason):
            waiting = f"; {count_text(parts, 'part')} waiting" if parts else ""
            return f"No connection for {time_text(seconds)} ({reason}){waiting}"
        case events.UploadCompleted(file, receipt):
            proof = "verified" if receipt.verified else "not verified"
            return f"{file}: done, {size_text(receipt.size)}, {proof}, file ID {receipt.file_id}"
        case events.UploadFailed(file, error, _):
            return f"{file}: {message_of(error)}"
        case events.UploadSkipped(file, reason):
            return f"{file}: skipped. {reason}"
        case events.Notice(file, text):
            return f"{file}: {text}" if file else text
        case events.Drift():
            return event.text


def record(event: events.Event) -> dict[str, Any]:
    """Return an event as the object that --json prints; the keys are part of the command's interface."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()  # upload_started
    head = {"event": name, "time": now_utc("milliseconds")}
    match event:
        case events.UploadCompleted(file, receipt):
            keys = ("file_id", "name", "project", "parent", "size", "verified")
            path = None if receipt.path is None else str(receipt.path)
            return head | {"file": file, **{key: getattr(receipt, key) for key in keys}, "receipt": path}
        case events.UploadFailed(file, error, resumable):
            return head | {"file": file, "resumable": resumable, "error": error_record(error)}
        case events.UploadSkipped(file, reason, different):
            return head | {"file": file, "reason": reason, "different": different}
        case _:
            return head | attrs.asdict(event)


def time_text(seconds: float) -> str:
    """Write a span of time: `4.2 s`, `58 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"
