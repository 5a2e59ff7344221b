"""What broke, in words, where no whole answer came: of the API or of storage."""

import re
import ssl
from collections.abc import Iterator

import httpx

from cavatica_upload.http.connections import proxy_for, shown
from cavatica_upload.http.retry import Lost
from cavatica_upload.redact import scrub

CHECK_PROXY = "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
CHECK_AUTHORITY = "Where a proxy of your network signs certificates, point SSL_CERT_FILE at its authority."


def describe_failure(error: httpx.RequestError, url: httpx.URL) -> Lost:
    """Say what broke on the way to a URL, of which only the host is named, and whether the server may have acted."""
    host = url.netloc.decode()
    text = re.sub(r"\[Errno -?\d+\] ", "", scrub(str(error))).rstrip(".") or type(error).__name__
    match error:
        case httpx.ConnectError() if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error)):
            reason = f"the certificate of {host} cannot be verified ({text})"
            return Lost(reason, maybe_acted=False, hopeless=True, untrusted=True, hint=CHECK_AUTHORITY)
        case httpx.ConnectTimeout() | httpx.ConnectError():
            proxy = proxy_for(url.scheme, url.host, url.port)
            way = f" through the proxy {shown(proxy)}" if proxy else ""
            why = " in time" if isinstance(error, httpx.ConnectTimeout) else f" ({text})"
            return Lost(f"no connection to {host}{way}{why}", maybe_acted=False, hint=CHECK_PROXY if proxy else None)
        case httpx.PoolTimeout():
            return Lost("no free connection in time", maybe_acted=False)
        case httpx.ProxyError():
            return Lost(f"the proxy did not connect to {host} ({text})", maybe_acted=False, hint=CHECK_PROXY)
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return Lost(f"the request cannot be sent ({text})", maybe_acted=False, hopeless=True)
        case httpx.ReadTimeout():
            return Lost(f"no answer from {host} in time", maybe_acted=True)
        case httpx.WriteTimeout():
            return Lost(f"{host} took nothing more for too long", maybe_acted=True)
        case httpx.DecodingError():
            return Lost(f"the answer of {host} cannot be decoded ({text})", maybe_acted=True)
        case _:
            return Lost(f"the connection to {host} broke ({text})", maybe_acted=True)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
