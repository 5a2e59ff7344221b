"""The credentials file that the platform's own tools write and read: `~/.sevenbridges/credentials`."""

import configparser
from pathlib import Path

import attrs

from cavatica_upload.errors import ConfigError

CREDENTIALS = Path(".sevenbridges") / "credentials"
_USUAL_PROFILES = ("default", "cavatica")


@attrs.frozen
class Profile:
    """A section of the credentials file; keys of other tools in it are left alone."""

    name: str
    path: Path
    endpoint: str | None
    token: str | None = attrs.field(repr=False)


def read_profile(name: str | None = None, home: Path | None = None) -> Profile:
    """Read one profile; without a name that of `default`, else that of `cavatica`.

    Raises ConfigError where the file or the profile is not there, or the file is not an INI file. The file's lines
    are never shown: they hold tokens.
    """
    path = (home or Path.home()) / CREDENTIALS
    # Interpolation is off as a token may hold a %. A comment may follow a value after a blank.
    parser = configparser.ConfigParser(
        interpolation=None, allow_no_value=True, strict=False, inline_comment_prefixes=("#", ";")
    )
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"There is no credentials file {path}.", "Make one with `sb configure`, or set SB_AUTH_TOKEN instead."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"The credentials file {path} cannot be read: {error.strerror or 'unknown reason'}.",
            "Make it readable for you, and for nobody else.",
        ) from None
    except (configparser.Error, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None) or next(iter(getattr(error, "errors", ())), (None,))[0]
        raise ConfigError(
            f"The credentials file {path} is not an INI file" + (f" (line {line})." if line else "."),
            "It wants lines like [default], auth_token = …, api_endpoint = ….",
        ) from None
    candidates = (name,) if name is not None else _USUAL_PROFILES
    section = next((candidate for candidate in candidates if parser.has_section(candidate)), None)
    if section is None:
        there = ", ".join(parser.sections()) or "none"
        wanted = " or ".join(candidates)
        raise ConfigError(f"There is no profile {wanted} in {path}.", f"Profiles there: {there}.")
    return Profile(
        name=section,
        path=path,
        endpoint=(parser.get(section, "api_endpoint", fallback=None) or "").strip() or None,
        token=(parser.get(section, "auth_token", fallback=None) or "").strip() or None,
    )
