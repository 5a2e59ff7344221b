"""The platform's limits on the metadata and tags of files."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cavatica_upload.destination import is_utf8

MOST_PAIRS = 1000
LONGEST_KEY = 100  # bytes of UTF-8
LONGEST_VALUE = 300  # bytes of UTF-8
FILES_PER_CALL = 100
"""docs.cavatica.org, Metadata on CAVATICA; the files per call are sevenbridges-python's DEFAULT_BULK_LIMIT."""


def metadata_problems(metadata: Mapping[Any, object]) -> Iterator[str]:
    """Yield a sentence for each thing that the platform would refuse in the metadata of one file."""
    if len(metadata) > MOST_PAIRS:
        yield f"there are {len(metadata)} metadata fields, and {MOST_PAIRS} are allowed."
    for key, value in metadata.items():
        if not isinstance(key, str):
            yield f"the name of the metadata field {key!r} is not text."
            continue
        if not key:
            yield "a metadata field has no name."
        elif not is_utf8(key):
            yield f"the metadata field {key!r} has a name that is not valid UTF-8."
        elif any(mark in key for mark in ".$"):
            yield f"the metadata field {key!r} has a “.” or “$” in its name, which is not allowed."
        elif _length(key) > LONGEST_KEY:
            yield f"the metadata field {key[:20] + '…'!r} has a name of {_length(key)} bytes, above {LONGEST_KEY}."
        if not isinstance(value, str):
            yield f"the value of the metadata field {key!r} is not text."
        elif not is_utf8(value):
            yield f"the value of the metadata field {key!r} is not valid UTF-8."
        elif _length(value) > LONGEST_VALUE:
            yield f"the value of the metadata field {key!r} has {_length(value)} bytes, {LONGEST_VALUE} are allowed."


def tag_problems(tags: Iterable[object]) -> Iterator[str]:
    """Yield a sentence for each tag that cannot be one."""
    for tag in tags:
        if not isinstance(tag, str):
            yield f"the tag {tag!r} is not text."
        elif not tag.strip():
            yield "a tag is empty."
        elif not is_utf8(tag):
            yield f"the tag {tag!r} is not valid UTF-8."
        elif _length(tag) > LONGEST_VALUE:
            yield f"the tag {tag[:20] + '…'!r} has {_length(tag)} bytes, {LONGEST_VALUE} are allowed."


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
