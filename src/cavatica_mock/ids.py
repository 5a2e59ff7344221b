"""Ids in the platform's forms."""

import hashlib
import random
import string
from collections.abc import Callable
from typing import Final

ALPHANUMERIC: Final = string.ascii_letters + string.digits
HEXADECIMAL: Final = "0123456789abcdef"


def _nothing(_: str) -> None:
    return None


class Ids:
    """Makes new ids; the same ones in the same order where a seed is given."""

    def __init__(self, seed: int | None) -> None:
        self._random: random.Random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311

    def upload(self, find: Callable[[str], object] = _nothing) -> str:
        """64 letters and digits, as in the vendor's examples; none by which `find` finds something."""
        return self._unknown(ALPHANUMERIC, 64, find)

    def file(self, find: Callable[[str], object] = _nothing) -> str:
        """24 hexadecimal digits, as files and folders have; none by which `find` finds something."""
        return self._unknown(HEXADECIMAL, 24, find)

    def secret(self) -> str:
        return self._unknown(HEXADECIMAL, 64, _nothing)

    def _unknown(self, alphabet: str, length: int, find: Callable[[str], object]) -> str:
        """A seed begins anew when a kept folder is served again: what is taken there is passed over."""
        while True:
            made = "".join(self._random.choices(alphabet, k=length))
            if find(made) is None:
                return made


def root_folder(project: str) -> str:
    """The id of a project's root folder: always the same for the same project."""
    return hashlib.sha256(f"root of {project}".encode()).hexdigest()[:24]


def project_uuid(project: str) -> str:
    """The UUID that a file's `path` shows for its project."""
    digits = hashlib.sha256(f"uuid of {project}".encode()).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def user_of(token: str) -> str:
    """A token's user, as the state on disk names it: the token itself is never written anywhere."""
    return hashlib.sha256(f"user of {token}".encode()).hexdigest()[:16]
