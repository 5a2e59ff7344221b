"""The TLS contexts of this process, each made when it is first needed."""

import functools
import ssl
import threading

import httpx

_making = threading.Lock()


def shared_ssl_context() -> ssl.SSLContext:
    """Return the one context that trusts the authorities of this machine; making it takes longer than an API call."""
    with _making:
        return _trusting()


def ssl_context_for(scheme: str) -> ssl.SSLContext:
    """Return the context for connections to URLs of a scheme: over http, where it is not used, one that trusts nobody.

    It only spares such connections the reading of authorities.
    """
    return shared_ssl_context() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def _trusting() -> ssl.SSLContext:
    return httpx.create_ssl_context()
