"""What of an unfinished upload may be kept: only what is proved to be these very bytes."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from cavatica_upload.errors import Interrupted
from cavatica_upload.journal.records import SentPart
from cavatica_upload.md5 import new_digest
from cavatica_upload.plan import Part, Plan
from cavatica_upload.sources.base import Source
from cavatica_upload.storage.etag import bare_etag, etag_in, is_md5, same_etag


@attrs.frozen
class Kept:
    """The parts that need not be sent again, by number, and what the journal had wrong, as sentences for the user.

    `reread` are the numbers of those that were read again to prove them; `compared` says of how many parts that was
    tried. `changed` means that a part which was sent from this file is no longer its bytes.
    """

    parts: Mapping[int, SentPart]
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
    doubtful: dict[int, tuple[Part, str, Mapping[str, str], bool]] = {}
    own: set[int] = set()  # sent from here, as server and journal agree
    differing = 0
    for part in plan:
        ours = journalled.get(part.number)
        if ours is not None and ours.size != part.size:
            ours = None  # cut differently: another upload's part
        if ours is not None and not ours.headers:
            ours = None  # nothing that could be reported
        theirs = reported.get(part.number)
        agreed = ours is not None and (theirs is None or same_etag(ours.etag, etag_in(theirs)))
        differing += ours is not None and not agreed
        headers = theirs if theirs is not None else ours.headers if ours is not None else {}
        etag = etag_in(headers)
        proved_by = bare_etag(etag) if etag is not None and is_md5(etag) else None
        if ours is not None and agreed:
            own.add(part.number)
            proved_by = ours.md5 or proved_by
            if unchanged and not (hashing and ours.md5 is None and proved_by is not None):
                kept[part.number] = attrs.evolve(ours, reported=theirs is not None)
                continue
        if proved_by is not None:
            doubtful[part.number] = part, proved_by, headers, theirs is not None
    mine = [(part, md5) for part, md5, _, _ in doubtful.values() if part.number in own]
    others = [(part, md5) for part, md5, _, _ in doubtful.values() if part.number not in own]
    proved = agreeing(source, mine, stopped=stopped, all_or_none=not unchanged)
    changed = not unchanged and len(proved) < len(mine)
    if not changed:
        proved |= agreeing(source, others, stopped=stopped)
    for number in proved:
        part, md5, headers, told = doubtful[number]
        kept[number] = SentPart(number, part.size, md5, headers, told)
    forgotten = sum(
        journalled[number].reported and not part.reported for number, part in kept.items() if number in journalled
    )
    return Kept(
        parts=dict(sorted(kept.items())),
        differences=tuple(_sentences(differing, len(doubtful), len(proved), forgotten)),
        reread=frozenset(proved),
        compared=len(doubtful),
        changed=changed,
    )


def agreeing(
    source: Source,
    parts: Sequence[tuple[Part, str]],
    *,
    stopped: Callable[[], bool] = lambda: False,
    all_or_none: bool = False,
) -> set[int]:
    """Read parts of a source and return the numbers of those that have the MD5 given with them.

    With `all_or_none` the first that differs ends the reading. Raises Interrupted if `stopped` says so.
    """
    enough = threading.Event()

    def read(wanted: tuple[Part, str]) -> int | None:
        part, md5 = wanted
        digest = new_digest()
        if enough.is_set():
            return None
        for block in source.blocks(part.offset, part.size):
            if stopped():
                raise Interrupted.while_waiting("parts to be compared with the file")
            digest.update(block)
        if digest.hexdigest() == md5:
            return part.number
        if all_or_none:
            enough.set()
        return None

    if not parts:
        return set()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return {number for number in pool.map(read, parts) if number is not None}


def _sentences(differing: int, doubtful: int, proved: int, unreported: int) -> list[str]:
    said = []
    if differing:
        said.append(
            f"The server has other bytes of {differing} parts than this machine remembers; the server is right."
        )
    if doubtful:
        said.append(f"{doubtful} parts on the server were compared with the file anew: {proved} are its bytes.")
    if unreported:
        said.append(f"The server does not know of {unreported} parts that were reported; they are reported again.")
    return said
