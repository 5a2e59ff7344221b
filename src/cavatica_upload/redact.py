"""Redaction: what is shown holds no token, no signed URL, no password, and no control characters.

The query of a signed URL is a key. The token is registered as soon as it is found, and removed from every text, in
any of the encodings that servers use.
"""

import base64
import html
import json
import logging
import re
import threading
from typing import NoReturn
from urllib.parse import quote

LONGEST = 400  # characters kept of a server's text
SHORTEST_SECRET = 4  # characters; anything shorter is part of ordinary words
SHORTEST_ENCODED = 8  # characters; shorter secrets are removed in their own form only

_URL_QUERY = re.compile(r"(https?:(?:\\?/){2}[^\s?\"'<>]+)\?[^\s\"'<>]*", re.IGNORECASE)
_URL_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*:(?:\\?/){2})[^\s/?#\"'<>@]*@", re.IGNORECASE)
_SIGNATURE = re.compile(
    r"\b((?:X-Amz-(?:Signature|Credential|Security-Token)|X-Goog-(?:Signature|Credential)|AWSAccessKeyId|Signature"
    r"|sig)(?:=|%3D))[^\s&\"'<>]+",
    re.IGNORECASE,
)
_TARGET = re.compile(r"(target=b['\"][^?'\"]*)\?[^'\"]*")
_HEADER = re.compile(
    r"(b?['\"](?:x-sbg-auth-token|x-sbg-session-id|(?:proxy-)?authorization|location|set-cookie)['\"]\s*[,:]\s*b?)(['\"]).*?\2",
    re.IGNORECASE,
)
LOGGERS = tuple(
    f"{library}{number}{part}"
    for number in ("", "2")  # httpx2 and httpcore2 are httpx and httpcore carried on by others
    for library, parts in (("httpx", ("",)), ("httpcore", (".connection", ".http11", ".http2", ".proxy", ".socks")))
    for part in parts
)


class Secret:
    """A text that only `reveal()` shows; it cannot be pickled or copied."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not copied or pickled: connect() again where it is needed")


class _Secrets:
    """The secrets of this process, in every form that is removed; its repr shows none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        forms = _forms(secret)
        with self._lock:
            if not forms <= self._forms:
                self._forms |= forms
                longest_first = sorted(self._forms, key=len, reverse=True)
                self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def cut(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub("***", text)

    def __repr__(self) -> str:
        return "<secrets>"


def _forms(secret: str) -> set[str]:
    if len(secret) < SHORTEST_SECRET:
        return set()
    forms = {secret}
    if len(secret) >= SHORTEST_ENCODED:
        raw = secret.encode()
        forms |= {quote(secret, safe=""), "".join(f"%{byte:02x}" for byte in raw)}
        forms |= {html.escape(secret), json.dumps(secret)[1:-1], "".join(f"\\u{byte:04x}" for byte in raw)}
        forms.add(raw.hex())
        for shift in range(3):  # where it begins among the groups of three bytes that Base64 writes as four letters
            whole = (len(raw) + shift) // 3 * 3 - shift
            for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
                forms.add(encode(b"\0" * shift + raw[:whole])[(shift * 4 + 2) // 3 :].decode())
    return forms


_secrets = _Secrets()


def protect(secret: str) -> None:
    """Remove a secret from all that is shown from now on, in its own form and in the encodings that servers use."""
    _secrets.add(secret)


def redact(text: str) -> str:
    """Return a text without secrets, without the queries of URLs, and without the passwords in them."""
    return _SIGNATURE.sub(r"\1…", _URL_USER.sub(r"\1***@", _URL_QUERY.sub(r"\1?…", _secrets.cut(text))))


def scrub(text: str) -> str:
    """Return a text as one line that may be shown: redacted, without control characters, not too long."""
    # Terminals obey control characters, and half a surrogate pair cannot be written at all.
    printable = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(redact(printable).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


class Redacted(logging.Filter):
    """Rewrites log records: removes secrets, queries of URLs and values of secret headers. No record is dropped."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record and return True."""
        text = record.getMessage()
        safe = _HEADER.sub(r"\1\2***\2", _TARGET.sub(r"\1?…", redact(text)))
        if safe != text:
            record.msg, record.args = safe, ()
        return True


_FILTER = Redacted()


def redact_logs() -> None:
    """Put the filter on the loggers of httpx and httpcore, which write whole URLs and headers."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
