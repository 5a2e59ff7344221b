"""The end of an upload: check the local file, complete the upload, check the resulting file, write the receipt."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import attrs

from cavatica_upload import receipt
from cavatica_upload.api.records import CompletedFile
from cavatica_upload.disk import Identity
from cavatica_upload.engine.checkpoints import report_of
from cavatica_upload.engine.completed_file import (
    File,
    Found,
    check_answer,
    find_completed_file,
    gone,
    server_time,
)
from cavatica_upload.engine.context import Context, pause
from cavatica_upload.engine.open import Opened
from cavatica_upload.engine.proof import prove_unchanged
from cavatica_upload.engine.start import SkippedFile
from cavatica_upload.errors import (
    CavaticaError,
    CompleteRefused,
    IntegrityError,
    NameTaken,
    SizeMismatch,
    UnexpectedAnswer,
    UploadGone,
    reason_of,
)
from cavatica_upload.http import CONTRACT_VERSION, TOOL_VERSION
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import parts_text
from cavatica_upload.receipt import FileDigest, Receipt, ReceiptPart
from cavatica_upload.storage import etag_in, same_etag
from cavatica_upload.timing import epoch_seconds, now_utc, utc_text

COMPLETIONS = 5  # the most attempts, if answers are lost


@attrs.frozen
class SendAgain:
    """The server lacks these parts, or has other bytes: send them again, then complete again."""

    numbers: tuple[int, ...]


@attrs.frozen
class BeginAnew:
    """The upload cannot be completed and was aborted: start a new one, or raise `error` if that was tried already."""

    error: CavaticaError


@attrs.frozen(kw_only=True)
class Finished:
    """An upload whose parts are all in storage; `resumed` are the numbers of parts that an earlier run sent."""

    opened: Opened
    parts: Mapping[int, SentPart]
    resumed: frozenset[int]
    size: int
    digest: FileDigest | None


def complete_upload(
    context: Context, finished: Finished, unreported: Sequence[SentPart]
) -> Receipt | SendAgain | BeginAnew:
    """Complete the upload, reporting the `unreported` parts with it; return the receipt, or what to do instead.

    Raises IntegrityError (FileChanged, SizeMismatch) before completion if the local file is not as expected, and after
    it if the file on the platform is not the one that was sent. Raises SkippedFile if the name was taken meanwhile and
    `if_exists` is "skip".
    """
    opened = finished.opened
    _check_expected(finished)
    identity, reread = prove_unchanged(context, opened.request, opened.source, opened.plan, finished.parts)
    file = opened.completed or _Completion(context, finished, unreported).run()
    if isinstance(file, SendAgain | BeginAnew):
        return file
    made = _receipt(context, finished, file, identity, reread=reread)
    try:
        made = receipt.write(made, context.receipts)
    except OSError as error:
        context.notice(
            opened.request.key,
            f"The file is uploaded, but its receipt could not be kept: {reason_of(error)}. Later runs cannot know it.",
        )
    context.journal.forget(opened.entry)
    return made


def _check_expected(finished: Finished) -> None:
    """Compare the size and MD5 of the file with the expected ones; raises SizeMismatch or IntegrityError."""
    request, known, parts = finished.opened.request, finished.opened.known, finished.parts
    hint = "Find out which is right; nothing was completed."
    if request.expect_size is not None and finished.size != request.expect_size:
        raise SizeMismatch(
            f"{request.key} has {finished.size:,} bytes, but {request.expect_size:,} were expected.",
            "Nothing was completed. If it comes from a pipe, see whether its producer failed.",
            expected=request.expect_size,
            got=finished.size,
        )
    taken = finished.digest.value if finished.digest is not None and finished.digest.algorithm == "md5" else None
    if taken is None and len(parts) == 1:
        taken = next(iter(parts.values())).md5
    expected = request.expect_md5.lower() if request.expect_md5 is not None else None
    if expected is not None and taken != expected:
        got = taken or "not known"
        raise IntegrityError(f"The MD5 of {request.key} is {got}, and {expected} was expected.", hint)
    if known is not None and taken is not None and taken != known.value:
        origin = "its .md5 file" if known.origin == "sidecar" else "the one given"
        raise IntegrityError(f"The MD5 of {request.key} is {taken}, and {origin} says {known.value}.", hint)


class _Completion:
    """Requests the completion until its result is known."""

    def __init__(self, context: Context, finished: Finished, rest: Sequence[SentPart]) -> None:
        self._context = context
        self._finished = finished
        self._opened = finished.opened
        self._entry = finished.opened.entry
        self._rest = rest  # parts to report with the completion
        self._refused = 0
        earlier = finished.opened.entry.completing
        # The server's time of the first request that was not answered
        self._asked = epoch_seconds(earlier) if earlier is not None else None
        self._before: frozenset[str] | None = None  # IDs of files that had the name before the last request

    def run(self) -> File | SendAgain | BeginAnew:
        for attempt in range(1, COMPLETIONS + 1):
            now = server_time(self._context, time.time())
            failed: CavaticaError | None = None
            if self._asked is None:
                moment = datetime.fromtimestamp(now, UTC)
                self._context.journal.mark_completing(self._entry, utc_text(moment, "milliseconds"))
            try:
                answer = self._context.api.complete_upload(self._entry.upload_id, [report_of(p) for p in self._rest])
            except UploadGone as error:
                if self._asked is None and not error.maybe_acted:
                    raise self._gone() from error
                return self._found(self._asked if self._asked is not None else now)
            except NameTaken as error:
                return self._name_taken(error)
            except CompleteRefused as error:
                instead = self._refused_because(error)
                if instead is not None:
                    return instead
                continue
            except CavaticaError as error:
                if not error.maybe_acted:
                    raise
                failed = error
                acted = isinstance(error, UnexpectedAnswer) and 200 <= (error.status or 0) < 300
            else:
                file = check_answer(self._context, self._entry, self._finished.size, answer) if answer.id else None
                if file is not None:
                    return file
                acted = True
            # The answer was lost or has no file. If the upload is gone, it was completed; if it is open, it was not.
            pause(self._context, self._context.backoff(attempt))
            self._asked = now if self._asked is None else self._asked
            try:
                self._context.open_upload(self._entry.upload_id)
            except UploadGone:
                return self._found(self._asked, acted=acted)
            if attempt == COMPLETIONS and failed is not None:
                raise failed
            self._asked = now  # the earlier requests had no effect
            self._before = self._names_now()
        raise UnexpectedAnswer(
            f"The platform says that {self._entry.name} is completed, and keeps its upload open.",
            "Look for the file on the platform, and run the same command again.",
            status=200,
            operation="completeUpload",
        )

    def _gone(self) -> UploadGone:
        """Return the error for an upload that was gone before the first request: it cannot have become a file."""
        file = self._context.api.find_file(self._entry.destination, self._entry.name)
        return gone(self._entry, None if file is None else Found(file, ours=False))

    def _found(self, asked: float, *, acted: bool = False) -> File:
        source, parts = self._opened.source, self._finished.parts
        found = find_completed_file(self._context, self._entry, source, parts, asked, before=self._before, acted=acted)
        if found is not None and found.ours:
            return found.file
        if acted and found is None:
            return CompletedFile()  # the platform confirmed the completion and does not list the file yet
        raise gone(self._entry, found)

    def _names_now(self) -> frozenset[str]:
        found = self._context.api.find_file(self._entry.destination, self._entry.name)
        return frozenset({found.id} if found is not None else ())

    def _name_taken(self, error: NameTaken) -> BeginAnew:
        """Apply `if_exists` to a name that was taken after the upload had started."""
        wish = self._opened.request.if_exists
        if wish == "fail" or self._entry.if_exists == "overwrite" or self._opened.source.identity is None:
            raise error
        if wish == "skip":
            self._context.abort(self._opened.request.key, self._entry)
            raise SkippedFile(f"{self._entry.name} was put there by somebody else meanwhile.")
        self._say(f"The name {self._entry.name} was taken meanwhile: this upload is aborted, a new one will {wish}.")
        return self._anew(error)

    def _refused_because(self, error: CompleteRefused) -> SendAgain | BeginAnew | None:
        """Compare the parts with the server's list; return what to do, None to request the completion again."""
        self._refused += 1
        parts = self._finished.parts
        upload = self._context.open_upload(self._entry.upload_id, list_parts=True)
        listed = upload.parts
        theirs = {part.part_number: etag_in(part.headers) for part in listed or ()}
        wrong = [n for n, part in parts.items() if n in theirs and not same_etag(part.etag, theirs[n])]
        missing = [n for n in parts if n not in theirs]
        if self._refused > 2 or set(theirs) - set(parts):
            return self._give_up(error)
        if wrong and self._can_send_again:
            self._say(f"The server has other bytes of {parts_text(len(wrong))} than were sent; sending again.")
            return SendAgain(tuple(wrong))
        if self._refused == 1:  # storage has all parts: the server may have lost their reports
            self._rest = [parts[n] for n in sorted(missing or parts)]
            with contextlib.suppress(CavaticaError):  # the reports in a refused completion may not count
                self._context.api.report_parts(self._entry.upload_id, [report_of(part) for part in self._rest])
            return None
        if listed and missing and self._can_send_again:
            self._say(f"The server does not have {parts_text(len(missing))} that storage took; sending again.")
            return SendAgain(tuple(missing))
        return self._give_up(error)

    @property
    def _can_send_again(self) -> bool:
        return self._opened.source.identity is not None

    def _give_up(self, error: CompleteRefused) -> BeginAnew:
        if not self._can_send_again:
            raise error
        self._say(
            "The server refuses to complete the upload and does not say which parts it lacks. The upload is aborted, "
            "and a new one starts."
        )
        return self._anew(error)

    def _anew(self, error: CavaticaError) -> BeginAnew:
        self._context.abort(self._opened.request.key, self._entry)
        return BeginAnew(error)

    def _say(self, text: str) -> None:
        self._context.notice(self._opened.request.key, text)


def _receipt(context: Context, finished: Finished, file: File, identity: Identity | None, *, reread: bool) -> Receipt:
    opened = finished.opened
    parts = tuple(
        ReceiptPart(
            number=number,
            size=part.size,
            md5=part.md5,
            etag=part.etag,
            verified=part.verified,
            resumed=number in finished.resumed,
            proof="read again"
            if reread or number in opened.kept.reread
            else "unchanged since"
            if number in finished.resumed
            else "as sent",
        )
        for number, part in sorted(finished.parts.items())
    )
    doubts = _doubts(parts, file)
    md5s = [part.md5 for part in parts if part.md5 is not None]
    return Receipt(
        file_id=file.id or "",
        name=opened.entry.name,
        project=opened.request.destination.project,
        parent=opened.request.destination.parent,
        place=opened.request.destination.place,
        source=opened.source.identity.path if opened.source.identity is not None else opened.request.key,
        identity=identity,
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
        contract_version=CONTRACT_VERSION,
        tool_version=TOOL_VERSION,
        href=file.href,
    )


def _doubts(parts: Sequence[ReceiptPart], file: File) -> tuple[str, ...]:
    doubts = []
    unhashed = sum(part.md5 is None for part in parts)
    if unhashed:
        doubts.append(f"No MD5 was taken of {unhashed} of {parts_text(len(parts))}: checking was switched off.")
    opaque = sum(part.md5 is not None and not part.verified for part in parts)
    if opaque:
        doubts.append(
            f"The ETags of {opaque} of {parts_text(len(parts))} are no MD5s: they prove nothing of the bytes."
        )
    if not file.id:
        doubts.append("The platform completed the upload, did not say the file's id, and does not list it yet.")
    elif file.size is None:
        doubts.append("The platform did not say the size of the file.")
    return tuple(doubts)
