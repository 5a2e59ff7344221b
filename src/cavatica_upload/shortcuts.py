"""One file in one call, with and without asyncio."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, BinaryIO, TypedDict, Unpack

from cavatica_client import AuthenticatedClient
from cavatica_upload.destination import Destination
from cavatica_upload.events import Listener
from cavatica_upload.receipt import Receipt
from cavatica_upload.uploader import Uploader, UploadOptions


class UploaderOptions(TypedDict, total=False):
    """The keyword arguments of Uploader."""

    token: str | None
    endpoint: str | None
    profile: str | None
    client: AuthenticatedClient | None
    jobs: int | None
    bwlimit: float | None
    verify: bool
    state_dir: str | os.PathLike[str] | None
    listeners: Sequence[Listener]
    share: float
    part_deadline: float | None
    file_deadline: float | None
    allow_http: bool


class Options(UploaderOptions, UploadOptions, total=False):
    """All options of one upload."""


def upload(
    source: str | os.PathLike[str] | BinaryIO, destination: Destination | str, **options: Unpack[Options]
) -> Receipt | None:
    """Upload one file and return its receipt; None where `if_exists="skip"` left it alone.

    `options` are the arguments of Uploader and the fields of UploadRequest. For several files use an Uploader: it
    shares connections, threads and the call budget. Raises the errors of cavatica_upload.errors.
    """
    for_uploader, for_upload = _split(options)
    with Uploader(**for_uploader) as uploader:
        return uploader.upload(source, destination, **for_upload)


async def upload_async(
    source: str | os.PathLike[str] | BinaryIO, destination: Destination | str, **options: Unpack[Options]
) -> Receipt | None:
    """Upload one file in a thread and return its receipt, as `upload()` does.

    When the task is cancelled, what is in flight is dropped, and the upload can be resumed. Listeners are called in
    other threads than the event loop's.
    """
    for_uploader, for_upload = _split(options)
    uploader = await asyncio.to_thread(Uploader, **for_uploader)
    try:
        return await asyncio.to_thread(uploader.upload, source, destination, **for_upload)
    except asyncio.CancelledError:
        uploader.cancel(at_once=True)
        raise
    finally:
        await asyncio.shield(asyncio.to_thread(uploader.close))


def _split(options: Options) -> tuple[Any, Any]:
    own = UploaderOptions.__annotations__
    given = dict(options)
    return (
        {name: value for name, value in given.items() if name in own},
        {name: value for name, value in given.items() if name not in own},
    )
