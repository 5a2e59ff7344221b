"""The public names, in one place; `cavatica_upload` loads them when the first of them is used."""

from cavatica_upload.api.client import connect
from cavatica_upload.api.rate_limit import RateLimiter
from cavatica_upload.batch.files import requests_for
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
from cavatica_upload.request import Outcome, UploadRequest
from cavatica_upload.uploader import Uploader, upload, upload_async
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
