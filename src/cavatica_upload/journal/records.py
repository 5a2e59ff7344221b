"""An unfinished upload and its parts, and how they are stored in rows of the journal."""

import json
from typing import Any, Self

import attrs

from cavatica_upload.destination import Destination
from cavatica_upload.disk import Identity
from cavatica_upload.errors import UsageError
from cavatica_upload.receipt import checked
from cavatica_upload.storage import SentPart
from cavatica_upload.timing import epoch_seconds


@attrs.frozen(kw_only=True)
class Entry:
    """An unfinished upload, with its fields in the order of the columns of its row.

    `requested_name` is that of the request, `name` that of the file on the platform. `if_exists` is that of the run
    that started the upload. `completing` is the server's time when its completion was requested (UTC, ISO 8601), None
    before. `key` is its row in the journal, 0 if it is not there. An `abandoned` upload is useless and could not be
    aborted.
    """

    key: int = 0
    upload_id: str
    endpoint: str
    destination: Destination
    requested_name: str
    name: str
    identity: Identity
    if_exists: str = "fail"
    part_size: int
    started: str
    completing: str | None = None
    abandoned: bool = False

    def check_resumable(self) -> None:
        """Raise UsageError if the upload was abandoned."""
        if self.abandoned:
            raise UsageError(
                f"Upload {self.upload_id} was abandoned and cannot be resumed; it is only open because it could not be "
                "aborted.",
                f"Abort it: cavatica uploads abort {self.upload_id}",
            )

    def row(self) -> dict[str, object]:
        """Return the values of its row, by field."""
        texts = {"destination": target_text(self.destination), "identity": json.dumps(attrs.asdict(self.identity))}
        return attrs.asdict(self, recurse=False) | texts

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> Self:
        """Return the upload in a row; raises ValueError, TypeError or AttributeError if it is damaged."""
        values = dict(zip(attrs.fields_dict(cls), row, strict=True))
        for name in ("upload_id", "endpoint", "destination", "requested_name", "name", "if_exists", "started"):
            values[name].encode()  # a text, and Unicode
        for name in ("started", "completing"):
            if values[name] is not None:
                epoch_seconds(values[name])
        if values["part_size"] < 1 or "/" in values["upload_id"] or not values["upload_id"].strip("."):
            raise ValueError
        kind, _, value = values["destination"].partition(":")
        values["destination"] = Destination(project=value) if kind == "project" else Destination(parent=value)
        values["identity"] = checked(Identity, json.loads(values["identity"]))
        values["abandoned"] = bool(values["abandoned"])
        return cls(**values)


def target_text(destination: Destination) -> str:
    """Return a destination as it is stored in a row."""
    return f"project:{destination.project}" if destination.project is not None else f"parent:{destination.parent}"


def part_row(part: SentPart) -> tuple[object, ...]:
    """Return the values of the row of a part, without the key of its upload."""
    return part.number, part.size, part.md5, json.dumps(dict(part.headers)), int(part.reported)


def part_from_row(row: tuple[Any, ...]) -> SentPart:
    """Return the part in a row; raises ValueError, TypeError or AttributeError if the row is damaged."""
    number, size, md5, headers, reported = row
    headers = {str(name): str(value) for name, value in json.loads(headers).items()}
    md5 = md5 if isinstance(md5, str) and len(md5) == 32 else None
    return SentPart(int(number), int(size), md5, headers, bool(reported))
