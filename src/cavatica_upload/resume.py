"""What of an unfinished upload may be kept: only what is proved to be these very bytes."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import attrs

from cavatica_upload import etags
from cavatica_upload.errors import Interrupted
from cavatica_upload.md5 import new_digest
from cavatica_upload.plan import Part, Plan
from cavatica_upload.records import SentPart
from cavatica_upload.sources import Source


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
    stopped: Callable[[], bool] = lambda: False,
) -> Kept:
    """Decide part by part, from the journal and from what the server says was reported (headers by part number).

    - Server and journal agree on the ETag: kept.
    - The server has it, the journal knows nothing of it or another ETag: that range of the file is read anew, and the
      part is kept where its MD5 is the server's ETag.
    - The journal has it and the server was not told: kept, and reported with the next report.
    - Anything else is sent (again).
    Where the two disagree the server is right. Raises Interrupted where `stopped` says so.
    """
    kept: dict[int, SentPart] = {}
    doubtful: list[Part] = []
    differing = 0
    for part in plan:
        ours = journalled.get(part.number)
        if ours is not None and ours.size != part.size:
            ours = None  # cut differently: another upload's part
        theirs = reported.get(part.number)
        if theirs is None:
            if ours is not None:
                kept[part.number] = attrs.evolve(ours, reported=False)
            continue
        etag = etags.in_headers(theirs)
        if ours is not None and etags.same(ours.etag, etag):
            kept[part.number] = attrs.evolve(ours, reported=True)
        else:
            differing += ours is not None
            if etags.is_md5(etag):
                doubtful.append(part)
    proved = _reread(source, doubtful, reported, stopped)
    kept |= proved
    unreported = sum(
        journalled[number].reported and not part.reported for number, part in kept.items() if number in journalled
    )
    return Kept(dict(sorted(kept.items())), tuple(_sentences(differing, len(doubtful), len(proved), unreported)))


def _reread(
    source: Source, parts: list[Part], reported: Mapping[int, Mapping[str, str]], stopped: Callable[[], bool]
) -> dict[int, SentPart]:
    def read(part: Part) -> SentPart | None:
        digest = new_digest()
        for block in source.blocks(part.offset, part.size):
            if stopped():
                raise Interrupted.while_waiting("parts to be compared with the server's")
            digest.update(block)
        headers = reported[part.number]
        if digest.hexdigest() != etags.bare(etags.in_headers(headers) or ""):
            return None
        return SentPart(part.number, part.size, digest.hexdigest(), headers, reported=True)

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
