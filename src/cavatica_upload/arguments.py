"""What the arguments of the Python interface may be."""

import math
import sys
from typing import Any

from cavatica_upload.errors import UsageError


def check_kind(kind: Any, words: str, **arguments: object) -> None:
    """Raise UsageError for an argument that is not of a kind, which `words` name; its value, perhaps a token, is not
    shown.
    """
    for name, value in arguments.items():
        if not isinstance(value, kind):
            raise UsageError(f"{name} is {type(value).__name__}, and {words} is needed.")


def is_number(value: object) -> bool:
    """Return whether a value is a number that a float can hold, and neither a bool nor NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max or value == math.inf
