"""Compares the parts of a file on disk with MD5s, for example those of a receipt, without the network."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import attrs

from cavatica_upload.errors import Interrupted
from cavatica_upload.md5 import new_digest
from cavatica_upload.plan import Part, Plan
from cavatica_upload.receipt import Receipt
from cavatica_upload.sources.base import Source
from cavatica_upload.sources.local import LocalFile


@attrs.frozen
class Verification:
    """The result of a check: `wrong_parts` are the numbers of the parts whose bytes differ from those uploaded.

    `unchecked_parts` have no MD5 in the receipt. `reason` is one sentence, None if all is well.
    """

    receipt: Receipt
    file: str
    wrong_parts: tuple[int, ...]
    unchecked_parts: int
    reason: str | None

    @property
    def ok(self) -> bool:
        """Whether the file has exactly the bytes that were uploaded."""
        return self.reason is None


def compare(
    source: Source,
    expected: Iterable[tuple[Part, str | None]],
    *,
    jobs: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, bool]]:
    """Read parts of a source, `jobs` concurrently, and yield in their order whether each has the MD5 given with it.

    Closing the iterator ends it. Raises Interrupted if `stopped` returns True, and the errors of the source.
    """
    closed = threading.Event()

    def read(wanted: tuple[Part, str | None]) -> tuple[int, bool]:
        part, md5 = wanted
        digest = new_digest()
        for block in source.blocks(part.offset, part.size):
            if closed.is_set() or stopped():
                raise Interrupted.while_waiting("parts to be compared with the file")
            digest.update(block)
        return part.number, digest.hexdigest() == md5

    pool = ThreadPoolExecutor(jobs or os.cpu_count() or 1)
    try:
        yield from pool.map(read, expected)
    finally:
        closed.set()
        pool.shutdown(cancel_futures=True)


def verify(receipt: Receipt, file: str | os.PathLike[str], *, jobs: int | None = None) -> Verification:
    """Compare the file's bytes with the MD5s of the receipt's parts, `jobs` concurrently (default: as many as cores).

    Raises SourceError if the file cannot be read.
    """
    wrong: tuple[int, ...] = ()
    unchecked = 0
    source = LocalFile(file)
    try:
        sizes = {part.number: part.size for part in receipt.parts}
        if source.size != receipt.size:
            reason: str | None = f"The file has {source.size:,} bytes, and {receipt.size:,} were uploaded."
        elif sizes != {part.number: part.size for part in Plan(receipt.size, receipt.part_size)}:
            reason = "The receipt's parts do not make up its size."
        else:
            plan = Plan(receipt.size, receipt.part_size)
            pairs = [(plan.part(sent.number), sent.md5) for sent in receipt.parts if sent.md5 is not None]
            wrong = tuple(number for number, agrees in compare(source, pairs, jobs=jobs) if not agrees)
            unchecked = len(receipt.parts) - len(pairs)
            reason = _reason(receipt, wrong, unchecked)
    finally:
        source.close()
    return Verification(receipt, os.fspath(file), wrong, unchecked, reason)


def _reason(receipt: Receipt, wrong: tuple[int, ...], unchecked: int) -> str | None:
    if wrong:
        if len(receipt.parts) == 1:
            return "Its bytes differ from what was uploaded."
        shown = ", ".join(map(str, wrong[:10])) + (" …" if len(wrong) > 10 else "")
        return f"{len(wrong)} of {len(receipt.parts)} parts differ from what was uploaded: {shown}."
    if unchecked:
        return f"{unchecked} of {len(receipt.parts)} parts have no MD5 in the receipt (uploaded with --no-verify)."
    return None
