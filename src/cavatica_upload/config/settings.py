"""Which endpoint, and which token: arguments, then the environment, then the credentials file of the vendor's tools.

A token belongs to one endpoint. What is found in different places is put together only where that cannot send a
token to a host it was not meant for:

- an explicit profile supplies both, and the environment is not looked at;
- a token argument goes to the endpoint argument, else to SB_API_ENDPOINT, else to CAVATICA;
- SB_AUTH_TOKEN goes to SB_API_ENDPOINT, and to CAVATICA where that is not set, whatever any profile says;
- an endpoint argument that is another host than the one found beside the token is refused, and so is
  SB_API_ENDPOINT beside the token of a profile for another host.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from cavatica_upload.config.credentials import CREDENTIALS, Profile, read_profile
from cavatica_upload.config.endpoint import CAVATICA, normal_endpoint, same_origin
from cavatica_upload.errors import ConfigError

TOKEN_VARIABLE = "SB_AUTH_TOKEN"  # noqa: S105  (a name)
ENDPOINT_VARIABLE = "SB_API_ENDPOINT"


@attrs.frozen
class Settings:
    """An endpoint, the token for it, and in words where the two were found."""

    endpoint: str
    """Base URL with the version and without a slash at the end: `https://cavatica-api.sbgenomics.com/v2`."""
    token: str = attrs.field(repr=False)
    profile: str | None = None
    source: str = "the arguments"


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
    server on this machine only, unless `allow_http`. Raises ConfigError where nothing usable is found, where what is
    found does not fit together, and for a token that cannot be sent in a header.
    """
    environ = os.environ if environ is None else environ
    wanted = normal_endpoint(endpoint, allow_http=allow_http) if endpoint is not None else None

    if profile is not None:
        found = _complete(read_profile(profile, home), wanted, allow_http=allow_http)
        if token is not None:
            return _settings(token, found.endpoint, f"the arguments and profile {profile}", profile)
        return _settings(found.token, _agree(found, wanted), found.place, profile)

    environ_endpoint = environ.get(ENDPOINT_VARIABLE, "").strip() or None
    beside = normal_endpoint(environ_endpoint, allow_http=allow_http) if environ_endpoint else None

    if token is not None:
        return _settings(token, wanted or beside or CAVATICA, "the arguments")

    environ_token = environ.get(TOKEN_VARIABLE, "")
    if environ_token:
        # The token alone says nothing of its host: an endpoint argument is then as good as the default.
        place = _Place(environ_token, beside or wanted or CAVATICA, TOKEN_VARIABLE)
        return _settings(place.token, _agree(place, wanted), TOKEN_VARIABLE)

    if not (home or _home()).joinpath(CREDENTIALS).exists():
        raise ConfigError(
            "No token was given or found.",
            f"Set {TOKEN_VARIABLE} to a token from the platform's developer page, or write it to ~/{CREDENTIALS}.",
        )
    entry = read_profile(None, home)
    found = _complete(entry, wanted or beside, allow_http=allow_http)
    return _settings(found.token, _agree(found, wanted or beside), found.place, entry.name)


@attrs.frozen
class _Place:
    """A token, and the endpoint that it is meant for."""

    token: str = attrs.field(repr=False)
    endpoint: str
    place: str


def _complete(profile: Profile, wanted: str | None, *, allow_http: bool) -> _Place:
    if not profile.token:
        raise ConfigError(
            f"Profile {profile.name} in {profile.path} has no auth_token.",
            "Add the line auth_token = … below the profile's name.",
        )
    place = f"profile {profile.name} in {profile.path}"
    if profile.endpoint:
        return _Place(profile.token, normal_endpoint(profile.endpoint, allow_http=allow_http), place)
    if wanted:
        return _Place(profile.token, wanted, place)
    raise ConfigError(
        f"Profile {profile.name} in {profile.path} has no api_endpoint.",
        f"Add the line api_endpoint = {CAVATICA}, or that of the platform the token is for.",
    )


def _agree(found: _Place, wanted: str | None) -> str:
    """Return the endpoint to use, refusing to send a token elsewhere than where it was found to belong."""
    if wanted is None:
        return found.endpoint
    if not same_origin(found.endpoint, wanted):
        raise ConfigError(
            f"The token of {found.place} is for {found.endpoint}, and the endpoint asked for is {wanted}.",
            "Give a token for that endpoint with it, or leave the endpoint out.",
        )
    return wanted


def _settings(token: str, endpoint: str, source: str, profile: str | None = None) -> Settings:
    """Check that the token can go into a header as it is, and never show it while doing so."""
    trouble = None
    if not token:
        trouble = "is empty"
    elif any(character.isspace() for character in token):
        trouble = "contains white space"
    elif not all("!" <= character <= "~" for character in token):
        trouble = "contains characters that no token has"
    if trouble:
        raise ConfigError(
            f"The token from {source} {trouble}.", "Copy it again from the platform's developer page, whole and alone."
        )
    return Settings(endpoint=endpoint, token=token, profile=profile, source=source)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise ConfigError("The home directory is not known.", "Set HOME, or give the token itself.") from error
