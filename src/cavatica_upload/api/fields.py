"""Values of JSON, read leniently: what is there in a form that can be understood, else None."""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from cavatica_upload.api.operations import fits_into_path

LARGEST = 2**63 - 1
MOST_SECONDS = 100_000_000_000
"""Epoch seconds of the year 5138: what is larger is milliseconds, microseconds or nanoseconds."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e]*")


class Fields:
    """The fields of a JSON object; of anything else, none."""

    def __init__(self, value: Any) -> None:
        self.values: dict[str, Any] = value if isinstance(value, dict) else {}

    def text(self, key: str) -> str | None:
        """Return a text that is not empty."""
        value = self.values.get(key)
        return value if isinstance(value, str) and value else None

    def identifier(self, key: str) -> str | None:
        """Return an id, which may be a number, if it can stand in the path of a request."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return value if isinstance(value, str) and value.isprintable() and fits_into_path(value) else None

    def url(self, key: str) -> str | None:
        """Return a web address."""
        value = self.text(key)
        usable = value is not None and value.isprintable() and value.lower().startswith(("http://", "https://"))
        return value if usable else None

    def whole(self, key: str, least: int = 0, most: int = LARGEST) -> int | None:
        """Return a whole number within bounds, which may be written as text or with a decimal point."""
        number = whole(self.values.get(key))
        return number if number is not None and least <= number <= most else None

    def flag(self, key: str) -> bool | None:
        """Return a truth value, which may be written as text."""
        value = self.values.get(key)
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower())
        return value if isinstance(value, bool) else None

    def moment(self, key: str) -> datetime | None:
        """Return a point in time, with its time zone."""
        return moment(self.values.get(key))

    def items(self, key: str) -> list[Any] | None:
        """Return a list."""
        value = self.values.get(key)
        return value if isinstance(value, list) else None

    def inner(self, key: str) -> "Fields":
        """Return the fields of an object in this one."""
        return Fields(self.values.get(key))

    def headers(self, key: str) -> dict[str, str]:
        """Return those of a map of headers that can be sent."""
        return {
            name: str(value)
            for name, value in self.inner(key).values.items()
            if is_header_name(name)
            and isinstance(value, str | int)
            and not isinstance(value, bool)
            and _VALUE.fullmatch(str(value))
        }


def whole(value: object) -> int | None:
    """Return a number that is whole: 5, 5.0, "5"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else None
    return value if isinstance(value, int) else None


def moment(value: object) -> datetime | None:
    """Return a time in ISO 8601, as mail and HTTP write it, or as a number since 1970.

    Without a time zone it is UTC.
    """
    number = whole(value)
    try:
        if number is not None:
            seconds = float(number)
            for _unit in ("milli", "micro", "nano"):
                if abs(seconds) >= MOST_SECONDS:
                    seconds /= 1000
            return datetime.fromtimestamp(seconds, UTC)
        if not isinstance(value, str):
            return None
        text = value.strip()
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            found = parsedate_to_datetime(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None


def is_header_name(value: object) -> bool:
    """Return whether a value can be the name of a header."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None
