"""The file that results from an upload: checked if the answer names it, found if the answer is lost."""

import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

import attrs
import httpx

from cavatica_upload.api.records import CompletedFile, FileDetails
from cavatica_upload.engine.context import Context
from cavatica_upload.errors import CavaticaError, IntegrityError, NotFound, SizeMismatch, UploadGone
from cavatica_upload.http.connections import Connections, deadline
from cavatica_upload.journal.records import Entry, SentPart
from cavatica_upload.md5 import new_digest
from cavatica_upload.sources.local import Source
from cavatica_upload.storage import md5_in
from cavatica_upload.timing import CLOCK_GRAIN, epoch_seconds

UNKNOWN_CLOCK = 5.0  # seconds of tolerance if the platform did not tell its time
READ_WHOLE = 1 << 30  # bytes up to which a file is read back whole; of larger ones the first and the last part
READ_SECONDS = 600.0  # the most for reading a file back

File = CompletedFile | FileDetails
"""The file as the server describes it; None stands for what it did not tell."""


@attrs.frozen
class Found:
    """A file that has the name of an upload which is gone.

    `ours` says whether this upload made it, None if that cannot be told.
    """

    file: FileDetails
    ours: bool | None


def find_completed_file(
    context: Context,
    entry: Entry,
    source: Source,
    parts: Mapping[int, SentPart],
    asked: float,
    *,
    before: frozenset[str] | None = None,
    acted: bool = False,
) -> Found | None:
    """Find the file with the upload's name, after a completion whose answer was lost or named no file.

    `asked` is the server's time of the completion, in epoch seconds. `before` are the IDs of the files that had the
    name before it, None if that is not known. `acted` means that the server answered with success. The file is compared
    by time, size and these IDs, and by its bytes, because somebody else may have made a file at the same time.
    """
    file = context.api.find_file(entry.destination, entry.name)
    if file is None:
        return None
    if file.size is None or file.created_on is None:
        file = context.api.get_file(file.id)
    size = sum(part.size for part in parts.values())
    if str(file.type_).lower() == "folder" or file.size not in (None, size):
        return Found(file, ours=False)
    if file.created_on is not None and epoch_seconds(file.created_on) < asked - CLOCK_GRAIN:
        return Found(file, ours=False)
    if file.id in (before or ()):
        return Found(file, ours=False)
    same = _is_same_content(context, file, source, parts)
    return Found(file, ours=True if same is None and (acted or before is not None) else same)


def gone(entry: Entry, found: Found | None) -> UploadGone:
    """Return the error for an upload that is gone and has probably not become a file."""
    what = f"The upload of {entry.name} is gone on the server"
    if found is None:
        what += ": aborted by somebody, or expired."
        return UploadGone(what, "Run the same command again: the file is sent anew.", status=404, code=8003)
    file = found.file
    since = f", created {file.created_on:%Y-%m-%d %H:%M:%S} UTC" if file.created_on else ""
    there = f"The file {entry.name} that is there now ({file.id}{since})"
    if found.ours is None:
        what += f". {there} may have come of it, which cannot be proved."
        hint = f"Compare {file.id} with the file on disk, or send it anew with --if-exists."
    else:
        what += f": aborted by somebody, or expired. {there} did not come of it."
        hint = "Run the same command again and say with --if-exists what becomes of the file that is there."
    return UploadGone(what, hint, status=404, code=8003)


def check_answer(context: Context, entry: Entry, size: int, answer: CompletedFile) -> File | None:
    """Return the file that a completion named. If the answer does not fit the upload, request and compare the file.

    Returns None if the named file does not exist; then the answer only means success. Raises IntegrityError if the file
    on the platform has another size, name or place.
    """
    file: File = answer
    wrong = _differences(file, entry, size)
    other_link = file.href is not None and not file.href.rstrip("/").endswith(f"/{file.id}")
    if wrong or other_link or file.size is None or file.name is None:
        try:
            file = context.api.get_file(answer.id or "")
        except NotFound:
            if wrong:
                raise IntegrityError(
                    f"The platform completed the upload of {entry.name} and named {answer.id}, which is not there.",
                    "Look for the file on the platform before you rely on it.",
                ) from None
            return None
        except CavaticaError:
            if wrong:
                raise
        else:
            wrong = _differences(file, entry, size)
    if wrong:
        hint = f"Do not use the file {answer.id}; delete it, and upload it again."
        what = f"The platform made another file of the upload of {entry.name} ({answer.id}): {'; '.join(wrong)}."
        if file.size is not None and file.size != size:
            raise SizeMismatch(what, hint, expected=size, got=file.size)
        raise IntegrityError(what, hint)
    return file


def server_time(context: Context, began: float) -> float:
    """Return the server's time for a local epoch second; if it is not known, a few seconds earlier to be safe."""
    clock = context.server_clock
    return began + clock.skew if clock.known else began - UNKNOWN_CLOCK


def _differences(file: File, entry: Entry, size: int) -> list[str]:
    """Return how a file differs from the one that was sent; what the server did not tell is not compared."""
    pairs = {
        "size": (file.size, size),
        "name": (_nfc(file.name), _nfc(entry.name)),
        "project": (file.project, entry.destination.project),
        "parent": (file.parent, entry.destination.parent),
    }
    return [
        f"its {field} is {got}, not {wanted}"
        for field, (got, wanted) in pairs.items()
        if None not in (got, wanted) and got != wanted
    ]


def _nfc(text: str | None) -> str | None:
    return None if text is None else unicodedata.normalize("NFC", text)


def _is_same_content(context: Context, file: FileDetails, source: Source, parts: Mapping[int, SentPart]) -> bool | None:
    """Return whether a file on the platform has the bytes of the parts that were sent; None if that cannot be told.

    The bytes come from a signed URL, over connections that never see the token.
    """
    if not parts:
        return None
    whole = file.size is not None and file.size <= READ_WHOLE
    numbers = sorted(parts) if whole else sorted({min(parts), max(parts)})
    client = httpx.Client(transport=Connections(), timeout=60.0, follow_redirects=False)
    try:
        url = context.api.get_download_url(file.id)
        with client, deadline(time.monotonic() + READ_SECONDS):
            return all(_has_part(client, url, source, parts, number) for number in numbers if parts[number].size)
    except (CavaticaError, httpx.HTTPError, httpx.InvalidURL, LookupError):
        return None


def _has_part(client: httpx.Client, url: str, source: Source, parts: Mapping[int, SentPart], number: int) -> bool:
    part = parts[number]
    offset = sum(parts[before].size for before in parts if before < number)
    expected = part.md5 or md5_in(part.etag) or _md5(source.blocks(offset, part.size))
    with client.stream("GET", url, headers={"Range": f"bytes={offset}-{offset + part.size - 1}"}) as answer:
        if answer.status_code not in (200, 206) or (answer.status_code == 200 and offset):
            raise LookupError(answer.status_code)
        return _md5(_first(answer.iter_raw(), part.size)) == expected


def _md5(blocks: Iterable[bytes]) -> str:
    digest = new_digest()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _first(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[:size]
        size -= len(block)
        if size <= 0:
            return
