"""Which proxy of the environment leads to a host; the same variables as curl's, and the system's settings."""

import urllib.request
from urllib.parse import urlsplit

from cavatica_upload.errors import ConfigError


def proxy_for(scheme: str, host: str, port: int | None) -> str | None:
    """Return the URL of the proxy for a host, None where it is reached directly.

    Looks at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY. Raises ConfigError for a proxy that cannot be used.
    """
    if urllib.request.proxy_bypass(f"{host}:{port}" if port else host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if proxy.split("://", 1)[0] not in ("http", "https", "socks5", "socks5h"):
        raise ConfigError(
            f"The proxy for {scheme} in the environment is of a kind that is not supported.",
            f"Set {scheme.upper()}_PROXY to a URL like http://host:port.",
        )
    return proxy


def shown(proxy: str) -> str:
    """Return a proxy's URL without the credentials that may be in it."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
