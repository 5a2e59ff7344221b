"""The command line. `main` is the entry point of `cavatica`; hardly anything is imported until it runs."""

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cavatica_upload.errors import is_interruption

__all__ = ["main", "run"]


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Every error is printed as a sentence."""
    from cavatica_upload.cli.app import run as run_app

    return run_app(argv)


def main() -> NoReturn:
    """Run the command `cavatica` and exit."""
    try:
        code = run()
    except BaseException as error:
        if not is_interruption(error):
            raise
        # While modules are imported, or after the command has ended
        with contextlib.suppress(OSError, AttributeError):  # standard error may be closed, by the caller or its reader
            sys.stderr.write("Error: Interrupted.\n")
        code = 130
    if code == 130:  # a thread may still read standard input; the interpreter would abort when it closes that
        os._exit(code)
    gc.freeze()  # saves the 50 ms of a last garbage collection
    sys.exit(code)
