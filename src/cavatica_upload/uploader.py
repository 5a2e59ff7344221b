"""Upload files: one, or as many as there are, over one pool of threads."""

import os
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import attrs
from cavatica_client import AuthenticatedClient

from cavatica_upload.destination import Destination
from cavatica_upload.events import Listener
from cavatica_upload.receipt import Receipt

IfExists = Literal["fail", "skip", "overwrite", "rename"]
IfChanged = Literal["refuse", "restart"]
DigestName = Literal["md5", "sha256"]


@attrs.frozen(kw_only=True)
class UploadRequest:
    """One file to upload.

    `source` is a path, a URL that fsspec can open (`s3://…`, with the extra `remote`) or a binary stream such as
    `sys.stdin.buffer`, which needs a `name`. `destination` is a Destination, "owner/project" or the id of a folder.

    `name` is the name on the platform (default: the last element of the path); `part_size` a wish in bytes.
    `if_exists` says what to do when a file of that name is there: "fail" (NameTaken), "skip", "overwrite", or "rename"
    to `_1_name`, `_2_name`, … as the platform does.
    `md5` is a known MD5 of the whole file (32 hex), sent to the platform at the start; a sidecar `FILE.md5` is found
    without being named. `digest` asks for one to be computed from a read of its own, beside the upload.
    `changed` says what to do when an unfinished upload of this file is known, but the file has changed since:
    "refuse" (FileChanged) or "restart" (abort the old upload, start anew).
    `resume_id` names an upload that is open on the server and unknown to the local journal.
    `wait` waits for another process that is uploading the same file, instead of raising UploadBusy.
    `key` names the file in events (default: the source as it was given, or the name); `context` is the caller's own,
    never looked at.
    """

    source: str | os.PathLike[str] | BinaryIO
    destination: Destination | str
    name: str | None = None
    part_size: int | None = None
    if_exists: IfExists = "fail"
    digest: DigestName | None = None
    md5: str | None = None
    changed: IfChanged = "refuse"
    resume_id: str | None = None
    wait: bool = False
    key: str = attrs.field(default="")
    context: Any = attrs.field(default=None, eq=False, repr=False)


@attrs.frozen
class Outcome:
    """How an upload ended: with a receipt, with an error, or skipped for a reason (one sentence). One of the three."""

    request: UploadRequest
    receipt: Receipt | None = None
    error: Exception | None = None
    skipped: str | None = None


class Uploader:
    """Uploads files over one pool of threads, one connection pool and one budget of API calls.

    A context manager; may be used from several threads. `token`, `endpoint` and `profile` are found as `connect()`
    finds them, or `client` (made by `connect()`) brings them along. `jobs` fixes the number of parts in flight
    (default: adapts between 1 and 32), `bwlimit` caps the sum of all parts in bytes per second, `verify=False` takes
    no MD5s. `state_dir` is where the journal, the receipts and the shared call budget live (default:
    `CAVATICA_STATE_DIR`, else the user's state directory). `share` is the share of the call budget, for runs that
    are spread over several machines. Deadlines are in seconds; None means none.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        endpoint: str | None = None,
        profile: str | None = None,
        client: AuthenticatedClient | None = None,
        jobs: int | None = None,
        bwlimit: float | None = None,
        verify: bool = True,
        state_dir: str | os.PathLike[str] | None = None,
        listeners: Sequence[Listener] = (),
        share: float = 1.0,
        part_deadline: float | None = 3600.0,
        file_deadline: float | None = None,
    ) -> None:
        raise NotImplementedError

    def upload(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        destination: Destination | str,
        **options: Any,
    ) -> Receipt | None:
        """Upload one file and return its receipt; None where `if_exists="skip"` found the file there.

        `options` are the fields of UploadRequest. Raises the errors of cavatica_upload.errors; Interrupted after
        cancel().
        """
        raise NotImplementedError

    def upload_many(self, requests: Iterable[UploadRequest]) -> Iterator[Outcome]:
        """Upload files over one pool and yield how each ended, in the order in which they end.

        `requests` is read a few thousand at a time, so that it may be endless. A failed file does not stop the
        others; after a fatal answer (token refused, project gone) the rest ends with that error, unsent.
        """
        raise NotImplementedError

    def cancel(self, at_once: bool = False) -> None:
        """Stop: take no new parts, let those in flight finish, report them; `at_once` drops what is in flight too.

        May be called from any thread and from a signal handler. Unfinished uploads stay open on the server and raise
        (or end with) Interrupted, whose hint says how to resume.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Stop the threads and close the connections; uploads under way are interrupted."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
