"""The command line. `main` is the entry point of `cavatica`; nothing else is imported until it runs."""

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main", "run"]


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; whatever happens is said in sentences."""
    from cavatica_upload.cli.app import run as run_app

    return run_app(argv)


def main() -> NoReturn:
    """Be the command `cavatica`."""
    try:
        code = run()
    except KeyboardInterrupt:  # while modules are imported, or after the command has ended
        sys.stderr.write("Error: Interrupted.\n")
        code = 130
    if code == 130:
        # A thread may still wait for standard input; the interpreter would abort when it takes that away.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                continue
        os._exit(code)
    gc.freeze()  # otherwise the interpreter looks for garbage in all modules at its end: 50 ms for nothing
    sys.exit(code)
