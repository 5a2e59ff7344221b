"""The exceptions of this package, as a tree.

::

    CavaticaError                      .message (what happened), .hint (what to do, or None), .maybe_acted, .permanent
    ├── ConfigError                    no usable token, endpoint, profile, proxy or list of certificates
    │   └── EndpointError              no endpoint, or one that would send the token in clear; a UsageError, too
    ├── UsageError (ValueError)        a value that cannot be right; nothing was sent: .problems, if there are several
    ├── ApiError                       the API answered, but not with success: .status .code .reason .operation
    │   ├── BadRequest                 400, and the other 4xx without a class of their own
    │   ├── Unauthorized               401
    │   ├── Forbidden                  403
    │   ├── NotFound                   404
    │   │   └── UploadGone             404/8003: completed, aborted, or never started
    │   ├── Conflict                   409
    │   │   ├── NameTaken              409/8005, 5003, 5030
    │   │   ├── CompleteRefused        409/8007: parts are missing or wrong; the upload stays usable
    │   │   └── PartNotReserved        409/8008: the platform could not reserve space for a part; try again
    │   ├── RateLimited                429
    │   ├── ServerError                5xx, known or not (520, 599)
    │   └── UnexpectedAnswer           a redirect, no JSON, or JSON that differs from the contract
    ├── ConnectionFailed               no whole answer came
    │   └── CertificateUntrusted       the certificate of the API or of storage cannot be verified; nothing was sent
    ├── StorageError                   storage (not the API) did not accept a part: .part
    │   ├── PartRefused                .status, and .code if storage sent one
    │   ├── UrlExpired                 the part URL is no longer valid; the API gives another
    │   └── MissingHeader              storage stored the part, but its answer lacks a required header: .header
    ├── IntegrityError                 bytes that differ from what was expected
    │   ├── EtagMismatch               .part .expected .got
    │   ├── FileChanged                the file on disk changed while it was being uploaded
    │   └── SizeMismatch               .expected .got
    ├── SourceError                    the file is missing, unreadable or too short, or is no file
    ├── WorkerFailed                   a worker of an executor failed; its part is sent elsewhere
    ├── UploadBusy                     another upload to the same name and place is running
    └── Interrupted                    stopped on request; the same command resumes

Every error can be pickled and copied. No error holds the token, or the query of a URL (a signed URL is a key).
The codes are those of docs.cavatica.org, API status codes.
"""

import math
import sys
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self


@dataclass(eq=False, repr=False)
class CavaticaError(Exception):
    """The base of all errors of this package: a sentence on what happened, and one on what to do."""

    message: str
    hint: str | None = None
    _: KW_ONLY
    maybe_acted: bool = False
    """Whether the server may have acted on the request despite this error."""
    permanent: bool = False
    """Whether a retry is known to be useless."""

    def __post_init__(self) -> None:
        super().__init__(self.message)
        if self.hint:
            self.add_note(self.hint)  # shown under the message in a traceback

    def add_to_message(self, words: str) -> None:
        """Add to what happened, in brackets at the end of the sentence."""
        self.message = f"{self.message.rstrip('.')} ({words})."
        self.args = (self.message,)

    def __reduce__(self) -> tuple[object, ...]:
        # The default calls the class with .args, which the keyword-only fields of the subclasses do not survive.
        state = self.__dict__.copy()
        if "__notes__" in state:
            state["__notes__"] = state["__notes__"].copy()  # a note on a copy is none on the original
        return _revive, (type(self), self.args), state


def _revive(kind: type[CavaticaError], args: tuple[object, ...]) -> CavaticaError:
    error = kind.__new__(kind)
    error.args = args
    return error


def reason_of(error: BaseException) -> str:
    """Return why something failed, without the error number and the path."""
    return getattr(error, "strerror", None) or str(error)


def is_interruption(error: BaseException) -> bool:
    """Return whether Ctrl-C caused an error: while a class is made, Python 3.11 puts a RuntimeError around it."""
    return isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt)


class ConfigError(CavaticaError):
    """No usable token, endpoint, profile, proxy or list of certificates was found."""


@dataclass(eq=False, repr=False, kw_only=True)
class UsageError(CavaticaError, ValueError):
    """A value that cannot be right, such as an empty ID or a file name with a slash; nothing was sent.

    If several things are wrong, `problems` has a sentence for each.
    """

    problems: tuple[str, ...] = ()


class EndpointError(ConfigError, UsageError):
    """A value that is no endpoint, or one that would send the token unencrypted to another machine."""


@dataclass(eq=False, repr=False, kw_only=True)
class ApiError(CavaticaError):
    """The API answered, but not with success.

    `reason` is the platform's message, `code` its own number for it (None if the answer came from something else, such
    as a proxy), `operation` the operationId of the contract, and `request_id` is for the platform's support.
    `status` is None if there was none.
    """

    status: int | None = None
    code: int | None = None
    reason: str | None = None
    more_info: str | None = None
    operation: str | None = None
    request_id: str | None = None

    @property
    def maintenance(self) -> bool:
        """Whether the platform says that it is down for maintenance (503 with code 0)."""
        return self.status == 503 and self.code == 0


class BadRequest(ApiError):
    """400, and the other 4xx that have no class of their own: the same request will fail again."""


class Unauthorized(ApiError):
    """401: the token is missing, wrong or expired."""


class Forbidden(ApiError):
    """403: the token's owner may not do this."""


class NotFound(ApiError):
    """404."""


class UploadGone(NotFound):
    """404/8003: the upload was completed or aborted, or never started."""


class Conflict(ApiError):
    """409."""


class NameTaken(Conflict):
    """409/8005, 5003 or 5030: a file or folder of this name already exists."""


class CompleteRefused(Conflict):
    """409/8007: the file could not be assembled from the reported parts; the upload stays usable."""


class PartNotReserved(Conflict):
    """409/8008: the platform could not reserve space for a part, did nothing, and asks to try again."""


class RateLimited(ApiError):
    """429: no calls are left in this window, and waiting did not help."""


class ServerError(ApiError):
    """5xx: a fault of the platform, or of something in front of it."""


class UnexpectedAnswer(ApiError):
    """An answer that is not in the contract: a redirect, no JSON, or JSON of another shape."""


@dataclass(eq=False, repr=False, kw_only=True)
class ConnectionFailed(CavaticaError):
    """No whole answer came: name lookup, connection, TLS, timeout, reset.

    `maybe_acted` is True if the request may have reached the server.
    """

    operation: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class CertificateUntrusted(ConnectionFailed):
    """The certificate of the API's host, or of storage's, cannot be verified; nothing was sent."""

    permanent: bool = True


@dataclass(eq=False, repr=False, kw_only=True)
class StorageError(CavaticaError):
    """Storage (not the API) did not accept a part."""

    part: int | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class PartRefused(StorageError):
    """Storage answered with a status that is not success; `code` is storage's own code (`SlowDown`)."""

    status: int
    code: str | None = None


class UrlExpired(PartRefused):
    """The part URL is no longer valid; the platform gives another."""


@dataclass(eq=False, repr=False, kw_only=True)
class MissingHeader(StorageError):
    """Storage stored the part, but its answer lacks a header that has to be reported, such as the ETag."""

    header: str


class IntegrityError(CavaticaError):
    """Bytes that differ from what was expected."""


@dataclass(eq=False, repr=False, kw_only=True)
class EtagMismatch(IntegrityError):
    """Storage's ETag of a part is not the MD5 of the bytes that were sent."""

    part: int | None = None
    expected: str | None = None
    got: str | None = None


class FileChanged(IntegrityError):
    """The file on disk changed after its upload was started."""


@dataclass(eq=False, repr=False, kw_only=True)
class SizeMismatch(IntegrityError):
    """Two sizes in bytes that should be equal."""

    expected: int | None = None
    got: int | None = None


class SourceError(CavaticaError):
    """The source cannot be read: it is missing, not permitted, too short, or not a file."""


class WorkerFailed(CavaticaError):
    """A worker of an executor was lost, or failed for a reason of its own; the part is sent elsewhere."""


class UploadBusy(CavaticaError):
    """Another upload to the same name and place is running, in this process or another."""


class Interrupted(CavaticaError):
    """Stopped on request; finished work is kept, and the same command resumes."""

    @classmethod
    def while_waiting(cls, what: str) -> Self:
        """Make the error of a wait that was cancelled."""
        return cls(f"Interrupted while waiting for {what}.", "Run the same command again to resume.")


def check_kind(kind: Any, words: str, **arguments: object) -> None:
    """Raise UsageError for an argument that is not of a kind, named by `words`; its value may be a token: not shown."""
    for name, value in arguments.items():
        if not isinstance(value, kind):
            raise UsageError(f"{name} is {type(value).__name__}, and {words} is needed.")


def is_number(value: object) -> bool:
    """Return whether a value is a number that a float can hold, and neither a bool nor NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max or value == math.inf
