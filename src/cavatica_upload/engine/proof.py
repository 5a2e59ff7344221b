"""Which parts are proved to be the file's own bytes: before an upload is resumed, and before it is completed."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

import attrs

from cavatica_upload.disk import is_regular_file
from cavatica_upload.engine.context import Context
from cavatica_upload.errors import FileChanged, SourceError
from cavatica_upload.identity import Identity
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import Plan, parts_text
from cavatica_upload.request import UploadRequest
from cavatica_upload.sources import open_source
from cavatica_upload.sources.base import Source
from cavatica_upload.sources.remote import is_url
from cavatica_upload.storage.put import etag_in, md5_in, same_etag
from cavatica_upload.verification import compare


@attrs.frozen
class Kept:
    """The parts that need not be sent again, by number, and what the journal had wrong, as sentences for the user.

    `reread` are the numbers of those that were read again to prove them; `compared` says of how many parts that was
    tried. `changed` means that a part which was sent from this file is no longer its bytes.
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
    reported: Mapping[int, Mapping[str, str]],
    *,
    unchanged: bool = True,
    hashing: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> Kept:
    """Decide part by part, from the journal and from what the server says was reported (headers by part number).

    - Server and journal agree on the ETag: kept.
    - The server has it, the journal knows nothing of it or another ETag: that range of the file is read again, and the
      part is kept if its MD5 is the server's ETag.
    - The journal has it and the server was not told: kept, and reported with the next report.
    - Anything else is sent (again).
    If the two disagree the server is right. If the file may not be `unchanged` since its parts were sent, each of them
    is read again; the first one that differs ends that. With `hashing`, a part that was sent without taking its MD5 is
    read again, too. Raises Interrupted if `stopped` says so.
    """
    kept: dict[int, SentPart] = {}
    own: dict[int, SentPart] = {}  # to be read again: sent from here, as server and journal agree
    others: dict[int, SentPart] = {}  # to be read again: only the server knows them
    differing = 0
    for part in plan:
        ours = journalled.get(part.number)
        if ours is not None and (ours.size != part.size or not ours.headers):
            ours = None  # cut differently, or nothing that could be reported
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
    forgotten = sum(
        number in journalled and journalled[number].reported > part.reported for number, part in kept.items()
    )
    return Kept(
        parts=dict(sorted(kept.items())),
        differences=tuple(_sentences(differing, len(doubtful), len(reread), forgotten)),
        reread=frozenset(reread),
        compared=len(doubtful),
        changed=changed,
    )


def _sentences(differing: int, doubtful: int, proved: int, forgotten: int) -> Iterator[str]:
    if differing:
        yield f"The server has other bytes of {parts_text(differing)} than this machine remembers; the server is right."
    if doubtful:
        yield f"Compared {parts_text(doubtful)} on the server with the file anew: {proved} proved."
    if forgotten:
        yield f"The server does not know of {parts_text(forgotten)} reported before; reporting again."


def prove_unchanged(
    context: Context, request: UploadRequest, source: Source, plan: Plan | None, parts: Mapping[int, SentPart]
) -> tuple[Identity | None, bool]:
    """Return the file's identity now, and whether its parts had to be read again to prove them.

    If nothing touched it since its parts were sent, nothing is read. If something did, every part is read again and its
    MD5 compared. Raises FileChanged if a part differs, or cannot be compared.
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
                f"{parts_text(len(parts))} read again and compared.",
            )
            wanted = ((plan.part(number), part.md5) for number, part in parts.items())
            agree = all(same for _, same in compare(current, wanted, stopped=context.stop.stopping.is_set))
            if agree and current.look().same_as(now):
                return now, True
    raise FileChanged(
        f"{request.key} changed while it was being uploaded: {difference}. Nothing was completed.",
        'When nothing writes to it any more, run the same command with --yes (changed="restart" in Python): '
        "it is then uploaded anew.",
    )


@contextlib.contextmanager
def _as_it_is_now(request: UploadRequest, source: Source) -> Iterator[Source]:
    """Yield what has the file's path now, which may be another file than the one that is open."""
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
