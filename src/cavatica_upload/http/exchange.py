"""Decodes the bodies of answers, up to a limit, and describes why a request to the API or to storage failed."""

import re
import ssl
import zlib
from collections.abc import Iterator

import attrs
import httpx

from cavatica_upload.http.connections import proxy_for, shown
from cavatica_upload.redact import scrub

LARGEST = 32 << 20
"""Bytes of an answer, encoded or decoded. The largest of the API, a page of 100 files, has some hundred KiB."""
CHECK_PROXY = "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
_REFUSED_BY_PROXY = re.compile(r"(?!408|425|429)[34]\d\d\b|Invalid username|Requested |.* not allowed by ruleset")
"""Refusals of a proxy that a retry does not change; the words are httpcore's for SOCKS."""
CHECK_AUTHORITY = "If a proxy of your network signs certificates, point SSL_CERT_FILE at its authority."


def decoded(encodings: str, raw: bytes) -> bytes | None:
    """Decode a body; None if it is larger than LARGEST: 1 MiB of gzip can be 1 GiB of zeros.

    Raises httpx.DecodingError if the body is not encoded as `encodings` says.
    """
    for name in reversed(encodings.lower().replace(" ", "").split(",")):
        if name in ("gzip", "x-gzip", "deflate") and raw:
            window = 31 if name != "deflate" else 15 if raw[0] & 15 == 8 else -15  # deflate: with a header or without
            inflater = zlib.decompressobj(window)
            try:
                raw = inflater.decompress(raw, LARGEST + 1)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            if len(raw) > LARGEST:
                return None
            if not inflater.eof:
                raise httpx.DecodingError("it ends too early")
        elif name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise httpx.DecodingError("its encoding was not requested")
    return raw


@attrs.frozen
class TransportFailure:
    """No whole answer came: why, whether the server may have acted, and whether a retry is useless (`permanent`).

    `untrusted` means that the certificate cannot be verified.
    """

    reason: str
    maybe_acted: bool
    permanent: bool = False
    untrusted: bool = False
    hint: str | None = None


def describe_failure(error: httpx.RequestError, url: httpx.URL) -> TransportFailure:
    """Describe the failure of a request to a URL; only the host of the URL is shown."""
    host, proxy = url.netloc.decode(), proxy_for(url.scheme, url.host, url.port)
    there = f"{host} through the proxy {shown(proxy)}" if proxy else host
    text = re.sub(r"\[Errno -?\d+\] ", "", scrub(str(error))).rstrip(".") or type(error).__name__
    match error:
        case httpx.ConnectError() if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error)):
            reason = f"the certificate of {there} cannot be verified ({text})"
            return TransportFailure(reason, maybe_acted=False, permanent=True, untrusted=True, hint=CHECK_AUTHORITY)
        case httpx.ConnectTimeout() | httpx.ConnectError():
            why = " in time" if isinstance(error, httpx.ConnectTimeout) else f" ({text})"
            hint = CHECK_PROXY if proxy else None
            return TransportFailure(f"no connection to {there}{why}", maybe_acted=False, hint=hint)
        case httpx.PoolTimeout():
            return TransportFailure("no free connection in time", maybe_acted=False)
        case httpx.ProxyError():
            reason = f"the proxy {shown(proxy or '')} did not connect to {host} ({text})"
            refused = _REFUSED_BY_PROXY.match(text) is not None
            return TransportFailure(reason, maybe_acted=False, permanent=refused, hint=CHECK_PROXY)
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return TransportFailure(f"the request cannot be sent ({text})", maybe_acted=False, permanent=True)
        case httpx.ReadTimeout():
            return TransportFailure(f"no answer from {there} in time", maybe_acted=True)
        case httpx.WriteTimeout():
            return TransportFailure(f"{there} accepted no more bytes for too long", maybe_acted=True)
        case httpx.DecodingError():
            return TransportFailure(f"the answer of {host} cannot be decoded ({text})", maybe_acted=True)
        case _:
            return TransportFailure(f"the connection to {there} broke ({text})", maybe_acted=True)


def not_followed(location: str) -> str:
    """Say that a redirect is not followed; of its URL only scheme and host are shown."""
    found = re.match(r"(https?://)(?:[^/?#@]*@)?([^/?#\s]+)", location, re.IGNORECASE)
    return f"a redirect to {scrub(found[1] + found[2]) if found else 'another address'}, which is not followed"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
