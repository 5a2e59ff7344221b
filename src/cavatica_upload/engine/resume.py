"""What of an unfinished upload may be kept: only what is proved to be these very bytes."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import attrs

from cavatica_upload.errors import Interrupted
from cavatica_upload.journal.records import SentPart
from cavatica_upload.md5 import new_digest
from cavatica_upload.plan import Part, Plan
from cavatica_upload.sources.base import Source
from cavatica_upload.storage import etags


@attrs.frozen
class Kept:
    """The parts that need not be sent again, by number, and what the journal had wrong, as sentences for the user."""

    parts: Mapping[int, SentPart]
    differences: tuple[str, ...] = ()


def keep(
    plan: Plan,
    source: Source,
    journalled: Mapping[int, SentPart],
    reported: Mapping[int, Mapping[str, str]],
    *,
    hashing: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> Kept:
    """Decide part by part, from the journal and from what the server says was reported (headers by part number).

    - Server and journal agree on the ETag: kept.
    - The server has it, the journal knows nothing of it or another ETag: that range of the file is read anew, and the
      part is kept where its MD5 is the server's ETag.
    - The journal has it and the server was not told: kept, and reported with the next report.
    - Anything else is sent (again).
    Where the two disagree the server is right. With `hashing`, a part that was sent without taking its MD5 is read
    anew, too. Raises Interrupted where `stopped` says so.
    """
    kept: dict[int, SentPart] = {}
    doubtful: list[tuple[Part, Mapping[str, str], bool]] = []
    differing = 0
    for part in plan:
        ours = journalled.get(part.number)
        if ours is not None and ours.size != part.size:
            ours = None  # cut differently: another upload's part
        theirs = reported.get(part.number)
        agreed = ours is not None and (theirs is None or etags.same(ours.etag, etags.in_headers(theirs)))
        differing += ours is not None and not agreed
        if ours is not None and agreed and not (hashing and ours.md5 is None and etags.is_md5(ours.etag)):
            kept[part.number] = attrs.evolve(ours, reported=theirs is not None)
        else:
            headers = theirs if theirs is not None else ours.headers if ours is not None else {}
            if etags.is_md5(etags.in_headers(headers)):
                doubtful.append((part, headers, theirs is not None))
    proved = _reread(source, doubtful, stopped)
    kept |= proved
    forgotten = sum(
        journalled[number].reported and not part.reported for number, part in kept.items() if number in journalled
    )
    return Kept(dict(sorted(kept.items())), tuple(_sentences(differing, len(doubtful), len(proved), forgotten)))


def _reread(
    source: Source, parts: list[tuple[Part, Mapping[str, str], bool]], stopped: Callable[[], bool]
) -> dict[int, SentPart]:
    """Return those of the parts whose ETag is the MD5 of their range of the file."""

    def read(doubtful: tuple[Part, Mapping[str, str], bool]) -> SentPart | None:
        part, headers, reported = doubtful
        digest = new_digest()
        for block in source.blocks(part.offset, part.size):
            if stopped():
                raise Interrupted.while_waiting("parts to be compared with the server's")
            digest.update(block)
        sent = SentPart(part.number, part.size, digest.hexdigest(), headers, reported)
        return sent if sent.verified else None

    if not parts:
        return {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return {part.number: part for part in pool.map(read, parts) if part is not None}


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
