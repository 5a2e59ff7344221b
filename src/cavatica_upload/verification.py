"""Compares files on disk with receipts, and finds files that an earlier run uploaded, without the network."""

import contextlib
import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from cavatica_upload.destination import Destination
from cavatica_upload.disk import Identity, identity_of, json_files
from cavatica_upload.errors import Interrupted, SourceError, check_kind
from cavatica_upload.md5 import new_digest
from cavatica_upload.plan import Part, Plan, count_text, plural
from cavatica_upload.receipt import Receipt, letters_of, read
from cavatica_upload.request import UploadRequest
from cavatica_upload.sources.local import LocalFile, Source


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

    def check(pair: tuple[Part, str | None]) -> tuple[int, bool]:
        part, md5 = pair
        digest = new_digest()
        for block in source.blocks(part.offset, part.size):
            if closed.is_set() or stopped():
                raise Interrupted.while_waiting("parts to be compared with the file")
            digest.update(block)
        return part.number, digest.hexdigest() == md5

    pool = ThreadPoolExecutor(jobs or os.cpu_count() or 1)
    try:
        yield from pool.map(check, expected)
    finally:
        closed.set()
        pool.shutdown(cancel_futures=True)


def verify(receipt: Receipt, file: str | os.PathLike[str], *, jobs: int | None = None) -> Verification:
    """Compare the bytes of a file with the MD5s in a receipt, `jobs` parts concurrently (default: one for each core).

    `Receipt.from_json()` reads the receipt of an earlier run. Raises SourceError if the file cannot be read.
    """
    check_kind(Receipt, "a Receipt", receipt=receipt)
    with contextlib.closing(LocalFile(file)) as source:
        wrong, unchecked, reason = _verify(receipt, source, jobs)
    return Verification(receipt, os.fspath(file), wrong, unchecked, reason)


def _verify(receipt: Receipt, source: Source, jobs: int | None) -> tuple[tuple[int, ...], int, str | None]:
    """Return the wrong parts, how many have no MD5, and why the file is not proved to be the uploaded one."""
    if source.size != receipt.size:
        found = count_text(source.size or 0, "byte")
        return (), 0, f"The file has {found}, and {receipt.size:,} {plural(receipt.size, 'was', 'were')} uploaded."
    plan = Plan(receipt.size, receipt.part_size)
    if {part.number: part.size for part in receipt.parts} != {part.number: part.size for part in plan}:
        return (), 0, "The parts in the receipt do not make up its size."
    pairs = [(plan.part(sent.number), sent.md5) for sent in receipt.parts if sent.md5 is not None]
    wrong = tuple(number for number, same in compare(source, pairs, jobs=jobs) if not same)
    unchecked = plan.count - len(pairs)
    of_all = f"of {count_text(plan.count, 'part')}"
    if wrong and plan.count == 1:
        reason: str | None = "Its bytes differ from what was uploaded."
    elif wrong:
        numbers = ", ".join(map(str, wrong[:10])) + (" …" if len(wrong) > 10 else "")
        differ = plural(len(wrong), "differs", "differ")
        reason = f"{len(wrong):,} {of_all} {differ} from what was uploaded: {numbers}."
    elif unchecked:
        have = plural(unchecked, "has", "have")
        reason = f"{unchecked:,} {of_all} {have} no MD5 in the receipt (uploaded with --no-verify)."
    else:
        reason = None
    return wrong, unchecked, reason


_RECEIPT = re.compile(r"[0-9TZ.]+-(?P<name>.*)-[^-]*\.json")
_RENAMED = re.compile(r"_[0-9]{1,6}_(?P<name>.*)", re.DOTALL)

_COMPARED: dict[tuple[Receipt, Identity], bool | None] = {}
"""Results of comparing whole files, kept because reading 300 GB takes long."""


class ReceiptIndex:
    """Finds receipts in a folder. Only receipts of files with the same name are opened."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._endpoint = endpoint
        self._paths: defaultdict[str, list[Path]] = defaultdict(list)
        for path in reversed(json_files(folder)):
            found = _RECEIPT.fullmatch(path.name)
            if found:
                self._paths[_key(found["name"])].append(path)

    def find(
        self,
        request: UploadRequest,
        size: int | None,
        folder: Destination,
        is_there: Callable[[Receipt], bool],
        notice: Callable[[str], object],
    ) -> Receipt | None:
        """Return the receipt of a file on disk that was uploaded to this folder as requested; None if there is none.

        If the request allows renaming, a name like `_1_name` fits as well. `is_there` tells whether the platform still
        has the file of a receipt. `notice` is as in `compare_with_receipt`.
        """
        source = os.fspath(request.source)  # type: ignore[arg-type]
        name = request.name or Path(source).name
        for receipt in self._of_name(name):
            if (
                name in (receipt.name, _original(receipt.name) if request.if_exists == "rename" else None)
                and receipt.parent == folder.parent
                and folder.project in (None, receipt.project)
                and receipt.size == size
                and os.path.realpath(receipt.source) == os.path.realpath(source)
                and is_there(receipt)
                and compare_with_receipt(receipt, source, notice)
            ):
                return receipt
        return None

    def of_file(self, file_id: str, name: str) -> Receipt | None:
        """Return the receipt of a file on the platform, by its ID."""
        return next((receipt for receipt in self._of_name(name) if receipt.file_id == file_id), None)

    def _of_name(self, name: str) -> Iterator[Receipt]:
        for path in self._paths.get(_key(name), ()):
            try:
                receipt = read(path)
            except SourceError:
                continue
            if receipt.endpoint == self._endpoint:
                yield receipt


def reason_to_skip(receipt: Receipt) -> str:
    """Return why a file that `ReceiptIndex.find` has found is not sent again, as a sentence."""
    return f"It was uploaded at {receipt.finished} and is unchanged since."


def compare_with_receipt(receipt: Receipt, source: str, notice: Callable[[str], object]) -> bool | None:
    """Return whether a file on disk is the one of the receipt; None if that cannot be proved.

    If the file was not touched since its upload, nothing is read. If it was, `notice` is called with a sentence about
    it, and the file is read once and compared with the MD5s.
    """
    try:
        identity = identity_of(source)
        if receipt.identity is not None and receipt.identity.same_as(identity):
            return True
        if (receipt, identity) not in _COMPARED:
            notice("It was touched after its upload; comparing it with the receipt.")
            found = verify(receipt, source)
            unknown = found.unchecked_parts and not found.wrong_parts
            _COMPARED[receipt, identity] = True if found.ok else None if unknown else False
    except (OSError, ValueError, SourceError):
        return None
    return _COMPARED[receipt, identity]


def _original(name: str) -> str:
    """Return a name without the number that a renaming put in front: `a` for `_1_a`."""
    renamed = _RENAMED.fullmatch(name)
    return renamed["name"] if renamed else name


def _key(name: str) -> str:
    return _original(letters_of(name))[:60]
