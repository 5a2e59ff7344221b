"""The platforms that speak this API, and what an endpoint may look like."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from cavatica_upload.errors import ConfigError
from cavatica_upload.http.problems import scrub

CAVATICA = "https://cavatica-api.sbgenomics.com/v2"

# docs.cavatica.org and its sister sites, The API; China as in the platform's own R package, sevenbridges2.
PLATFORMS = {
    "cavatica": CAVATICA,
    "cgc": "https://cgc-api.sbgenomics.com/v2",
    "us": "https://api.sbgenomics.com/v2",
    "eu": "https://eu-api.sbgenomics.com/v2",
    "bdc": "https://api.sb.biodatacatalyst.nhlbi.nih.gov/v2",
    "china": "https://api.sevenbridges.cn/v2",
}
_DEFAULT_PORTS = {"http": 80, "https": 443}


def normal_endpoint(text: str, *, allow_http: bool = False) -> str:
    """Return the base URL that `text`, a URL or a platform's short name, stands for.

    The version is added where the URL has no path. Raises ConfigError for what is no endpoint, and for `http:` to
    another machine unless `allow_http`: the token would be readable on the way.
    """
    text = text.strip()
    if text.lower() in PLATFORMS:
        return PLATFORMS[text.lower()]
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise _not_an_endpoint(text) from None
    if url.scheme not in _DEFAULT_PORTS or not url.hostname or not url.hostname.isascii() or not text.isprintable():
        raise _not_an_endpoint(text)
    if " " in text or "@" in url.netloc or url.query or url.fragment or "\\" in text:
        raise _not_an_endpoint(text)
    if any(segment in (".", "..") for segment in url.path.split("/")):
        raise _not_an_endpoint(text)
    if url.scheme == "http" and not allow_http and not _is_this_machine(url.hostname):
        raise ConfigError(
            f"The endpoint {url.scheme}://{url.netloc} would send the token unencrypted to another machine.",
            "Use https, or allow http explicitly where the network in between is yours.",
        )
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    shown_port = "" if port is None or port == _DEFAULT_PORTS[url.scheme] else f":{port}"
    return f"{url.scheme}://{host}{shown_port}{url.path.rstrip('/') or '/v2'}"


def same_origin(one: str, other: str) -> bool:
    """Return whether two URLs have the same scheme, host and port."""
    return _origin(urlsplit(one)) == _origin(urlsplit(other))


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme)


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _not_an_endpoint(text: str) -> ConfigError:
    # A password is not shown, nor a token that was put in the wrong place.
    shown = "given" if "@" in text or (text.isalnum() and len(text) > 16) else repr(scrub(text))
    return ConfigError(
        f"The endpoint {shown} is neither a URL like https://host/v2 nor the short name of a platform.",
        f"Leave it out for CAVATICA, or give one of {', '.join(PLATFORMS)}, or a base URL.",
    )
