"""
The receipt of an upload: what went up, where to, and what was proved of it.

One JSON file per uploaded file, written whole or not at all, kept under `receipts/` in the state directory.
It holds no token and no signed URL, and may be handed on.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any, Literal

import attrs

from cavatica_upload.errors import SourceError

SCHEMA = "cavatica-upload receipt"
VERSION = 1


@attrs.frozen
class ReceiptPart:
    """
    One part as storage took it: `md5` of the bytes as they were sent (hex), `etag` as storage answered.

    `verified` means that the two are equal. `md5` is None where hashing was switched off.
    `resumed` marks a part that an earlier run had sent.
    """

    number: int
    size: int
    md5: str | None
    etag: str | None
    verified: bool
    resumed: bool = False


@attrs.frozen
class FileDigest:
    """
    The digest of the whole file: `origin` is "computed" (read here, beside the upload), "given" or "sidecar" (taken as known).
    """

    algorithm: Literal["md5", "sha256"]
    value: str
    origin: Literal["computed", "given", "sidecar"]


@attrs.frozen(kw_only=True)
class Receipt:
    """
    What an upload leaves behind. Sizes in bytes, times in UTC as ISO 8601 with Z.

    `composite` is the MD5 over the MD5s of the parts, with the number of parts, as S3 shows it as the ETag of the
    whole object; None where a part has no MD5. `verified` is True where everything was proved: the MD5 of every part
    equals the ETag that storage gave, the sizes agree, and the file on disk did not change meanwhile.
    `not_verified` says in sentences what was not. `path` is where the receipt is kept; it is not part of the JSON.
    """

    file_id: str
    name: str
    project: str | None
    parent: str | None
    source: str
    upload_id: str
    size: int
    part_size: int
    parts: tuple[ReceiptPart, ...]
    composite: str | None
    verified: bool
    not_verified: tuple[str, ...] = ()
    digest: FileDigest | None = None
    started: str
    finished: str
    endpoint: str
    contract_version: str
    tool_version: str
    href: str | None = None
    path: Path | None = attrs.field(default=None, eq=False)

    def to_json(self) -> str:
        """Return the receipt as JSON text, ending in a newline."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, text: str) -> "Receipt":
        """Read a receipt from JSON text; raises SourceError where the text is no receipt, or of a later version."""
        raise NotImplementedError
