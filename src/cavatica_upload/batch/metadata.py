"""Metadata and tags of files: the platform's limits, and setting them in bulk once the files are there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from cavatica_upload.api import Api
from cavatica_upload.destination import is_utf8
from cavatica_upload.errors import CavaticaError
from cavatica_upload.request import FileEdit

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


def edit_files(api: Api, edits: Sequence[FileEdit]) -> list[CavaticaError | None]:
    """Send edits, 100 a call; return what failed in the place of each, None if it was done.

    An error of a whole call is the error of each edit in it.
    """
    errors: list[CavaticaError | None] = []
    for start in range(0, len(edits), FILES_PER_CALL):
        some = edits[start : start + FILES_PER_CALL]
        try:
            errors += api.edit_files(some)
        except CavaticaError as error:
            errors += [error] * len(some)
    return errors


@attrs.frozen
class EditFailed:
    """An edit that was not done, and why."""

    edit: FileEdit
    error: CavaticaError


class MetadataQueue:
    """Collects edits and sends them 100 a call, so that a file costs a hundredth of a call.

    Merging is idempotent: when a run dies between a file's completion and its metadata, the next run of the same
    command finds the file by its receipt and sets its metadata again.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._waiting: list[FileEdit] = []
        self.done = 0

    def add(self, edit: FileEdit) -> list[EditFailed]:
        """Take an edit in; when a call's worth is together it is sent, and what failed is returned."""
        if not edit.metadata and not edit.tags:
            return []
        self._waiting.append(edit)
        return self.flush() if len(self._waiting) >= FILES_PER_CALL else []

    def flush(self) -> list[EditFailed]:
        """Send what is waiting, and return what failed."""
        batch, self._waiting = self._waiting, []
        errors = edit_files(self._api, batch)
        failed = [EditFailed(edit, error) for edit, error in zip(batch, errors, strict=True) if error is not None]
        self.done += len(batch) - len(failed)
        return failed
