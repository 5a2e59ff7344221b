"""What the mock remembers."""

from collections.abc import Mapping

import attrs


@attrs.frozen
class Upload:
    """An open upload. Times in seconds since 1970, sizes in bytes."""

    id: str
    user: str
    project: str
    parent: str
    name: str
    size: int | None
    part_size: int
    md5: str | None
    overwrite: bool
    initiated: float
    key: str  # the object's name in storage


@attrs.frozen
class Part:
    """What is known of one part number: what storage holds, what was reported, or both."""

    number: int
    blob: str | None = None
    size: int | None = None
    etag: str | None = None
    report: Mapping[str, object] | None = None


@attrs.frozen
class File:
    """A file, or a folder (`size` None)."""

    id: str
    user: str
    project: str
    parent: str
    name: str
    folder: bool
    size: int | None
    created: float
    modified: float
    metadata: Mapping[str, object]
    tags: tuple[str, ...]


@attrs.frozen
class Piece:
    """One of the blobs that a file consists of, in order."""

    blob: str
    size: int
