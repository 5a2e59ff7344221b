"""What the command's exit code says, decided here and nowhere else."""

from collections.abc import Collection, Mapping
from enum import IntEnum

from cavatica_upload.errors import (
    CavaticaError,
    CompleteRefused,
    ConfigError,
    ConnectionFailed,
    Forbidden,
    IntegrityError,
    Interrupted,
    NotFound,
    PartNotReserved,
    RateLimited,
    ServerError,
    StorageError,
    Unauthorized,
    UnexpectedAnswer,
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
    Exit.ACCESS: "the token, its permissions or the project",
    Exit.NETWORK: "network, storage or rate limit; the same command goes on",
    Exit.INTEGRITY: "the bytes are not what they should be",
    Exit.INTERNAL: "a fault of this program",
    Exit.INTERRUPTED: "interrupted; the same command goes on",
}

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
    (ConnectionFailed, Exit.NETWORK),
    (StorageError, Exit.NETWORK),
    (RateLimited, Exit.NETWORK),
    (ServerError, Exit.NETWORK),
    (UnexpectedAnswer, Exit.NETWORK),
    (CompleteRefused, Exit.NETWORK),
    (PartNotReserved, Exit.NETWORK),
    (CavaticaError, Exit.FAILED),
)
"""From the narrow to the wide; the first that fits decides."""


def exit_of(error: BaseException) -> Exit:
    """Return the exit code of a command that ended with this error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.INTERNAL)


def exit_of_run(done: int, failures: Collection[Exit]) -> Exit:
    """Return the exit code of a run over files, of which `done` are well and `failures` failed, each with its own code.

    An interrupted run is 130 whatever else happened. When nothing went well for one single reason, that is the reason
    of the run; when some files are well, or the reasons differ, it is 1.
    """
    if not failures:
        return Exit.DONE
    if Exit.INTERRUPTED in failures:
        return Exit.INTERRUPTED
    kinds = set(failures)
    return kinds.pop() if len(kinds) == 1 and not done else Exit.FAILED


def is_resumable(code: Exit) -> bool:
    """Whether the same command, run again, goes on where this one ended."""
    return code in (Exit.NETWORK, Exit.INTERRUPTED)
