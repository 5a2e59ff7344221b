"""The command line. `main` is the entry point of `cavatica`."""

from cavatica_upload.cli.app import main, run

__all__ = ["main", "run"]
