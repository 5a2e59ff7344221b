"""What is known of an upload that is not finished yet."""

from collections.abc import Mapping

import attrs

from cavatica_upload.destination import Destination
from cavatica_upload.identity import Identity
from cavatica_upload.storage.etag import etag_in, md5_in


@attrs.frozen
class SentPart:
    """A part that storage took: `md5` of the bytes as they were sent (None: not taken), `headers` as storage answered.

    `reported` means that the API was told.
    """

    number: int
    size: int
    md5: str | None
    headers: Mapping[str, str]
    reported: bool = False

    @property
    def etag(self) -> str | None:
        """The ETag as storage gave it."""
        return etag_in(self.headers)

    @property
    def verified(self) -> bool:
        """Whether the ETag is the MD5 of the bytes that were sent."""
        return self.md5 is not None and md5_in(self.etag) == self.md5


@attrs.frozen(kw_only=True)
class Entry:
    """An upload that is not finished as far as the journal knows.

    `asked` is the name before any renaming, `if_exists` what the run that began it was to do with a taken name.
    `completing` is the server's time when completion was asked for (UTC, ISO 8601), None before. A `key` of 0 means
    that the journal does not know it. `abandoned` is one that is of no use any more and could not be aborted.
    """

    key: int = 0
    upload_id: str
    endpoint: str
    destination: Destination
    asked: str
    name: str
    identity: Identity
    part_size: int
    started: str
    if_exists: str = "fail"
    completing: str | None = None
    abandoned: bool = False
