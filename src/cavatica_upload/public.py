"""The public names, and `upload()` for a single file; `cavatica_upload` loads them when the first of them is used."""

import asyncio
from typing import Any, Unpack, overload

from cavatica_upload.api.client import connect
from cavatica_upload.api.rate_limit import RateLimiter
from cavatica_upload.batch.manifest import requests_for
from cavatica_upload.destination import Destination
from cavatica_upload.errors import (
    ApiError,
    CavaticaError,
    ConfigError,
    ConnectionFailed,
    FileChanged,
    IntegrityError,
    Interrupted,
    NameTaken,
    SourceError,
    StorageError,
    UploadBusy,
    UploadGone,
    UsageError,
)
from cavatica_upload.events import (
    BytesSent,
    Drift,
    Event,
    Listener,
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
from cavatica_upload.receipt import FileDigest, Receipt, ReceiptPart
from cavatica_upload.request import IfExists, Outcome, UploadOptions, UploadRequest
from cavatica_upload.uploader import NotSkip, Place, Source, Uploader, UploaderOptions, with_options_of
from cavatica_upload.verification import Verification, verify

__all__ = [
    "ApiError",
    "BytesSent",
    "CavaticaError",
    "ConfigError",
    "ConnectionFailed",
    "Destination",
    "Drift",
    "Event",
    "FileChanged",
    "FileDigest",
    "IntegrityError",
    "Interrupted",
    "Listener",
    "NameTaken",
    "Notice",
    "Outage",
    "Outcome",
    "PartRetried",
    "PartSent",
    "PartsReported",
    "RateLimitWait",
    "RateLimiter",
    "Receipt",
    "ReceiptPart",
    "Retrying",
    "SourceError",
    "StorageError",
    "UploadBusy",
    "UploadCompleted",
    "UploadFailed",
    "UploadGone",
    "UploadRequest",
    "UploadSkipped",
    "UploadStarted",
    "Uploader",
    "UsageError",
    "Verification",
    "connect",
    "requests_for",
    "upload",
    "upload_async",
    "verify",
]


class Options(UploaderOptions, UploadOptions, total=False):
    """The keyword arguments of `upload()` except `if_exists`."""


@overload
def upload(
    source: Source, destination: Place, *, if_exists: NotSkip = "fail", **options: Unpack[Options]
) -> Receipt: ...
@overload
def upload(
    source: Source, destination: Place, *, if_exists: IfExists, **options: Unpack[Options]
) -> Receipt | None: ...
@with_options_of(UploadRequest, Uploader)
def upload(
    source: Source, destination: Place, *, if_exists: IfExists = "fail", **options: Unpack[Options]
) -> Receipt | None:
    """Upload one file and return its receipt; None if `if_exists="skip"` left it alone.

    `destination` is "owner/name", a path of folders below it ("owner/name/run-7"), or the ID of a folder. The options
    are the fields of UploadRequest and the arguments of Uploader. For several files use an Uploader: it shares
    connections, threads and the rate limit. Raises the errors of cavatica_upload.errors.
    """
    for_uploader, for_upload = _split(options)
    with Uploader(**for_uploader) as uploader:
        return uploader.upload(source, destination, if_exists=if_exists, **for_upload)


@overload
async def upload_async(
    source: Source, destination: Place, *, if_exists: NotSkip = "fail", **options: Unpack[Options]
) -> Receipt: ...
@overload
async def upload_async(
    source: Source, destination: Place, *, if_exists: IfExists, **options: Unpack[Options]
) -> Receipt | None: ...
@with_options_of(UploadRequest, Uploader)
async def upload_async(
    source: Source, destination: Place, *, if_exists: IfExists = "fail", **options: Unpack[Options]
) -> Receipt | None:
    """Upload one file in a thread and return its receipt, as `upload()` does.

    If the task is cancelled, the parts in flight are dropped, and the upload can be resumed. Listeners are not called
    in the thread of the event loop.
    """
    for_uploader, for_upload = _split(options)
    making = asyncio.ensure_future(asyncio.to_thread(Uploader, **for_uploader))
    try:
        uploader = await asyncio.shield(making)
        return await asyncio.to_thread(lambda: uploader.upload(source, destination, if_exists=if_exists, **for_upload))
    except asyncio.CancelledError:
        (await making).cancel(at_once=True)
        raise
    finally:
        await asyncio.shield(asyncio.to_thread((await making).close))


def _split(options: Options) -> tuple[Any, Any]:
    """Return the arguments of Uploader and those of an upload."""
    own = {name: value for name, value in options.items() if name in UploaderOptions.__annotations__}
    return own, {name: value for name, value in options.items() if name not in own}
