"""What may be the name of a file or a folder on the platform."""

import string
from collections.abc import Iterator

LONGEST_NAME = 255  # characters

_FOLDER_SIGNS = frozenset(string.ascii_letters + string.digits + "_-.")


def name_problems(name: str) -> Iterator[str]:
    """Yield what is wrong with the name of a file (docs.cavatica.org, Initialize a multipart upload)."""
    if not name:
        yield "it needs a name; give one with --name."
    elif name in (".", "..") or "/" in name:
        yield f"{name!r} cannot be the name of a file."
    elif len(name) > LONGEST_NAME:
        yield f"its name has {len(name)} characters, and {LONGEST_NAME} are allowed; give another with --name."
    elif not _is_text(name):
        yield "its name is not valid UTF-8; give another with --name."


def folder_problems(name: str) -> Iterator[str]:
    """Yield what is wrong with the name of a folder (docs.cavatica.org, Create a folder)."""
    if not name or set(name) - _FOLDER_SIGNS or name in (".", ".."):
        yield "the platform takes letters, digits, “_”, “-” and “.” in the name of a folder; use another, or --flatten."
    elif name.startswith("__"):
        yield "the platform takes no folder whose name begins with “__”; use another, or --exclude it."
    elif len(name) > LONGEST_NAME:
        yield f"its name has {len(name)} characters, and {LONGEST_NAME} are allowed."


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
