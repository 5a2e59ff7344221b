"""ETags: one that is an MD5 proves the bytes, any other only that something was stored."""

import re
from collections.abc import Mapping

_MD5 = re.compile(r"[0-9a-fA-F]{32}")


def bare_etag(etag: str) -> str:
    """Return an ETag without quotes and without the mark of a weak one; an MD5 in lower case."""
    text = etag.strip()
    if text[:2] in ("W/", "w/"):
        text = text[2:].strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return text.lower() if _MD5.fullmatch(text) else text


def md5_in(etag: str | None) -> str | None:
    """Return the MD5 that an ETag is, in lower case; None if it is none."""
    bare = "" if etag is None else bare_etag(etag)
    return bare if _MD5.fullmatch(bare) else None


def same_etag(one: str | None, other: str | None) -> bool:
    """Return whether two ETags are equal, quoted or not."""
    return one is not None and other is not None and bare_etag(one) == bare_etag(other)


def etag_in(headers: Mapping[str, str]) -> str | None:
    """Return the ETag among headers, whose names may be in any case."""
    return next((value for name, value in headers.items() if name.lower() == "etag"), None)
