"""Between the rows of the journal's tables and what they are about."""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from cavatica_upload.clock import epoch_seconds
from cavatica_upload.destination import Destination
from cavatica_upload.identity import Identity
from cavatica_upload.journal.records import Entry, SentPart


def entry_row(entry: Entry) -> tuple[object, ...]:
    """Return an upload as the values of a row."""
    return (
        entry.upload_id,
        entry.endpoint,
        target_text(entry.destination),
        entry.asked,
        entry.name,
        json.dumps(attrs.asdict(entry.identity)),
        entry.if_exists,
        entry.part_size,
        entry.started,
    )


def part_row(entry: Entry, part: SentPart) -> tuple[object, ...]:
    """Return a part as the values of a row."""
    return entry.key, part.number, part.size, part.md5, json.dumps(dict(part.headers)), int(part.reported)


def read_part(row: tuple[Any, ...]) -> SentPart:
    """Return the part in a row; raises ValueError or TypeError if the row is spoilt."""
    headers = json.loads(row[3])
    if not isinstance(headers, dict):
        raise TypeError("headers")
    md5 = row[2] if isinstance(row[2], str) and len(row[2]) == 32 else None
    return SentPart(
        int(row[0]), int(row[1]), md5, {str(name): str(value) for name, value in headers.items()}, bool(row[4])
    )


def read_entry(row: tuple[Any, ...]) -> Entry:
    """Return the upload in a row; raises ValueError, TypeError or KeyError if the row is spoilt."""
    (key, upload_id, endpoint, target, asked, name, identity, if_exists, part_size, started, completing, abandoned) = (
        row
    )
    epoch_seconds(started)
    if completing is not None:
        epoch_seconds(completing)
    if part_size < 1:
        raise ValueError("part_size")
    if not upload_id or "/" in upload_id or upload_id.strip(".") == "":
        raise ValueError("upload_id")
    return Entry(
        key=key,
        upload_id=upload_id,
        endpoint=endpoint,
        destination=_destination(target),
        asked=asked,
        name=name,
        identity=_identity(json.loads(identity)),
        if_exists=if_exists,
        part_size=part_size,
        started=started,
        completing=completing,
        abandoned=bool(abandoned),
    )


def _identity(fields: Mapping[str, Any]) -> Identity:
    return Identity(
        path=str(fields["path"]),
        size=int(fields["size"]),
        device=int(fields["device"]),
        inode=int(fields["inode"]),
        mtime_ns=int(fields["mtime_ns"]),
        ctime_ns=int(fields["ctime_ns"]),
        tag=str(fields["tag"]),
    )


def target_text(destination: Destination) -> str:
    """Return a destination as text."""
    return f"project:{destination.project}" if destination.project is not None else f"parent:{destination.parent}"


def _destination(target: str) -> Destination:
    kind, _, value = target.partition(":")
    return Destination(project=value) if kind == "project" else Destination(parent=value)
