"""What the API answers, as far as it is used here: None if the server did not say, or said it unreadably.

The models of `cavatica_client` have every key of the document, and are strict. Sizes are bytes, times are UTC.
"""

from collections.abc import Mapping
from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class Entry:
    """What uploads and files have in common: a name, and the project or folder that they are in."""

    name: str | None = None
    project: str | None = None
    parent: str | None = None
    href: str | None = None


@attrs.frozen(kw_only=True)
class StartedUpload(Entry):
    """An upload that has just been started; `part_size` is the server's choice."""

    upload_id: str
    part_size: int
    parallel_uploads: bool = True
    size: int | None = None


@attrs.frozen(kw_only=True)
class ReportedPart:
    """A part that was reported, with the headers that storage answered."""

    part_number: int
    headers: Mapping[str, str]


@attrs.frozen(kw_only=True)
class UploadSummary(Entry):
    """An open upload in a list."""

    upload_id: str
    initiated: datetime | None = None


@attrs.frozen(kw_only=True)
class Upload(UploadSummary):
    """An open upload; `parts` are those reported, None if the server was not asked for them or did not list them."""

    part_size: int | None = None
    parallel_uploads: bool = True
    uploaded_parts_count: int | None = None
    parts: tuple[ReportedPart, ...] | None = None
    size: int | None = None
    md5: str | None = None


@attrs.frozen(kw_only=True)
class PartUrl:
    """Where and how to put the bytes of a part.

    `success_codes` is empty if the platform named none: then any 2xx is success. `expires` is None if it did not
    say until when the URL is valid.
    """

    url: str = attrs.field(repr=False)
    method: str = "PUT"
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    success_codes: tuple[int, ...] = ()
    report_headers: tuple[str, ...] = ("ETag",)
    expires: datetime | None = None


@attrs.frozen(kw_only=True)
class CompletedFile(Entry):
    """The file that a completed upload produced; if `id` is None, the file has to be looked for."""

    id: str | None = None
    size: int | None = None
    created_on: datetime | None = None
    modified_on: datetime | None = None


@attrs.frozen(kw_only=True)
class FileDetails(Entry):
    """A file or a folder; `type_` is "file" or "folder", in upper or lower case."""

    id: str
    type_: str | None = None
    size: int | None = None
    created_on: datetime | None = None
    modified_on: datetime | None = None
    metadata: Mapping[str, str | None] | None = None
    tags: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class Project:
    """A project; `id` is owner/name, `name` its title, `root_folder` the ID of its top level."""

    id: str
    name: str | None = None
    root_folder: str | None = None
    href: str | None = None


@attrs.frozen(kw_only=True)
class RateLimit:
    """The calls left to the token in this window; a `limit` of -1 means none, `reset` is in epoch seconds."""

    limit: int | None = None
    remaining: int | None = None
    reset: int | None = None
