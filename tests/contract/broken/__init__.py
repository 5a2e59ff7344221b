"""Servers that are broken on purpose: a proxy in front of the real mock that breaks one thing each.

A defect is a function of a request and of the way on to the mock; none lives in the product. `DEFECTS` has them all by
name, the first line of its docstring says what each one breaks.
"""

from tests.contract.broken import answers, doors, lists, lives, names, transfers
from tests.contract.broken.proxy import Defect

DEFECTS: dict[str, Defect] = {
    name: defect
    for module in (answers, doors, names, lives, lists, transfers)
    for name, defect in module.DEFECTS.items()
}
