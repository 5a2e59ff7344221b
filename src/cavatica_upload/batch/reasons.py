"""Why a path or a URL cannot be uploaded, in words."""

import stat
from collections.abc import Mapping
from pathlib import PurePath


def reason_of(error: OSError) -> str:
    """Return why a file cannot be read, as the end of a sentence."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "you have no permission to read it"
    return error.strerror or str(error)


def odd_signs(path: str) -> str:
    """Name what is easily overlooked in a path that does not exist."""
    if any(part.startswith("~") for part in PurePath(path).parts):
        return " (“~” stands for your home folder in a shell only; write out the path)"
    if "\u00a0" in path:
        return " (there is a no-break space in it)"
    if any(part != part.strip() for part in PurePath(path).parts):
        return " (there is a space at its beginning or end)"
    return ""


KINDS: Mapping[int, str] = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def missing_package(protocol: str) -> str | None:
    """Return which package is missing for URLs of a protocol, None if none is."""
    try:
        from fsspec.registry import get_filesystem_class
    except ImportError:
        return "URLs need the package fsspec, which is not installed: pip install fsspec"
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        return (
            f"{protocol}:// needs a package that is not installed. {error}: pip install {_PACKAGES.get(protocol, '…')}"
        )
    except ValueError:
        return f"{protocol}:// is not a kind of URL that can be uploaded from."
    return None


_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
