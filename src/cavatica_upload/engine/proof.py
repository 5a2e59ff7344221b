"""Proves that bytes are ours: those of the parts on the server, of the file on disk, and of the completed file."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs
import httpx

from cavatica_upload.api.records import CompletedFile, FileDetails
from cavatica_upload.destination import nfc
from cavatica_upload.disk import Identity, is_regular_file
from cavatica_upload.engine.context import Context
from cavatica_upload.errors import (
    CavaticaError,
    FileChanged,
    IntegrityError,
    NotFound,
    SizeMismatch,
    SourceError,
    UploadGone,
)
from cavatica_upload.http.connections import Connections, deadline
from cavatica_upload.journal.records import Entry
from cavatica_upload.md5 import new_digest
from cavatica_upload.plan import GIB, Plan, count_text, plural
from cavatica_upload.request import UploadRequest
from cavatica_upload.sources import is_url, open_source
from cavatica_upload.sources.local import Source
from cavatica_upload.storage import SentPart, etag_in, md5_in, same_etag
from cavatica_upload.timing import CLOCK_GRAIN, epoch_seconds
from cavatica_upload.verification import compare

READ_WHOLE = GIB  # up to this size a file is read back whole; of a larger one the first and the last part
READ_SECONDS = 600.0  # the most for reading a file back

File = CompletedFile | FileDetails  # the file as the server describes it; None stands for what it did not say


Reported = Mapping[int, Mapping[str, str]]  # the headers of the parts that the server lists with their ETags, by number


# The parts on the server


@attrs.frozen
class Kept:
    """The parts that need not be sent again, by number; `differences` are sentences about errors of the journal.

    `reread` are the numbers of the parts that were read again and agree; `compared` is how many were read again.
    `changed` means that the file no longer has the bytes of a part that was sent from it.
    """

    parts: Mapping[int, SentPart] = attrs.field(factory=dict)
    differences: tuple[str, ...] = ()
    reread: frozenset[int] = frozenset()
    compared: int = 0
    changed: bool = False


def keep(
    plan: Plan,
    source: Source,
    journalled: Mapping[int, SentPart],
    reported: Reported,
    *,
    unchanged: bool = True,
    hashing: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> Kept:
    """Decide part by part, from the journal and from what the server says was `reported`.

    - Server and journal have the same ETag: the part is kept.
    - Only the server has the part, or its ETag differs: that range of the file is read again, and the part is kept if
      its MD5 is the server's ETag.
    - Only the journal has the part: it is kept, and reported with the next report.
    - Any other part is sent (again).

    If not `unchanged`, the file may have changed since its parts were sent: each part is read again, up to the first
    that differs. With `hashing`, parts that were sent without an MD5 are read again, too. Raises Interrupted if
    `stopped` returns True.
    """
    kept: dict[int, SentPart] = {}
    own: dict[int, SentPart] = {}  # to be read again; server and journal agree that they were sent from here
    others: dict[int, SentPart] = {}  # to be read again; only the server has them
    differing = 0
    for part in plan:
        ours = journalled.get(part.number)
        if ours is not None and (ours.size != part.size or not ours.headers):
            ours = None  # of another size, or without headers to report
        theirs = reported.get(part.number)
        headers = theirs if theirs is not None else ours.headers if ours is not None else {}
        etag = etag_in(headers)
        candidate = SentPart(part.number, part.size, md5_in(etag), headers, theirs is not None)
        if ours is not None and (theirs is None or same_etag(ours.etag, etag)):
            if unchanged and (ours.md5 is not None or candidate.md5 is None or not hashing):
                kept[part.number] = attrs.evolve(ours, reported=theirs is not None)
            elif ours.md5 is not None or candidate.md5 is not None:
                own[part.number] = attrs.evolve(candidate, md5=ours.md5 or candidate.md5)
        else:
            differing += ours is not None
            if candidate.md5 is not None:
                others[part.number] = candidate
    changed = False
    reread = set()
    doubtful = own | others
    wanted = ((plan.part(number), part.md5) for number, part in doubtful.items())
    for number, same in compare(source, wanted, stopped=stopped):
        if same:
            reread.add(number)
        elif number in own and not unchanged:
            changed = True
            break
    kept |= {number: doubtful[number] for number in reread}
    unknown = sum(number in journalled and journalled[number].reported > part.reported for number, part in kept.items())
    return Kept(
        parts=dict(sorted(kept.items())),
        differences=tuple(_sentences(differing, len(doubtful), len(reread), unknown)),
        reread=frozenset(reread),
        compared=len(doubtful),
        changed=changed,
    )


def _sentences(differing: int, doubtful: int, identical: int, unknown: int) -> Iterator[str]:
    if differing:
        yield f"Server and journal have different ETags for {count_text(differing, 'part')}; comparing with the file."
    if doubtful:
        yield f"Compared {count_text(doubtful, 'part')} on the server with the file: {identical:,} identical."
    if unknown:
        were = plural(unknown, "was", "were")
        yield f"The server does not list {count_text(unknown, 'part')} that {were} reported before; reporting again."


# The file on disk


def prove_unchanged(
    context: Context, request: UploadRequest, source: Source, plan: Plan | None, parts: Mapping[int, SentPart]
) -> tuple[Identity | None, bool]:
    """Return the current identity of the file, and whether its parts were read again.

    If its identity is the same as before, nothing is read. If not, every part is read again and its MD5 is compared.
    Raises FileChanged if a part differs or cannot be compared.
    """
    before = source.identity
    if before is None or plan is None:
        return None, False
    with _as_it_is_now(request, source) as current:
        now = current.look()
        if before.same_as(now):
            return now, False
        difference = before.difference(now)
        if now.size == before.size and all(part.md5 is not None for part in parts.values()):
            context.notice(
                request.key,
                f"The file was touched while it was being uploaded ({difference}); "
                f"{count_text(len(parts), 'part')} read again and compared.",
            )
            wanted = ((plan.part(number), part.md5) for number, part in parts.items())
            agree = all(same for _, same in compare(current, wanted, stopped=context.stop.stopping.is_set))
            if agree and current.look().same_as(now):
                return now, True
    raise FileChanged(
        f"{request.key} changed while it was being uploaded: {difference}. Nothing was completed.",
        'When nothing writes to it any more, run the same command with --yes (changed="restart" in Python): '
        "the file is then uploaded again.",
    )


@contextlib.contextmanager
def _as_it_is_now(request: UploadRequest, source: Source) -> Iterator[Source]:
    """Yield the file that is at the path now, which may be another one; if there is none, yield `source`."""
    current = None
    path = request.source
    if isinstance(path, str | os.PathLike) and (is_regular_file(path) or is_url(os.fspath(path))):
        with contextlib.suppress(SourceError):  # deleted or out of reach meanwhile: what is open is still the file
            current = open_source(path, regular=True)
    try:
        yield current if current is not None and current.identity is not None else source
    finally:
        if current is not None:
            current.close()


# The completed file


def find_completed_file(
    context: Context,
    entry: Entry,
    source: Source,
    parts: Mapping[int, SentPart],
    since: float,
    *,
    before: str | None = None,
    acted: bool = False,
) -> FileDetails | None:
    """Find the file of an upload that is gone, after a completion whose answer was lost or named no file.

    `since` is the server's time of the completion, in epoch seconds. `before` is the ID of the file that had the name
    before it, "" if none had it, None if that is not known. `acted` means that the server answered with success. The
    file is compared by size and by its bytes. If they cannot be read whole, time and this ID decide as well, because
    somebody else may have made the file. Returns None if no file has the name; raises UploadGone if this upload did not
    make it, or if that cannot be proved.
    """
    file = context.api.find_file(entry.destination, entry.name)
    if file is None:
        return None
    if file.size is None or file.created_on is None:
        file = context.api.get_file(file.id)
    size = sum(part.size for part in parts.values())
    older = file.created_on is not None and epoch_seconds(file.created_on) < since - CLOCK_GRAIN
    older = older or file.id == before
    whole = file.size is not None and size <= READ_WHOLE
    if str(file.type_).lower() == "folder" or file.size not in (None, size) or (older and not whole):
        raise gone(entry, file)
    same = _has_same_bytes(context, file, source, parts)
    if same or (same is None and not older and (acted or before is not None)):
        return file  # the same bytes are proof enough, even if a clock says otherwise
    raise gone(entry, file, maybe_ours=same is None and not older)


def gone(entry: Entry, file: FileDetails | None, *, maybe_ours: bool = False) -> UploadGone:
    """Return the error for an upload that is gone; `file` is the one that has its name."""
    what = f"The upload of {entry.name} is gone on the server"
    if file is None:
        what += ": somebody aborted it, or it expired."
        return UploadGone(what, "Run the same command again: the file is uploaded again.", status=404, code=8003)
    since = f", created {file.created_on:%Y-%m-%d %H:%M:%S} UTC" if file.created_on else ""
    there = f"The file {entry.name} that is there now ({file.id}{since})"
    if maybe_ours:
        what += f". {there} may be its result, which cannot be proved."
        hint = f"Compare {file.id} with the file on disk, or upload it again with --if-exists."
    else:
        what += f": somebody aborted it, or it expired. {there} is not its result."
        hint = "Run “cavatica upload” again, and say with --if-exists what to do about the file that is there."
    return UploadGone(what, hint, status=404, code=8003)


def check_answer(context: Context, entry: Entry, size: int, answer: CompletedFile) -> File | None:
    """Return the file that a completion named. If the answer does not fit the upload, request and compare the file.

    Returns None if the answer names no file that exists; then it only means success. Raises IntegrityError if the file
    on the platform has another size, name or place.
    """
    if not answer.id:
        return None
    file: File = answer
    wrong = _differences(file, entry, size)
    other_link = file.href is not None and not file.href.rstrip("/").endswith(f"/{file.id}")
    if wrong or other_link or file.size is None or file.name is None:
        try:
            file = context.api.get_file(answer.id)
            wrong = _differences(file, entry, size)
        except NotFound:
            if not wrong:
                return None
            raise IntegrityError(
                f"The platform completed the upload of {entry.name} and named {answer.id}, which does not exist.",
                "Look for the file on the platform before you rely on it.",
            ) from None
        except CavaticaError:
            if wrong:
                raise
            if other_link:
                return None
    if wrong:
        hint = f"Do not use the file {answer.id}; delete it, and upload it again."
        what = f"The platform made another file of the upload of {entry.name} ({answer.id}): {'; '.join(wrong)}."
        if file.size is not None and file.size != size:
            raise SizeMismatch(what, hint, expected=size, got=file.size)
        raise IntegrityError(what, hint)
    return file


def _differences(file: File, entry: Entry, size: int) -> list[str]:
    """Return how a file differs from the one that was sent; what the server did not say is not compared."""
    pairs = {
        "size": (file.size, size),
        "name": (nfc(file.name), nfc(entry.name)),
        "project": (file.project, entry.destination.project),
        "parent": (file.parent, entry.destination.parent),
    }
    return [
        f"its {field} is {got}, not {wanted}"
        for field, (got, wanted) in pairs.items()
        if None not in (got, wanted) and got != wanted
    ]


def _has_same_bytes(context: Context, file: FileDetails, source: Source, parts: Mapping[int, SentPart]) -> bool | None:
    """Return whether a file on the platform has the bytes of the parts that were sent; None if that cannot be proved.

    The bytes come from a signed URL, over connections that never see the token.
    """
    if not parts:
        return None
    whole = file.size is not None and file.size <= READ_WHOLE
    numbers = sorted(parts) if whole else sorted({min(parts), max(parts)})
    try:
        url = context.api.get_download_url(file.id)
        client = httpx.Client(transport=Connections(), timeout=60.0, follow_redirects=True)
        client.event_hooks["request"].append(lambda request: _check_encrypted(request.url, httpx.URL(url)))
        with client, deadline(time.monotonic() + READ_SECONDS):
            return all(_has_part(client, url, source, parts, number) for number in numbers if parts[number].size)
    except (CavaticaError, httpx.HTTPError, httpx.InvalidURL, LookupError):
        return None


def _check_encrypted(url: httpx.URL, first: httpx.URL) -> None:
    """Raise LookupError for a redirect out of TLS: others could read the file."""
    if url.scheme not in ("https", first.scheme):
        raise LookupError(url.scheme)


def _has_part(client: httpx.Client, url: str, source: Source, parts: Mapping[int, SentPart], number: int) -> bool:
    part = parts[number]
    offset = sum(parts[before].size for before in parts if before < number)
    expected = part.md5 or md5_in(part.etag) or _md5(source.blocks(offset, part.size), part.size)
    headers = {"Range": f"bytes={offset}-{offset + part.size - 1}", "Accept-Encoding": "identity"}
    with client.stream("GET", url, headers=headers) as answer:
        begins = answer.headers.get("Content-Range", "").lower().partition("-")[0].removeprefix("bytes").strip()
        place = {200: "0", 206: begins}.get(answer.status_code)
        if place != str(offset) or "Content-Encoding" in answer.headers:
            raise LookupError(answer.status_code)  # not these bytes, which says nothing about the file
        return _md5(answer.iter_raw(), part.size) == expected


def _md5(blocks: Iterable[bytes], size: int) -> str:
    """Return the MD5 of the first `size` bytes; raises LookupError if there are fewer."""
    digest = new_digest()
    for block in blocks:
        digest.update(block[:size])
        size -= len(block)
        if size <= 0:
            return digest.hexdigest()
    raise LookupError(size)
