"""Multipart upload to CAVATICA and the Seven Bridges platforms: resumable, verified, thrifty with API calls.

>>> from cavatica_upload import upload
>>> receipt = upload("sample.cram", "owner/project")  # doctest: +SKIP

`Uploader` uploads many files over one pool of threads; `connect` returns the generated client, made safe; `verify`
checks a file on disk against a receipt. What can go wrong is drawn in `cavatica_upload.errors`, what can be listened
to stands in `cavatica_upload.events`.
"""

from cavatica_upload.budget.calls import CallBudget
from cavatica_upload.connection import connect
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
from cavatica_upload.request import Outcome, UploadRequest
from cavatica_upload.shortcuts import upload, upload_async
from cavatica_upload.uploader import Uploader
from cavatica_upload.verify import Verification, verify

__all__ = [
    "ApiError",
    "BytesSent",
    "CallBudget",
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
    "Outcome",
    "PartRetried",
    "PartSent",
    "PartsReported",
    "RateLimitWait",
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
    "upload",
    "upload_async",
    "verify",
]
