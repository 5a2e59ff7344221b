"""Describes transport failures of the API and of storage: the reason, a hint, and whether the server may have acted."""

import re
import ssl
from collections.abc import Iterator

import attrs
import httpx

from cavatica_upload.http.connections import proxy_for, shown
from cavatica_upload.redact import scrub

CHECK_PROXY = "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
CHECK_AUTHORITY = "If a proxy of your network signs certificates, point SSL_CERT_FILE at its authority."


@attrs.frozen
class TransportFailure:
    """No whole answer came: the reason, whether the server may have acted, and if a retry is useless (`permanent`).

    `untrusted` means that the certificate cannot be verified.
    """

    reason: str
    maybe_acted: bool
    permanent: bool = False
    untrusted: bool = False
    hint: str | None = None


def describe_failure(error: httpx.RequestError, url: httpx.URL) -> TransportFailure:
    """Describe the failure of a request to a URL; only the host of the URL is shown."""
    host = url.netloc.decode()
    text = re.sub(r"\[Errno -?\d+\] ", "", scrub(str(error))).rstrip(".") or type(error).__name__
    match error:
        case httpx.ConnectError() if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error)):
            reason = f"the certificate of {host} cannot be verified ({text})"
            return TransportFailure(reason, maybe_acted=False, permanent=True, untrusted=True, hint=CHECK_AUTHORITY)
        case httpx.ConnectTimeout() | httpx.ConnectError():
            proxy = proxy_for(url.scheme, url.host, url.port)
            way = f" through the proxy {shown(proxy)}" if proxy else ""
            why = " in time" if isinstance(error, httpx.ConnectTimeout) else f" ({text})"
            hint = CHECK_PROXY if proxy else None
            return TransportFailure(f"no connection to {host}{way}{why}", maybe_acted=False, hint=hint)
        case httpx.PoolTimeout():
            return TransportFailure("no free connection in time", maybe_acted=False)
        case httpx.ProxyError():
            reason = f"the proxy did not connect to {host} ({text})"
            return TransportFailure(reason, maybe_acted=False, hint=CHECK_PROXY)
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return TransportFailure(f"the request cannot be sent ({text})", maybe_acted=False, permanent=True)
        case httpx.ReadTimeout():
            return TransportFailure(f"no answer from {host} in time", maybe_acted=True)
        case httpx.WriteTimeout():
            return TransportFailure(f"{host} took nothing more for too long", maybe_acted=True)
        case httpx.DecodingError():
            return TransportFailure(f"the answer of {host} cannot be decoded ({text})", maybe_acted=True)
        case _:
            return TransportFailure(f"the connection to {host} broke ({text})", maybe_acted=True)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
