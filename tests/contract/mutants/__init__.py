"""Servers that are broken on purpose: a proxy in front of the real mock that breaks one thing each.

A defect is a function of a request and of the way on to the mock; none lives in the product. `DEFECTS` has them all by
name, the first line of its docstring says what each one breaks.
"""

from tests.contract.mutants import answers, auth_and_paths, lifecycle, lists, names, transfers
from tests.contract.mutants.proxy import Defect

DEFECTS: dict[str, Defect] = {
    name: defect
    for module in (answers, auth_and_paths, names, lifecycle, lists, transfers)
    for name, defect in module.DEFECTS.items()
}
