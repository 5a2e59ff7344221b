"""Finds endpoint and token: in arguments, the environment, then the credentials file of the vendor's tools.

A token belongs to one endpoint. Values from different places are combined only if that cannot send a token to a host
that it was not meant for:

- an explicit profile supplies both, and the environment is ignored;
- a token argument goes to the endpoint argument, else to SB_API_ENDPOINT, else to CAVATICA;
- SB_AUTH_TOKEN goes to SB_API_ENDPOINT, and to CAVATICA if that is not set; profiles are ignored;
- an endpoint argument is refused if the token was found with an endpoint of another host, and so is SB_API_ENDPOINT
  with the token of a profile for another host.
"""

import codecs
import configparser
import errno
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.parse import urlsplit

import attrs

from cavatica_upload.errors import ConfigError, EndpointError, check_kind, reason_of
from cavatica_upload.redact import protect, scrub

TOKEN_VARIABLE = "SB_AUTH_TOKEN"  # noqa: S105  (a name)
ENDPOINT_VARIABLE = "SB_API_ENDPOINT"
CREDENTIALS = Path(".sevenbridges") / "credentials"
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
PORTS = {"http": 80, "https": 443}
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
MOST_BYTES = 256 * 1024 * 1024  # of a text: a list of 250,000 paths of 1,000 characters


@attrs.frozen
class Settings:
    """An endpoint, the token for it, and a description of where both were found. Cannot be pickled or copied."""

    endpoint: str  # base URL with the version and without a slash at the end: `https://cavatica-api.sbgenomics.com/v2`
    token: str = attrs.field(repr=False)
    source: str = "the arguments"
    notices: tuple[str, ...] = ()  # warnings for the user, for example that others can read the token

    def __reduce__(self) -> NoReturn:
        raise TypeError("settings hold a token and are not copied or pickled: find them again where they are needed")


def find_settings(
    token: str | None = None,
    endpoint: str | None = None,
    profile: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    allow_http: bool = False,
) -> Settings:
    """Find the endpoint and its token.

    `endpoint` is a URL or a platform's short name (`cavatica`, `cgc`, `us`, `eu`, `bdc`, `china`). `http:` is for a
    server on this machine only, unless `allow_http`. Raises EndpointError for an invalid endpoint, and ConfigError
    if nothing usable is found, if token and endpoint do not belong together, or if no header can hold the token.
    """
    check_kind(str | None, "text", token=token, endpoint=endpoint, profile=profile)
    environ = os.environ if environ is None else environ
    wanted = normal_endpoint(endpoint, allow_http=allow_http) if endpoint is not None else None

    if profile is not None:
        found = _profile(profile, home, wanted, allow_http=allow_http)
        if token is not None:
            return _checked(attrs.evolve(found, token=token, source=f"the arguments and profile {profile}"))
        return _checked(found, wanted)

    set_endpoint = environ.get(ENDPOINT_VARIABLE, "").strip()
    beside = normal_endpoint(set_endpoint, allow_http=allow_http) if set_endpoint else None
    if token is not None:
        return _checked(Settings(wanted or beside or CAVATICA, token))
    if set_token := environ.get(TOKEN_VARIABLE, ""):
        # The token alone says nothing of its host: an endpoint argument is then as good as the default.
        return _checked(Settings(beside or wanted or CAVATICA, set_token, source=TOKEN_VARIABLE), wanted)
    return _checked(_profile(None, home, wanted or beside, allow_http=allow_http), wanted or beside)


def normal_endpoint(text: str, *, allow_http: bool = False) -> str:
    """Return the base URL that `text`, a URL or a platform's short name, stands for.

    The version is added if the URL has no path. Raises EndpointError for an invalid endpoint, and for `http:` to
    another machine unless `allow_http`: the token would be readable on the way.
    """
    text = text.strip()
    if text.lower() in PLATFORMS:
        return PLATFORMS[text.lower()]
    try:
        url = urlsplit(text)
        port, host = url.port, url.hostname or ""
        host.encode("idna")  # what a look-up of the name begins with; a label may be too long for it
    except ValueError:
        raise _not_an_endpoint(text) from None
    if (
        url.scheme not in PORTS
        or port == 0
        or not (_is_host(host) and text.isprintable())
        or not re.fullmatch(r"\[[^]]+\](:\d*)?" if ":" in host else r"[^[]+", url.netloc)
        or any(mark in text for mark in " \\?#")
        or "@" in url.netloc
        or any(segment in (".", "..") for segment in url.path.split("/"))
    ):
        raise _not_an_endpoint(text)
    if url.scheme == "http" and not allow_http and not is_loopback(host):
        raise EndpointError(
            f"The endpoint {url.scheme}://{url.netloc} would send the token unencrypted to another machine.",
            "Use https; http is for a server on this machine.",
        )
    shown_port = "" if port is None or port == PORTS[url.scheme] else f":{port}"
    bracketed = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{bracketed}{shown_port}{url.path.rstrip('/') or '/v2'}"


def _is_host(text: str) -> bool:
    """Return whether a text is a name that can be looked up, or an address."""
    address = address_of(text)
    return re.fullmatch(r"[A-Za-z0-9._-]+", text) is not None or (address is not None and address.version == 6)


def same_origin(one: str, other: str) -> bool:
    """Return whether two URLs have the same scheme, host and port."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.hostname, first.port or PORTS.get(first.scheme)) == (
        second.scheme,
        second.hostname,
        second.port or PORTS.get(second.scheme),
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself, by its name or address."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = address_of(host)
    return address is not None and (getattr(address, "ipv4_mapped", None) or address).is_loopback


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an IP address, None if a text is none; a zone, as in fe80::1%eth0, belongs to version 6 only."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def read_text(path: Path) -> str:
    """Read a file that an editor of any system may have written: UTF-8, or UTF-16 with its mark at the beginning.

    Raises OSError, and UnicodeDecodeError if it is no text.
    """
    with path.open("rb") as file:
        raw = read_rest(file)
    return raw.decode("utf-16" if raw.startswith(UTF_16_MARKS) else "utf-8-sig")


def read_rest(file: BinaryIO) -> bytes:
    """Read the rest of a file. Raises OSError, also if it is too large to be right: /dev/zero has no end."""
    raw = bytearray()
    while piece := file.read(1024 * 1024):  # a single read would allocate memory for the largest file
        raw += piece
        if len(raw) > MOST_BYTES:
            raise OSError(errno.EFBIG, "it has more than 256 MiB")
    return bytes(raw)


def _checked(found: Settings, wanted: str | None = None) -> Settings:
    """Check that the token belongs to the endpoint and fits into a header; no error shows the token."""
    if wanted is not None and not same_origin(found.endpoint, wanted):
        raise ConfigError(
            f"The token of {found.source} is for {found.endpoint}, and the requested endpoint is {wanted}.",
            "Give a token for that endpoint too, or leave the endpoint out.",
        )
    token = _unquoted(found.token)
    trouble = None
    if not token:
        trouble = "is empty"
    elif any(character.isspace() for character in token):
        trouble = "contains white space"
    elif not all("!" <= character <= "~" for character in token):
        trouble = "contains characters that no token has"
    if trouble:
        raise ConfigError(
            f"The token from {found.source} {trouble}.",
            "Copy the whole token again from the platform's developer page, and nothing else.",
        )
    protect(token)
    return attrs.evolve(found, endpoint=wanted or found.endpoint, token=token)


def _profile(name: str | None, home: Path | None, wanted: str | None, *, allow_http: bool) -> Settings:
    """Read one profile; without a name `default`, else `cavatica`. It may have no endpoint.

    Keys of other tools are ignored. No error shows a line of the file: it may hold a token.
    """
    path = (home or _home()) / CREDENTIALS
    # Interpolation is off as a token may hold a %. A comment may follow a value after a space.
    parser = configparser.ConfigParser(
        interpolation=None, allow_no_value=True, strict=False, inline_comment_prefixes=("#", ";")
    )
    try:
        parser.read_string(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        if name is None:
            raise ConfigError(
                "No token was given or found.",
                f"Set {TOKEN_VARIABLE} to a token from the platform's developer page, or write it to ~/{CREDENTIALS}.",
            ) from None
        raise ConfigError(
            f"There is no credentials file {path}.", f"Make one with `sb configure`, or set {TOKEN_VARIABLE} instead."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"The credentials file {path} cannot be read: {reason_of(error)}.",
            "Make it a file that only you can read.",
        ) from None
    except (configparser.Error, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None) or next(iter(getattr(error, "errors", ())), (None,))[0]
        raise ConfigError(
            f"The credentials file {path} is not an INI file" + (f" (line {line})." if line else "."),
            "It needs lines like [default], auth_token = …, api_endpoint = ….",
        ) from None
    candidates = (name,) if name is not None else ("default", "cavatica")
    section = next((candidate for candidate in candidates if parser.has_section(candidate)), None)
    if section is None:
        wanted, there = " or ".join(candidates), ", ".join(parser.sections()) or "none"
        raise ConfigError(f"There is no profile {scrub(wanted)} in {path}.", f"Profiles there: {scrub(there)}.")
    endpoint, token = (_unquoted(parser.get(section, key, fallback="") or "") for key in ("api_endpoint", "auth_token"))
    for key, value in (("auth_token", token), ("api_endpoint", endpoint or wanted)):
        if not value:
            raise ConfigError(
                f"Profile {section} in {path} has no {key}.",
                f"Add the line {key} = {CAVATICA if key == 'api_endpoint' else '…'} below the profile's name.",
            )
    own = normal_endpoint(endpoint, allow_http=allow_http) if endpoint else str(wanted)
    return Settings(own, token, f"profile {section} in {path}", file_notices(path))


def file_notices(path: Path) -> tuple[str, ...]:
    """Return a warning if other users can read a file that holds a token, or change it."""
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        return ()
    if os.name == "nt" or not mode & 0o077:
        return ()
    return (f"Other users of this machine can read or change {path} (mode {mode:04o}). Run: chmod 600 {path}",)


def _unquoted(text: str) -> str:
    """Return a value without the quotes that shells need and INI files do not."""
    text = text.strip(" \t")
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise ConfigError(
            f"No token was given, and the home directory, which may hold ~/{CREDENTIALS}, is not known.",
            f"Set {TOKEN_VARIABLE}, or HOME.",
        ) from error


def _not_an_endpoint(text: str) -> EndpointError:
    # A password is not shown, nor a token that was put in the wrong place.
    shown = "given" if "@" in text or (text.isalnum() and len(text) > 16) else repr(scrub(text))
    return EndpointError(
        f"The endpoint {shown} is neither a URL like https://host/v2 nor the short name of a platform.",
        f"Leave it out for CAVATICA, or give one of {', '.join(PLATFORMS)}, or a base URL.",
    )
