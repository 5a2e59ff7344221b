"""The end of an upload: complete it, prove it, keep the receipt."""

from collections.abc import Mapping, Sequence

import attrs

from cavatica_upload import receipt, versions
from cavatica_upload.clock import now_utc
from cavatica_upload.engine.checkpoints import report_of
from cavatica_upload.engine.completed_file import CompletedFile, find_completed_file
from cavatica_upload.engine.context import Context, pause
from cavatica_upload.engine.open import Opened
from cavatica_upload.errors import (
    CavaticaError,
    CompleteRefused,
    IntegrityError,
    SizeMismatch,
    UnexpectedAnswer,
    UploadGone,
)
from cavatica_upload.journal.records import SentPart
from cavatica_upload.receipt import FileDigest, Receipt, ReceiptPart
from cavatica_upload.storage import etags

COMPLETIONS = 5  # of which all but one end without an answer


@attrs.frozen
class SendAgain:
    """The server does not have these parts as they were sent: send them again, then complete again."""

    numbers: tuple[int, ...]


@attrs.frozen
class BeginAnew:
    """The upload can never be completed, and was aborted: open the file anew.

    `error` is what to say if that was tried before.
    """

    error: CavaticaError


@attrs.frozen(kw_only=True)
class Finished:
    """All parts of an upload: what they add up to, and which an earlier run had sent."""

    opened: Opened
    parts: Mapping[int, SentPart]
    resumed: frozenset[int]
    size: int
    digest: FileDigest | None


def complete_upload(
    context: Context, finished: Finished, unreported: Sequence[SentPart]
) -> Receipt | SendAgain | BeginAnew:
    """Complete the upload, with the parts that were not reported, and return the receipt, or what to do instead.

    Raises FileChanged or another IntegrityError before anything is completed that should not be, SizeMismatch if the
    file that came of it is not the file that was sent.
    """
    opened = finished.opened
    opened.source.check()
    _check_known(finished)
    file = find_completed_file(context, opened.entry, finished.size) if opened.completed else None
    if file is None:
        context.journal.mark_completing(opened.entry, now_utc())
        ended = _complete(context, finished, unreported)
        if not isinstance(ended, CompletedFile):
            return ended
        file = ended
    if file.size is not None and file.size != finished.size:
        raise SizeMismatch(
            f"The platform has {file.size:,} bytes of {opened.entry.name}, and {finished.size:,} were sent.",
            f"Do not use the file {file.file_id}; delete it, and upload it again.",
            expected=finished.size,
            got=file.size,
        )
    made = _receipt(context, finished, file)
    try:
        made = receipt.write(made, context.receipts)
    except OSError as error:
        context.notice(opened.request.key, f"The file is uploaded, but its receipt could not be kept: {error}.")
    context.journal.forget(opened.entry)
    return made


def _complete(
    context: Context, finished: Finished, unreported: Sequence[SentPart]
) -> CompletedFile | SendAgain | BeginAnew:
    entry = finished.opened.entry
    rest = list(unreported)
    refused = False
    for attempt in range(1, COMPLETIONS + 1):
        try:
            answer = context.api.complete_upload(entry.upload_id, [report_of(part) for part in rest])
        except UploadGone as error:
            return _completed_file_or_raise(context, finished, error)
        except CompleteRefused:
            if refused:
                raise
            refused = True
            missing = _reconcile(context, finished)
            if isinstance(missing, SendAgain):
                return missing
            rest = missing
            continue
        except CavaticaError as error:
            if not getattr(error, "maybe_acted", False):
                raise
            lost = error
        else:
            if answer.id is not None:
                return CompletedFile(answer.id, answer.size, answer.href)
            lost = UnexpectedAnswer(
                f"The server did not say which file the upload of {entry.name} became.",
                "Run the same command again.",
                status=200,
                operation="completeUpload",
            )
        # The answer was lost. An upload that is gone has become the file; one that is there has not.
        pause(context, context.backoff(attempt))
        try:
            context.api.get_upload(entry.upload_id)
        except UploadGone as gone:
            return _completed_file_or_raise(context, finished, gone)
        if attempt == COMPLETIONS:
            raise lost
    raise AssertionError("unreachable")


def _completed_file_or_raise(context: Context, finished: Finished, error: UploadGone) -> CompletedFile:
    file = find_completed_file(context, finished.opened.entry, finished.size)
    if file is None:
        raise error
    return file


def _reconcile(context: Context, finished: Finished) -> list[SentPart] | SendAgain:
    """Ask the server what it has: return the parts to report again, or those to send again."""
    upload = context.api.get_upload(finished.opened.entry.upload_id, list_parts=True)
    theirs = {part.part_number: part.headers for part in upload.parts or ()}
    missing = [part for number, part in finished.parts.items() if number not in theirs]
    wrong = [
        number
        for number, part in finished.parts.items()
        if number in theirs and not etags.same(part.etag, etags.in_headers(theirs[number]))
    ]
    if wrong:
        context.notice(
            finished.opened.request.key,
            f"The server has other bytes of {len(wrong)} parts than were sent; they are sent again.",
        )
        return SendAgain(tuple(wrong))
    return missing


def _check_known(finished: Finished) -> None:
    """Compare a known MD5 of the whole file with what was read, as far as that is known."""
    known, computed = finished.opened.known, finished.digest
    if known is None:
        return
    taken = computed.value if computed is not None and computed.algorithm == "md5" else None
    if taken is None and len(finished.parts) == 1:
        taken = next(iter(finished.parts.values())).md5
    if taken is not None and taken != known.value:
        raise IntegrityError(
            f"The MD5 of {finished.opened.request.key} is {taken}, and "
            f"{'its .md5 file' if known.origin == 'sidecar' else 'the one given'} says {known.value}.",
            "Find out which is right; the upload is not completed.",
        )


def _receipt(context: Context, finished: Finished, file: CompletedFile) -> Receipt:
    opened = finished.opened
    parts = tuple(
        ReceiptPart(
            number=number,
            size=part.size,
            md5=part.md5,
            etag=part.etag,
            verified=part.verified,
            resumed=number in finished.resumed,
        )
        for number, part in sorted(finished.parts.items())
    )
    doubts = _doubts(parts, file)
    md5s = [part.md5 for part in parts if part.md5 is not None]
    return Receipt(
        file_id=file.file_id,
        name=opened.entry.name,
        project=opened.request.destination.project,
        parent=opened.request.destination.parent,
        source=opened.source.identity.path if opened.source.identity is not None else opened.request.key,
        upload_id=opened.entry.upload_id,
        size=finished.size,
        part_size=opened.part_size,
        parts=parts,
        composite=receipt.composite(md5s) if len(md5s) == len(parts) else None,
        verified=not doubts,
        not_verified=doubts,
        digest=finished.digest or opened.known,
        started=opened.entry.started,
        finished=now_utc(),
        endpoint=context.endpoint,
        contract_version=versions.CONTRACT,
        tool_version=versions.TOOL,
        href=file.href,
    )


def _doubts(parts: Sequence[ReceiptPart], file: CompletedFile) -> tuple[str, ...]:
    doubts = []
    unhashed = sum(part.md5 is None for part in parts)
    if unhashed:
        doubts.append(f"No MD5 was taken of {unhashed} of {len(parts)} parts: checking was switched off.")
    opaque = sum(part.md5 is not None and not part.verified for part in parts)
    if opaque:
        doubts.append(f"The ETags of {opaque} of {len(parts)} parts are no MD5s: they prove nothing of the bytes.")
    if file.size is None:
        doubts.append("The platform did not say the size of the file.")
    return tuple(doubts)
