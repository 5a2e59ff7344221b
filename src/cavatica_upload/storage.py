"""Puts the bytes of a part to a signed URL. Knows nothing of the API and never sees the token.

A part is never in memory as a whole: its blocks are read, hashed and sent one by one. The answer of storage is checked
before the part can be reported.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import attrs
import httpx

from cavatica_upload.config import same_origin
from cavatica_upload.errors import (
    CavaticaError,
    CertificateUntrusted,
    EtagMismatch,
    Interrupted,
    MissingHeader,
    PartRefused,
    StorageError,
    UnexpectedAnswer,
    UrlExpired,
)
from cavatica_upload.http import USER_AGENT
from cavatica_upload.http.connections import Connections
from cavatica_upload.http.connections import deadline as hold_deadline
from cavatica_upload.http.exchange import describe_failure, not_followed
from cavatica_upload.md5 import new_digest
from cavatica_upload.plan import Part, PartUrl
from cavatica_upload.redact import redact_logs, scrub
from cavatica_upload.sources.local import Source, usual_block
from cavatica_upload.timing import Timing

LONGEST_ANSWER = 64 * 1024  # bytes of the body that are read
MOST_REDIRECTS = 3  # of one attempt

_S3_CODE = re.compile(rb"<Code>([A-Za-z0-9._-]{1,64})</Code>")
_S3_MESSAGE = re.compile(rb"<Message>([^<]{1,400})</Message>")
_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "host", "connection", "expect"})
_NOT_ELSEWHERE = frozenset({"authorization", "cookie"})  # are not sent along a redirect to another host
SMALLER_PARTS = "abort the upload (cavatica uploads abort) and start it again with smaller parts."  # it keeps its own
CHECK_ANSWERER = "Check whether a proxy answers in storage's place; if not, ask the platform's support."


# An ETag that is an MD5 proves the bytes; any other one proves only that something was stored.


def unquoted(etag: str) -> str:
    """Return an ETag without quotes and without the mark of a weak one, which a proxy may add."""
    text = etag.strip()
    if text[:2] in ("W/", "w/"):
        text = text[2:].strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text


def bare_etag(etag: str) -> str:
    """Return an ETag without quotes and without the mark of a weak one; an MD5 in lower case."""
    text = unquoted(etag)
    return text.lower() if _MD5.fullmatch(text) else text


def md5_in(etag: str | None) -> str | None:
    """Return an ETag that is an MD5, in lower case; None if it is not one."""
    bare = "" if etag is None else bare_etag(etag)
    return bare if _MD5.fullmatch(bare) else None


def same_etag(one: str | None, other: str | None) -> bool:
    """Return whether two ETags are equal, quoted or not."""
    return one is not None and other is not None and bare_etag(one) == bare_etag(other)


def etag_in(headers: Mapping[str, str]) -> str | None:
    """Return the ETag among headers, whose names may be in any case."""
    return next((value for name, value in headers.items() if name.lower() == "etag"), None)


@attrs.frozen
class SentPart:
    """A part in storage: `md5` of the bytes as they were sent (None: not computed), `headers` as storage answered.

    `reported` means that the part was reported to the API.
    """

    number: int
    size: int
    md5: str | None
    headers: Mapping[str, str]
    reported: bool = False

    @property
    def etag(self) -> str | None:
        """The ETag as storage returned it."""
        return etag_in(self.headers)

    @property
    def verified(self) -> bool:
        """Whether the ETag is the MD5 of the bytes that were sent."""
        return self.md5 is not None and md5_in(self.etag) == self.md5


class Storage:
    """One connection pool for all parts, without token, cookies or HTTP/2; proxies from the environment."""

    def __init__(self, *, hashing: bool = True, timing: Timing | None = None) -> None:
        timing = timing or Timing()
        self._hashing = hashing
        redact_logs()
        self._connections = Connections()
        self._timeout = httpx.Timeout(timing.silence, connect=timing.connect, pool=None).as_dict()

    def put(
        self,
        target: PartUrl,
        part: Part,
        source: Source,
        *,
        block_size: Callable[[], int] = usual_block,
        on_bytes: Callable[[int], None] = lambda _count: None,
        pace: Callable[[int], None] = lambda _count: None,
        stopped: Callable[[], bool] = lambda: False,
        deadline: float = float("inf"),
    ) -> SentPart:
        """Send a part once, in blocks of `block_size()` bytes, and return it as storage has it.

        `pace` is called with the size of each block before it is sent (it may wait), `on_bytes` after it was sent. If
        `stopped()` is true, the attempt ends. `deadline` is a moment of the monotonic clock. After a redirect the part
        is sent again, and `on_bytes` takes the bytes back. Raises UrlExpired (request another URL), PartRefused,
        MissingHeader, EtagMismatch, StorageError, CertificateUntrusted, SourceError, ConfigError or Interrupted.
        """
        redirects = passed = 0

        def body() -> Iterator[bytes]:
            nonlocal passed
            for block in source.blocks(part.offset, part.size, block_size):
                if stopped():
                    raise Interrupted(f"Part {part.number} was dropped.")
                pace(len(block))
                if digest is not None:
                    digest.update(block)
                yield block
                passed += len(block)
                on_bytes(len(block))

        while True:
            digest = new_digest() if self._hashing else None
            passed = 0
            request = self._request(target, part, body())
            try:
                with hold_deadline(deadline), contextlib.closing(self._connections.handle_request(request)) as answer:
                    content = _first_bytes(answer)
            except httpx.RequestError as error:
                raise _error_of(error, target, part, late=time.monotonic() >= deadline) from error
            moved = _moved(answer, target) if redirects < MOST_REDIRECTS else None
            if moved is None:
                break
            on_bytes(-passed)
            target, redirects = moved, redirects + 1
        _check_status(answer, content, target, part)
        if passed < part.size:  # httpx reads an answer though it could not send the whole body
            raise StorageError(
                f"Storage answered {answer.status_code} to part {part.number} before it had all the bytes.",
                CHECK_ANSWERER,
                part=part.number,
            )
        headers = _headers_to_report(answer.headers, target, part)
        sent = SentPart(part.number, part.size, digest.hexdigest() if digest is not None else None, headers)
        _check_etag(answer.headers, sent)
        return sent

    def close(self) -> None:
        self._connections.close()

    def _request(self, target: PartUrl, part: Part, body: Iterator[bytes]) -> httpx.Request:
        try:
            target.method.encode("ascii")  # httpx would raise TypeError later
            headers = httpx.Headers({"Accept": "*/*", "User-Agent": USER_AGENT})
            headers.update({name: value for name, value in target.headers.items() if name.lower() not in _OWN_HEADERS})
            headers["Content-Length"] = str(part.size)
            return httpx.Request(
                target.method, target.url, headers=headers, content=body, extensions={"timeout": self._timeout}
            )
        except (httpx.InvalidURL, ValueError, TypeError, AttributeError) as error:  # UnicodeError is a ValueError
            raise UnexpectedAnswer(
                f"Part {part.number} cannot be sent: the platform gave an invalid URL, method or header for it.",
                "Ask the platform's support.",
                operation="getPartUrl",
            ) from error


@attrs.define(eq=False)
class Throttle:
    """A token bucket: `take(count)` waits until `count` more bytes may be sent.

    `rate` is in bytes per second, infinite for no limit; a burst has at most the bytes of a quarter of a second. `wait`
    sleeps (that of a `threading.Event` ends if the run is cancelled).
    """

    rate: float = attrs.field(validator=attrs.validators.gt(0))
    _clock: Callable[[], float] = time.monotonic
    _wait: Callable[[float], object] = time.sleep
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _paid_until: float = attrs.field(default=float("-inf"), init=False)

    def take(self, count: int) -> None:
        with self._lock:
            now = self._clock()
            # Each caller reserves its own time and waits for that of the callers before it.
            start = max(self._paid_until, now - 0.25)
            self._paid_until = start + count / self.rate
        if start > now:
            self._wait(start - now)


def _error_of(error: httpx.RequestError, target: PartUrl, part: Part, *, late: bool) -> CavaticaError:
    if late and isinstance(error, httpx.TimeoutException):
        return StorageError(
            f"Part {part.number} took too long: storage or the network is too slow.",
            f"Check the network, or {SMALLER_PARTS}",
            part=part.number,
        )
    loss = describe_failure(error, httpx.URL(target.url))
    sentence = f"Part {part.number} failed: {loss.reason}."
    if loss.untrusted:
        return CertificateUntrusted(sentence, loss.hint)
    hint = loss.hint or "Check the network, and whether it lets you reach that host."
    return StorageError(sentence, hint, part=part.number, permanent=loss.permanent)


def _first_bytes(answer: httpx.Response) -> bytes:
    content = b""
    for piece in answer.iter_raw():
        content += piece
        if len(content) > LONGEST_ANSWER:
            break
    return content


def _moved(answer: httpx.Response, target: PartUrl) -> PartUrl | None:
    """Return where a redirect leads that keeps method and body; None if there is none, or it is not to be followed.

    S3 redirects so while a bucket is new (docs.aws.amazon.com, Request redirection).
    """
    if answer.status_code not in (307, 308):
        return None
    before = httpx.URL(target.url)
    try:
        url = before.join(answer.headers["Location"])
        keep = same_origin(target.url, str(url))
    except (KeyError, ValueError, httpx.InvalidURL):
        return None
    if url.scheme not in ("https", before.scheme) or not url.host:
        return None
    headers = {name: value for name, value in target.headers.items() if keep or name.lower() not in _NOT_ELSEWHERE}
    return attrs.evolve(target, url=str(url), headers=headers)


def _check_status(answer: httpx.Response, content: bytes, target: PartUrl, part: Part) -> None:
    status = answer.status_code
    if status in target.success_codes if target.success_codes else 200 <= status < 300:
        return
    code = _S3_CODE.search(content)
    message = _S3_MESSAGE.search(content)
    word = code[1].decode("ascii") if code else None
    reason = scrub(message[1].decode("utf-8", "replace")) if message else ""
    sentence = f"Storage answered {status} to part {part.number}" + (f" ({word})" if word else "")
    hint = "Run the same command again later."
    if 300 <= status < 400 and "Location" in answer.headers:
        reason, hint = reason or not_followed(answer.headers["Location"]), CHECK_ANSWERER
    elif status == 413 or word == "EntityTooLarge":
        hint = SMALLER_PARTS[0].upper() + SMALLER_PARTS[1:]
    elif word == "NoSuchUpload":
        hint = "Storage no longer has the upload: abort it (cavatica uploads abort) and start it again."
    sentence += f": {reason.rstrip('.')}." if reason else "."
    expired = status == 403 or (status == 400 and (word == "ExpiredToken" or "expired" in reason.lower()))
    if expired:
        raise UrlExpired(sentence, "Run the same command again.", status=status, part=part.number, code=word)
    raise PartRefused(sentence, hint, status=status, part=part.number, code=word)


def _headers_to_report(headers: httpx.Headers, target: PartUrl, part: Part) -> dict[str, str]:
    found = {}
    for name in target.report_headers:
        value = next(iter(headers.get_list(name)), None)  # once, if a proxy repeats it
        if not value:
            raise MissingHeader(
                f"Storage accepted part {part.number} without returning its {name}, which the platform needs.",
                "Run the same command again; if the error persists, ask the platform's support.",
                header=name,
                part=part.number,
            )
        # Unchanged except for the quotes: the platform's pages show a bare ETag, and its own clients strip them.
        found[name] = unquoted(value) if name.lower() == "etag" else value
    return found


def _check_etag(headers: httpx.Headers, sent: SentPart) -> None:
    """Raise EtagMismatch if the ETag is the MD5 of other bytes."""
    stored = md5_in(next(iter(headers.get_list("ETag")), None))
    if sent.md5 is None or stored in (None, sent.md5):
        return
    # docs.aws.amazon.com, Object: with SSE-KMS or SSE-C an ETag looks like an MD5 but is not one.
    if headers.get("x-amz-server-side-encryption", "").startswith("aws:kms") or (
        "x-amz-server-side-encryption-customer-algorithm" in headers
    ):
        return
    raise EtagMismatch(
        f"Part {sent.number} arrived damaged: its MD5 is {sent.md5}, and storage has {stored}.",
        "Run the same command again; if the error persists, suspect the network, a proxy or this machine's memory.",
        part=sent.number,
        expected=sent.md5,
        got=stored,
    )
