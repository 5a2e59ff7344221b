"""Checks which parts have the bytes of the file, before an upload is resumed and before it is completed."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

import attrs

from cavatica_upload.disk import Identity, is_regular_file
from cavatica_upload.engine.context import Context
from cavatica_upload.errors import FileChanged, SourceError
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import Plan, parts_text
from cavatica_upload.request import UploadRequest
from cavatica_upload.sources import is_url, open_source
from cavatica_upload.sources.local import Source
from cavatica_upload.storage import etag_in, md5_in, same_etag
from cavatica_upload.verification import compare


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
    reported: Mapping[int, Mapping[str, str]],
    *,
    unchanged: bool = True,
    hashing: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> Kept:
    """Decide part by part, from the journal and from what the server says was reported (headers by part number).

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
