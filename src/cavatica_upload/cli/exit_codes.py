"""What the command's exit code says, decided here and nowhere else."""

from collections.abc import Collection, Mapping
from enum import IntEnum

from cavatica_upload.errors import (
    BadRequest,
    CavaticaError,
    CertificateUntrusted,
    CompleteRefused,
    ConfigError,
    ConnectionFailed,
    EtagMismatch,
    Forbidden,
    IntegrityError,
    Interrupted,
    NotFound,
    PartNotReserved,
    PartRefused,
    RateLimited,
    ServerError,
    StorageError,
    Unauthorized,
    UploadBusy,
    UploadGone,
    UsageError,
)


class Exit(IntEnum):
    """The exit codes of `cavatica`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    ACCESS = 3
    NETWORK = 4
    INTEGRITY = 5
    INTERNAL = 70
    INTERRUPTED = 130


MEANINGS: Mapping[Exit, str] = {
    Exit.DONE: "all done",
    Exit.FAILED: "some files failed, or failed for different reasons",
    Exit.USAGE: "wrong usage, or a file or manifest that cannot be used; nothing was sent",
    Exit.ACCESS: "the token, its permissions, the project, or a certificate",
    Exit.NETWORK: "network, storage or rate limit; run the same command to resume",
    Exit.INTEGRITY: "the bytes are not what they should be",
    Exit.INTERNAL: "internal error",
    Exit.INTERRUPTED: "interrupted; run the same command to resume",
}

_PERMANENT_STATUS = frozenset({400, 404, 405, 410, 411, 413, 414, 415, 501, 505})
"""Answers to a part, or of a server in trouble, that stay the same however often the command is run."""

NO_FOLDER = 5022
"""docs.cavatica.org, API status codes: the parent is not a folder."""

_CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (Interrupted, Exit.INTERRUPTED),
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (UsageError, Exit.USAGE),
    (ConfigError, Exit.ACCESS),
    (Unauthorized, Exit.ACCESS),
    (Forbidden, Exit.ACCESS),
    (UploadGone, Exit.FAILED),
    (NotFound, Exit.ACCESS),
    (IntegrityError, Exit.INTEGRITY),
    (CertificateUntrusted, Exit.ACCESS),
    (ConnectionFailed, Exit.NETWORK),
    (StorageError, Exit.NETWORK),
    (RateLimited, Exit.NETWORK),
    (ServerError, Exit.NETWORK),
    (CompleteRefused, Exit.NETWORK),
    (PartNotReserved, Exit.NETWORK),
    (CavaticaError, Exit.FAILED),
)
"""From the narrow to the wide; the first that fits decides."""


def exit_of(error: BaseException) -> Exit:
    """Return the exit code of a command that ended with this error."""
    if isinstance(error, BadRequest) and error.code == NO_FOLDER:
        return Exit.ACCESS
    if isinstance(error, PartRefused | ServerError) and error.status in _PERMANENT_STATUS:
        return Exit.FAILED
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.INTERNAL)


def exit_of_run(done: int, failures: Collection[Exit]) -> Exit:
    """Return the exit code of a run over files, of which `done` succeeded and `failures` failed, each with its code.

    An interrupted run is 130 whatever else happened. If every failure is of the network, it is 4: the same command
    resumes. If nothing succeeded for one single reason, that is the reason of the run; otherwise it is 1.
    """
    if not failures:
        return Exit.DONE
    if Exit.INTERRUPTED in failures:
        return Exit.INTERRUPTED
    kinds = set(failures)
    if kinds == {Exit.NETWORK}:
        return Exit.NETWORK
    return kinds.pop() if len(kinds) == 1 and not done else Exit.FAILED


def is_resumable(error: BaseException) -> bool:
    """Whether the same command, run again, can go on after this error."""
    return exit_of(error) in (Exit.NETWORK, Exit.INTERRUPTED) or isinstance(error, UploadBusy | EtagMismatch)
