"""What has to be true before an upload is completed: the file is still the one whose parts were sent."""

import contextlib
import os
from collections.abc import Iterator, Mapping

from cavatica_upload.engine.context import Context
from cavatica_upload.engine.open import Opened
from cavatica_upload.engine.resume import agreeing
from cavatica_upload.errors import FileChanged, IntegrityError, SizeMismatch, SourceError
from cavatica_upload.identity import Identity
from cavatica_upload.journal.records import SentPart
from cavatica_upload.receipt import FileDigest
from cavatica_upload.sources import open_source
from cavatica_upload.sources.base import Source


def prove_unchanged(context: Context, opened: Opened, parts: Mapping[int, SentPart]) -> tuple[Identity | None, bool]:
    """Return the file's identity now, and whether its parts had to be read again to prove them.

    Nothing touched it since its parts were sent: nothing is read. Something did: every part is read again and its MD5
    compared. Raises FileChanged if a part differs, or cannot be compared.
    """
    before, plan = opened.source.identity, opened.plan
    if before is None or plan is None:
        return None, False
    with _as_it_is_now(opened) as source:
        now = source.look()
        if before.same_as(now):
            return now, False
        if now.size != before.size or any(part.md5 is None for part in parts.values()):
            raise _changed(opened, before.difference(now))
        context.notice(
            opened.request.key,
            f"The file was touched while it was being uploaded ({before.difference(now)}); "
            f"its {len(parts)} parts are read again and compared.",
        )
        wanted = [(plan.part(number), part.md5 or "") for number, part in parts.items()]
        agree = agreeing(source, wanted, stopped=context.stop.stopping.is_set, all_or_none=True)
        if len(agree) < len(wanted) or not source.look().same_as(now):
            raise _changed(opened, before.difference(now))
        return now, True


@contextlib.contextmanager
def _as_it_is_now(opened: Opened) -> Iterator[Source]:
    """Yield what has the file's path now, which may be another file than the one that is open."""
    path = opened.request.source
    source = opened.source
    if isinstance(path, str | os.PathLike) and source.identity is not None:
        try:
            source = open_source(path)
        except SourceError:
            source = opened.source  # deleted or out of reach meanwhile: what is open is still the file
    try:
        yield source if source.identity is not None else opened.source
    finally:
        if source is not opened.source:
            source.close()


def _changed(opened: Opened, how: str) -> FileChanged:
    return FileChanged(
        f"{opened.request.key} changed while it was being uploaded: {how}. Nothing was completed.",
        'When nothing writes to it any more, run the same command with --yes (changed="restart" in Python): '
        "it is then uploaded anew.",
    )


def check_expected(opened: Opened, size: int, parts: Mapping[int, SentPart], digest: FileDigest | None) -> None:
    """Compare size and MD5 of the whole file with what was said beforehand, as far as that is known.

    Raises SizeMismatch, or IntegrityError.
    """
    request = opened.request
    hint = "Find out which is right; nothing was completed."
    if request.expect_size is not None and size != request.expect_size:
        raise SizeMismatch(
            f"{request.key} has {size:,} bytes, and {request.expect_size:,} were expected.",
            "Nothing was completed. If it comes from a pipe, see whether its producer failed.",
            expected=request.expect_size,
            got=size,
        )
    taken = digest.value if digest is not None and digest.algorithm == "md5" else None
    if taken is None and len(parts) == 1:
        taken = next(iter(parts.values())).md5
    expected = request.expect_md5.lower() if request.expect_md5 is not None else None
    if expected is not None and taken != expected:
        got = taken or "not known"
        raise IntegrityError(f"The MD5 of {request.key} is {got}, and {expected} was expected.", hint)
    known = opened.known
    if known is not None and taken is not None and taken != known.value:
        raise IntegrityError(
            f"The MD5 of {request.key} is {taken}, and "
            f"{'its .md5 file' if known.origin == 'sidecar' else 'the one given'} says {known.value}.",
            hint,
        )
