"""The settings of a mock."""

import hashlib
import re
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs

DEFAULT_PART_SIZE: Final = 32 * 2**20  # bytes; the size that the vendor's clients request
MIN_PART_SIZE: Final = 5 * 2**20  # S3's limit for every part but the last
MAX_PART_SIZE: Final = 5 * 2**30
MAX_PARTS: Final = 10_000
MAX_FILE_SIZE: Final = 5 * 2**40
DEFAULT_RATE_LIMIT: Final = (1000, 300.0)  # calls in seconds, per token; docs.sevenbridges.com, API rate limit
PROJECT_FORM: Final = re.compile(r"[^/\s]+/[^/\s]+")
PART_URL_LIFETIME: Final = 3600.0  # seconds; the platform gives no figure


def _no_whitespace(_: object, __: object, tokens: tuple[str, ...]) -> None:
    for token in tokens:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("a token is printable ASCII without spaces and not empty")


@attrs.frozen
class Settings:
    """How the mock behaves. Every token is a separate user.

    `projects` maps `owner/name` to whether it can be written to; with None any project and folder exists. `rate_limit`
    is (calls, seconds), None for no limit. `part_size`, in bytes, is given to every upload whose file fits into 10,000
    such parts, whatever size it requests; it may be tiny, and parts then have no smallest size. `part_url_lifetime` is
    in seconds, `clock` returns seconds since 1970. With `seed`, ids and signatures are the same in every run. With
    `tls` the mock speaks https only. `storage` is the origin that part URLs lead to, None for the mock's own.
    """

    tokens: tuple[str, ...] = attrs.field(validator=_no_whitespace, repr=False)
    projects: Mapping[str, bool] | None = None
    rate_limit: tuple[int, float] | None = None
    data: Path | None = None
    seed: int | None = None
    min_part_size: int = MIN_PART_SIZE
    part_size: int | None = None
    part_url_lifetime: float = PART_URL_LIFETIME
    clock: Callable[[], float] = time.time
    tls: ssl.SSLContext | None = None
    storage: str | None = None

    @property
    def scheme(self) -> str:
        """The scheme of all URLs, of the API and of storage."""
        return "http" if self.tls is None else "https"


def made_up_token(seed: int | None) -> str:
    """A token in the platform's form: 32 lower-case hexadecimal digits."""
    if seed is None:
        return secrets.token_hex(16)
    return hashlib.sha256(f"token of {seed}".encode()).hexdigest()[:32]
