"""Events as sentences, for plain output and the log file, and as records, for --json.

Every record has `event`, and those of a run have `time` (UTC, ISO 8601). Keys are added in later versions, and none is
renamed or taken away. Sizes are bytes, times seconds; `file` is the path as it was given::

    run_started       files bytes destination shard
    upload_started    file upload_id size part_size parts resumed_parts resumed_bytes
    progress          file sent size bytes_per_second            (at most once a second for each file)
    part_sent         file number size seconds
    part_retried      file number attempt reason delay
    parts_reported    file count
    retrying          operation attempt reason delay
    rate_limit_wait   seconds reset
    notice            file text
    drift             operation key came                         (an answer is not as documented)
    upload_completed  file file_id name project parent size verified receipt
    already_there     file file_id receipt
    upload_skipped    file reason
    upload_failed     file resumable error{kind message hint exit_code}
    run_finished      files uploaded already_there skipped failed described interrupted bytes bytes_sent seconds
                      exit_code resume failures[{file error{…}}]
    problem           message                                    (why nothing was begun)
    error             kind message hint exit_code                (why the command ended)
"""

from typing import Any

import attrs

from cavatica_upload.cli.console import count_text, error_record, size_text, time_text, visible
from cavatica_upload.clock import now_utc
from cavatica_upload.events import (
    BytesSent,
    Drift,
    Event,
    Notice,
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


def sentence(event: Event) -> str:
    """Return what an event says in one line, safe for a terminal."""
    match event:
        case UploadStarted(file, _, size, part_size, parts, resumed_parts, resumed_bytes):
            text = f"{visible(file)}: {'goes on' if resumed_parts else 'started'}"
            if size is not None and parts is not None:
                of = f" of {size_text(part_size)}" if parts > 1 else ""
                text += f", {size_text(size)} in {count_text(parts, 'part')}{of}"
            if resumed_parts:
                text += f"; {size_text(resumed_bytes)} ({count_text(resumed_parts, 'part')}) are there"
            return text
        case PartSent(file, number, size, seconds):
            return f"{visible(file)}: part {number} sent, {size_text(size)} in {time_text(seconds)}"
        case PartRetried(file, number, attempt, reason, delay):
            return (
                f"{visible(file)}: part {number} failed ({visible(reason.rstrip('.'))}); "
                f"try {attempt} in {time_text(delay)}"
            )
        case BytesSent(file, count):
            return f"{visible(file)}: {count} bytes"
        case PartsReported(file, count):
            return f"{visible(file)}: {count_text(count, 'part')} reported"
        case RateLimitWait(seconds):
            return f"The token's API calls are used up for now; going on in {time_text(seconds)}"
        case Retrying(operation, attempt, reason, delay):
            return f"{operation} failed ({visible(reason.rstrip('.'))}); try {attempt} in {time_text(delay)}"
        case UploadCompleted(file, receipt):
            proof = "verified" if receipt.verified else "not verified"
            return f"{visible(file)}: done, {size_text(receipt.size)}, {proof}, file id {receipt.file_id}"
        case UploadFailed(file, error, _):
            return f"{visible(file)}: {visible(str(error))}"
        case UploadSkipped(file, reason):
            return f"{visible(file)}: skipped. {visible(reason)}"
        case Notice(file, text):
            return f"{visible(file)}: {visible(text)}" if file else visible(text)
        case Drift():
            return visible(event.text)


_NAMES: dict[type, str] = {
    UploadStarted: "upload_started",
    PartSent: "part_sent",
    PartRetried: "part_retried",
    PartsReported: "parts_reported",
    RateLimitWait: "rate_limit_wait",
    Retrying: "retrying",
    UploadCompleted: "upload_completed",
    UploadFailed: "upload_failed",
    UploadSkipped: "upload_skipped",
    Notice: "notice",
    Drift: "drift",
}


def record(event: Event) -> dict[str, Any]:
    """Return an event as the object that --json prints; the keys are part of the command's interface."""
    head = {"event": _NAMES.get(type(event), "progress"), "time": timestamp()}
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
        case _:
            return head | attrs.asdict(event)


def timestamp() -> str:
    """Return the time now, UTC, ISO 8601, to the millisecond."""
    return now_utc("milliseconds")
