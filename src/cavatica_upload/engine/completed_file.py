"""The file that an upload became: what an answer says of it, or how it is found if no answer came."""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

import attrs

from cavatica_upload.clock import epoch_seconds
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.read_back import is_same_content
from cavatica_upload.errors import CavaticaError, IntegrityError, NotFound, SizeMismatch, UploadGone
from cavatica_upload.journal.records import Entry, SentPart
from cavatica_upload.sources.base import Source

CLOCK_GRAIN = 2.0  # seconds: times of the platform have whole seconds, and so has the header that tells its clock
UNKNOWN_CLOCK = 5.0  # seconds: if the platform has not told its clock


@attrs.frozen
class CompletedFile:
    """The file as the server has it; what it did not tell is None, and `file_id` empty."""

    file_id: str
    size: int | None = None
    href: str | None = None


@attrs.frozen
class Found:
    """A file that has the name of an upload which is gone: `ours` says whether this upload made it."""

    ours: Literal["yes", "no", "in doubt"]
    file: CompletedFile
    created: datetime | None = None


@attrs.frozen(kw_only=True)
class Lost:
    """A completion whose answer did not come, or said nothing.

    `asked` is the server's time when it was asked for, in epoch seconds; `before` are the ids of the files that had the
    name before it, None if nobody looked; `acted` says that the server answered with success.
    """

    entry: Entry
    size: int | None
    asked: float
    before: frozenset[str] | None = None
    acted: bool = False


class _Described(Protocol):
    @property
    def id(self) -> str | None: ...


def look_for(context: Context, lost: Lost, source: Source, parts: Mapping[int, SentPart]) -> Found | None:
    """Look whether the upload became the file that has its name now: by time, size, and what was there before.

    If these leave a doubt, since another file could have come within the same seconds, the bytes are read back.
    """
    found = context.api.find_file(lost.entry.destination, lost.entry.name)
    if found is None:
        return None
    if found.size is None or found.created_on is None:
        found = context.api.get_file(found.id)
    size, created = found.size, found.created_on
    file = CompletedFile(found.id, size, found.href)
    if str(found.type_).lower() == "folder" or (None not in (size, lost.size) and size != lost.size):
        return Found("no", file, created)
    if created is not None and epoch_seconds(created) < lost.asked - CLOCK_GRAIN:
        return Found("no", file, created)
    if lost.before is not None:
        return Found("no" if found.id in lost.before else "yes", file, created)
    same = is_same_content(context, found.id, source, parts, size)
    if same is None and lost.acted:
        return Found("yes", file, created)
    return Found("in doubt" if same is None else "yes" if same else "no", file, created)


def not_ours(entry: Entry, found: Found | None) -> UploadGone:
    """Return the error of an upload that is gone without having become a file, as far as can be told."""
    gone = f"The upload of {entry.name} is gone on the server: aborted by somebody, or expired."
    if found is None:
        return UploadGone(gone, "Run the same command again: the file is sent anew.", status=404, code=8003)
    since = f", created {found.created:%Y-%m-%d %H:%M:%S} UTC" if found.created else ""
    there = f"The file {entry.name} that is there now ({found.file.file_id}{since})"
    if found.ours == "in doubt":
        return UploadGone(
            f"The upload of {entry.name} is gone on the server. {there} may have come of it, which cannot be proved.",
            f"Compare {found.file.file_id} with the file on disk, or send it anew with --if-exists.",
            status=404,
            code=8003,
        )
    return UploadGone(
        f"{gone} {there} did not come of it.",
        "Run the same command again and say with --if-exists what becomes of the file that is there.",
        status=404,
        code=8003,
    )


def check_answer(context: Context, entry: Entry, size: int, answer: _Described) -> CompletedFile | None:
    """Return the file that a completion named; if it is not the one that was sent, look at it before believing that.

    None if what was named is not there: then the answer says nothing but success.
    Raises IntegrityError if the file on the platform is another one, of another size, or elsewhere.
    """
    file_id = answer.id or ""
    described = answer
    wrong = _differences(described, entry, size)
    if wrong or getattr(described, "size", None) is None:
        try:
            described = context.api.get_file(file_id)
        except NotFound:
            if wrong:
                raise IntegrityError(
                    f"The platform completed the upload of {entry.name} and named {file_id}, which is not there.",
                    "Look for the file on the platform before you rely on it.",
                ) from None
            return None
        except CavaticaError:
            if wrong:
                raise
        else:
            wrong = _differences(described, entry, size)
    if wrong:
        hint = f"Do not use the file {file_id}; delete it, and upload it again."
        what = f"The platform made another file of the upload of {entry.name} ({file_id}): {'; '.join(wrong)}."
        got = getattr(described, "size", None)
        if got is not None and got != size:
            raise SizeMismatch(what, hint, expected=size, got=got)
        raise IntegrityError(what, hint)
    return CompletedFile(file_id, getattr(described, "size", None), getattr(described, "href", None))


def _differences(described: _Described, entry: Entry, size: int) -> list[str]:
    """Say how a file differs from the one that was sent; what the server did not tell is no difference."""
    asked = {
        "size": size,
        "name": unicodedata.normalize("NFC", entry.name),
        "project": entry.destination.project,
        "parent": entry.destination.parent,
    }
    wrong = []
    for field, wanted in asked.items():
        got = getattr(described, field, None)
        got = unicodedata.normalize("NFC", got) if isinstance(got, str) else got
        if None not in (wanted, got) and got != wanted:
            wrong.append(f"its {field} is {got}, not {wanted}")
    return wrong


def server_time(context: Context, began: float) -> float:
    """Return this machine's epoch second as the server's; what is not known of its clock is taken off."""
    clock = context.server_clock
    return began + clock.skew if clock.known else began - UNKNOWN_CLOCK
