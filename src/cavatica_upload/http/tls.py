"""The TLS contexts of this process, each made when it is first needed."""

import functools
import os
import ssl
import threading

import httpx

from cavatica_upload.errors import ConfigError

_making = threading.Lock()


def shared_ssl_context() -> ssl.SSLContext:
    """Return the one context that trusts the authorities of this machine; making it takes longer than an API call.

    They are those of SSL_CERT_FILE or SSL_CERT_DIR, else those of the package certifi. Raises ConfigError where they
    cannot be read.
    """
    with _making:
        return _trusting()


def ssl_context_for(scheme: str) -> ssl.SSLContext:
    """Return the context for connections to URLs of a scheme: over http, where it is not used, one that trusts nobody.

    It only spares such connections the reading of authorities.
    """
    return shared_ssl_context() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def _trusting() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        given = os.environ.get("SSL_CERT_FILE")
        raise ConfigError(
            f"{f'SSL_CERT_FILE, {given},' if given else 'The list of authorities of certifi'} cannot be used: "
            f"{_reason(error)}.",
            "Point SSL_CERT_FILE at a file of certificates in PEM form" + (", or unset it." if given else "."),
        ) from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "there is no certificate in it"
    return (error.strerror or type(error).__name__).lower()
