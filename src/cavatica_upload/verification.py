"""Check a file on disk against the receipt of its upload: offline, in parallel over the parts."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import attrs

from cavatica_upload.md5 import new_digest
from cavatica_upload.plan import Plan
from cavatica_upload.receipt import Receipt, ReceiptPart
from cavatica_upload.sources.local import LocalFile


@attrs.frozen
class Verification:
    """What a check found: `wrong_parts` are the numbers of the parts whose bytes are not those that went up.

    `unchecked_parts` have no MD5 in the receipt. `reason` is one sentence, None where all is well.
    """

    receipt: Receipt
    file: str
    wrong_parts: tuple[int, ...]
    unchecked_parts: int
    reason: str | None

    @property
    def ok(self) -> bool:
        """Whether the file is, byte for byte, what was uploaded."""
        return self.reason is None


def verify(
    receipt: Receipt,
    file: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    on_part: Callable[[ReceiptPart, bool], None] | None = None,
) -> Verification:
    """Compare the file's bytes with the MD5s of the receipt's parts; `jobs` parts at once (default: as many as cores).

    `on_part` is told of each part and whether it agrees. Raises SourceError where the file cannot be read.
    """
    source = LocalFile(file)
    try:
        if source.size != receipt.size:
            reason = f"The file has {source.size:,} bytes, and {receipt.size:,} were uploaded."
            return Verification(receipt, os.fspath(file), (), 0, reason)
        planned = [(part.number, part.size) for part in Plan(receipt.size, receipt.part_size)]
        if planned != [(part.number, part.size) for part in receipt.parts]:
            return Verification(receipt, os.fspath(file), (), 0, "The receipt's parts do not make up its size.")
        wrong: list[int] = []
        with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
            agreements = pool.map(lambda part: _agrees(source, receipt, part), receipt.parts)
            for part, agrees in zip(receipt.parts, agreements, strict=True):
                if agrees is False:
                    wrong.append(part.number)
                if on_part is not None and agrees is not None:
                    on_part(part, agrees)
        unchecked = sum(part.md5 is None for part in receipt.parts)
        return Verification(receipt, os.fspath(file), tuple(wrong), unchecked, _reason(receipt, wrong, unchecked))
    finally:
        source.close()


def _agrees(source: LocalFile, receipt: Receipt, part: ReceiptPart) -> bool | None:
    if part.md5 is None:
        return None
    digest = new_digest()
    for block in source.blocks((part.number - 1) * receipt.part_size, part.size):
        digest.update(block)
    return digest.hexdigest() == part.md5


def _reason(receipt: Receipt, wrong: list[int], unchecked: int) -> str | None:
    if wrong:
        shown = ", ".join(map(str, wrong[:10])) + (" …" if len(wrong) > 10 else "")
        return f"{len(wrong)} of {len(receipt.parts)} parts differ from what was uploaded: {shown}."
    if unchecked:
        return f"{unchecked} of {len(receipt.parts)} parts have no MD5 in the receipt (uploaded with --no-verify)."
    return None
