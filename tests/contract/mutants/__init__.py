"""Servers that are broken on purpose: a proxy in front of the real mock that breaks one thing each.

None of the defects lives in the product. `DEFECTS` has them all by name, the first line of its docstring says what each
one breaks; `proxy` says how one is written.
"""

from tests.contract.mutants import answers, auth_and_paths, files, lifecycle, transfers
from tests.contract.mutants.proxy import DEFECTS

__all__ = ["DEFECTS", "answers", "auth_and_paths", "files", "lifecycle", "transfers"]
