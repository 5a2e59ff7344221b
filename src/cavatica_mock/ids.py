"""Ids in the platform's forms."""

import hashlib
import random
import string
from typing import Final

ALPHANUMERIC: Final = string.ascii_letters + string.digits
HEXADECIMAL: Final = "0123456789abcdef"


class Ids:
    """Makes new ids; the same ones in the same order where a seed is given."""

    def __init__(self, seed: int | None) -> None:
        self._random: random.Random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311

    def upload(self) -> str:
        """64 letters and digits, as in the vendor's examples."""
        return "".join(self._random.choices(ALPHANUMERIC, k=64))

    def file(self) -> str:
        """24 hexadecimal digits, as files and folders have."""
        return "".join(self._random.choices(HEXADECIMAL, k=24))

    def secret(self) -> str:
        return "".join(self._random.choices(HEXADECIMAL, k=64))


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
