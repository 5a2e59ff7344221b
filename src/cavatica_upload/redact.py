"""Redaction: removes tokens, queries of signed URLs, passwords and control characters from texts that are shown.

The query of a signed URL is a key. The token is registered as soon as it is found, and removed from every text, in
each of the encodings that servers use.
"""

import base64
import functools
import html
import logging
import re
from typing import NoReturn

LONGEST = 400  # characters kept of a server's text
SHORTEST_SECRET = 4  # characters; anything shorter is part of ordinary words
SHORTEST_ENCODED = 8  # characters; encoded forms are removed only for secrets of this length up to LONGEST

_SPLIT = r"(?:=?[^!-~]){0,4}"
"""What a server may put between the characters of a secret: the end of a line, a blank, nothing."""
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
    for number in ("", "2")  # httpx2 and httpcore2 are maintained forks
    for library, parts in (("httpx", ("",)), ("httpcore", (".connection", ".http11", ".http2", ".proxy", ".socks")))
    for part in parts
)


class Secret:
    """A text that only `reveal()` shows; it cannot be pickled or copied."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not copied or pickled: connect() again where it is needed")


class _Secrets(set[str]):
    """The secrets of this process; its repr shows none."""

    def __repr__(self) -> str:
        return "<secrets>"


@functools.cache  # made when the first text is shown, which takes longer than an API call
def _pattern_of(secret: str) -> re.Pattern[str]:
    """Return a pattern for every form of a secret that is removed."""
    if not SHORTEST_ENCODED <= len(secret) <= LONGEST:
        return re.compile(re.escape(secret), re.IGNORECASE)
    raw = secret.encode()
    forms = [_SPLIT.join(_any_spelling(character) for character in secret)]
    forms += [_SPLIT.join(letters) for letters in (raw.hex(), base64.b32encode(raw).decode().rstrip("="))]
    for shift in range(3):  # where it begins among the groups of three bytes that Base64 writes as four letters
        whole = (len(raw) + shift) // 3 * 3 - shift
        letters = base64.b64encode(b"\0" * shift + raw[:whole])[(shift * 4 + 2) // 3 :].decode()
        forms.append(_SPLIT.join({"+": "[+-]", "/": "[/_]"}.get(letter, letter) for letter in letters))
    return re.compile("|".join(forms), re.IGNORECASE)


def _any_spelling(character: str) -> str:
    """Return a pattern for a character in itself, a URL (encoded once or again), a string of a program, or HTML."""
    # Spellings must not begin alike: trying a character twice would double the time with every character.
    spellings = [re.escape(one) for one in {character, html.escape(character)}]
    for byte in character.encode():
        spellings += [rf"%(?:25){{0,3}}{byte:02x}", rf"&\#(?:0{{0,5}}{byte}|x0{{0,5}}{byte:x});"]
        spellings.append(rf"\\{{1,4}}(?:x|u00|u\{{){byte:02x}\}}?")
    return f"(?:{'|'.join(spellings)})"


_secrets = _Secrets()


def protect(secret: str) -> None:
    """Remove a secret from all texts that are shown from now on, in each of the encodings that servers use."""
    if len(secret) >= SHORTEST_SECRET:
        _secrets.add(secret)


def redact(text: str) -> str:
    """Return a text without secrets, without the queries of URLs, and without the passwords in them."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = _pattern_of(secret).sub("***", text)
    return _SIGNATURE.sub(r"\1…", _URL_USER.sub(r"\1***@", _URL_QUERY.sub(r"\1?…", text)))


def scrub(text: str) -> str:
    """Return a text as one line that may be shown: redacted, without control characters, not too long."""
    # Terminals obey control characters, and half a surrogate pair cannot be written at all.
    printable = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(redact(printable).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


class Redacted(logging.Filter):
    """Rewrites log records: removes secrets, queries of URLs and values of secret headers. No record is dropped."""

    def filter(self, record: logging.LogRecord) -> bool:
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
