"""Servers that are broken on purpose. Importing the package registers the mutants of every module in `DEFECTS`."""

from tests.contract.mutants import answers, auth_and_paths, files, lifecycle, transfers
from tests.contract.mutants.proxy import DEFECTS

__all__ = ["DEFECTS", "answers", "auth_and_paths", "files", "lifecycle", "transfers"]
