"""The end of an upload: check the local file, complete the upload, check the resulting file, write the receipt."""

import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NoReturn

from cavatica_client.models import HeaderMap, PartReport, PartReportResponse
from cavatica_upload import receipt
from cavatica_upload.api.records import CompletedFile
from cavatica_upload.disk import Identity
from cavatica_upload.engine.context import Context, pause
from cavatica_upload.engine.open import OpenUpload
from cavatica_upload.engine.proof import File, check_answer, find_completed_file, gone, prove_unchanged
from cavatica_upload.engine.start import SkippedFile
from cavatica_upload.errors import (
    ApiError,
    CavaticaError,
    CompleteRefused,
    FileChanged,
    IntegrityError,
    NameTaken,
    UnexpectedAnswer,
    UploadGone,
    reason_of,
)
from cavatica_upload.http import CONTRACT_VERSION, TOOL_VERSION
from cavatica_upload.plan import count_text
from cavatica_upload.receipt import Receipt, ReceiptPart
from cavatica_upload.storage import SentPart, etag_in, same_etag
from cavatica_upload.timing import epoch_seconds, now_utc, utc_text

ATTEMPTS = 5  # the most, if answers are lost
REFUSALS = 2  # the most, until a new upload is started
UNKNOWN_SKEW = 5.0  # seconds of tolerance if the platform did not say its time

_ABORTED = "The upload is aborted, and a new one starts."


class StartAgain(Exception):
    """The upload cannot be completed and was aborted: start a new one, or raise `error` if that was done already."""

    def __init__(self, error: CavaticaError) -> None:
        super().__init__(error.message)
        self.error = error


def start_again(context: Context, upload: OpenUpload, error: CavaticaError, notice: str) -> StartAgain:
    """Abort an upload that cannot be completed, say why, and return the exception to raise."""
    context.notice(upload.key, notice)
    context.abort(upload.key, upload.entry)
    return StartAgain(error)


def report_of(part: SentPart) -> PartReport:
    headers = HeaderMap()
    headers.additional_properties.update(part.headers)
    return PartReport(part_number=part.number, response=PartReportResponse(headers=headers))


def complete_upload(context: Context, upload: OpenUpload, *, may_send_again: bool) -> Receipt | list[int]:
    """Complete the upload, reporting with it the parts that are not reported yet, and write the receipt.

    Returns the numbers of parts to send again if the server lacks some or has other bytes of them. Raises
    IntegrityError (FileChanged, SizeMismatch) before completion if the local file is not as expected, and after it if
    the file on the platform is not the one that was sent. Raises SkippedFile if the name was taken meanwhile and
    `if_exists` is "skip", and StartAgain.
    """
    _check_expected(upload)
    identity, reread = prove_unchanged(context, upload.request, upload.source, upload.plan, upload.sent)
    file = _Completion(context, upload, may_send_again=may_send_again).run()
    if isinstance(file, list):
        return file
    made = _receipt(context, upload, file, identity, reread=reread)
    try:
        made = receipt.write(made, context.receipts)
    except OSError as error:
        context.notice(
            upload.key,
            f"The file is uploaded, but its receipt could not be written: {reason_of(error)}. "
            "Later runs will not know that it is uploaded.",
        )
    context.journal.forget(upload.entry)
    return made


def _check_expected(upload: OpenUpload) -> None:
    """Compare the size and MD5 of the file with the expected ones; raises SizeMismatch or IntegrityError."""
    request, given = upload.request, upload.given_md5
    request.check_size(upload.size, "Nothing was completed. If it comes from a pipe, see whether its producer failed.")
    md5 = upload.digest.value if upload.digest is not None and upload.digest.algorithm == "md5" else None
    if md5 is None and len(upload.sent) == 1:
        md5 = next(iter(upload.sent.values())).md5
    if given is not None and md5 != given.value and (md5 or request.expect_md5):
        expected = f"its .md5 file says {given.value}" if given.origin == "sidecar" else f"{given.value} was expected"
        raise IntegrityError(
            f"The MD5 of {request.key} is {md5 or 'not known'}, and {expected}.",
            "Nothing was completed. Find out whether the file or the expected value is right.",
        )


class _Completion:
    """Requests the completion until its result is known."""

    def __init__(self, context: Context, upload: OpenUpload, *, may_send_again: bool) -> None:
        self._context = context
        self._upload = upload
        self._entry = upload.entry
        self._unreported = upload.unreported
        self._may_send_again = may_send_again and upload.can_reread
        self._refusals = 0
        # The server's time of the first request that may have had an effect
        self._since = epoch_seconds(self._entry.completing) if self._entry.completing is not None else None
        self._before: str | None = None  # ID of the file that had the name before the last request; "" if none had it

    def run(self) -> File | list[int]:
        """Return the file, or the numbers of the parts to send again."""
        context, entry = self._context, self._entry
        failed: CavaticaError | None = None
        said = False  # whether the platform has said that the file is completed; it may still be at work
        for attempt in range(1, ATTEMPTS + 1):
            now = self._server_time()
            since = now if self._since is None else self._since
            if self._since is None:
                moment = utc_text(datetime.fromtimestamp(now, UTC), "milliseconds")
                context.journal.update(entry, completing=moment)  # to find the file if the answer is lost
            try:
                answer = context.api.complete_upload(entry.upload_id, [report_of(part) for part in self._unreported])
                file = check_answer(context, entry, self._upload.size, answer)
                if file is not None:
                    return file
                failed, said = None, True
            except UploadGone as error:
                # Even if no request is known to have had an effect: a server may refuse what it has done
                try:
                    return self._find(since, acted=said)
                except UploadGone:
                    if self._since is None or attempt > 1 or error.maybe_acted:
                        raise
                    # An earlier run requested the completion, and nothing came of it
                    raise self._start_again(
                        error, "The unfinished upload is gone on the server; a new one starts."
                    ) from error
            except CavaticaError as error:
                if isinstance(error, NameTaken) and not said:
                    self._name_taken(error)
                if isinstance(error, CompleteRefused) and not said:
                    try:
                        numbers = self._refused(error)
                    except UploadGone:
                        return self._find(since)
                    if numbers:
                        return numbers
                    continue
                if not (error.maybe_acted or (said and isinstance(error, ApiError))):
                    raise
                said = said or (isinstance(error, UnexpectedAnswer) and 200 <= (error.status or 0) < 300)
                failed = None if said else error
            # If the upload is gone, it was completed. If it is open, it was not, or the platform is still at work.
            pause(context, context.timing.backoff(attempt))
            try:
                context.open_upload(entry.upload_id)
            except UploadGone:
                return self._find(since, acted=said)
            if attempt < ATTEMPTS and not said:
                self._since = now  # the earlier requests had no effect
                there = context.api.find_file(entry.destination, entry.name)
                self._before = there.id if there is not None else ""
        raise failed or UnexpectedAnswer(
            f"The platform says that {entry.name} is completed, and keeps its upload open.",
            "Look for the file on the platform, and run the same command again.",
            status=200,
            operation="completeUpload",
        )

    def _server_time(self) -> float:
        """Return the server's time; if it is not known, ours a few seconds ago to be safe."""
        clock = self._context.server_clock
        return time.time() + (-UNKNOWN_SKEW if clock.skew is None else clock.skew)

    def _find(self, since: float, *, acted: bool = False) -> File:
        upload = self._upload
        found = find_completed_file(
            self._context, self._entry, upload.source, upload.sent, since, before=self._before, acted=acted
        )
        if found is not None:
            return found
        if acted:
            return CompletedFile()  # the platform confirmed the completion and does not list the file yet
        raise gone(self._entry, None)

    def _name_taken(self, error: NameTaken) -> NoReturn:
        """Apply `if_exists` to a name that was taken after the upload had started."""
        if_exists = self._upload.request.if_exists
        if if_exists == "fail" or self._entry.if_exists == "overwrite" or not self._upload.can_reread:
            raise error
        if if_exists == "skip":
            self._context.abort(self._upload.key, self._entry)
            raise SkippedFile(f"Somebody else uploaded {self._entry.name} meanwhile.")
        raise self._start_again(error, f"The name {self._entry.name} was taken meanwhile. {_ABORTED}")

    def _refused(self, error: CompleteRefused) -> list[int]:
        """Compare the parts with the server's list; return the parts to send again, none to request it again."""
        self._refusals += 1
        sent = self._upload.sent
        listed = self._context.open_upload(self._entry.upload_id, list_parts=True).parts
        theirs = {part.part_number: etag_in(part.headers) for part in listed or ()}
        wrong = [n for n, part in sent.items() if theirs.get(n) and not same_etag(part.etag, theirs[n])]
        missing = [n for n in sent if n not in theirs]
        if self._refusals <= REFUSALS and not set(theirs) - set(sent):
            if wrong and self._may_send_again:
                parts = count_text(len(wrong), "part")
                self._say(f"The server lists other ETags for {parts} than storage sent; sending again.")
                return wrong
            if self._refusals == 1:  # storage has all parts: the server may have lost their reports
                self._unreported = [sent[n] for n in sorted(missing or sent)]
                with contextlib.suppress(CavaticaError):  # the reports in a refused completion may not count
                    self._context.api.report_parts(self._entry.upload_id, [report_of(p) for p in self._unreported])
                return []
            if listed and missing and self._may_send_again:
                parts = count_text(len(missing), "part")
                self._say(f"The server does not have {parts} that storage took; sending again.")
                return missing
        if not self._upload.can_reread:
            raise error
        raise self._start_again(
            error, f"The server does not complete the upload, though storage has all parts. {_ABORTED}"
        )

    def _start_again(self, error: CavaticaError, notice: str) -> StartAgain:
        if self._upload.request.resume_id is not None:  # the user named this upload, and perhaps a wrong file
            self._context.journal.forget(self._entry)
            raise FileChanged(
                f"The server does not complete upload {self._entry.upload_id} with the parts of {self._upload.key}.",
                "Give the file whose upload was started, or abort that upload and start again.",
            ) from error
        return start_again(self._context, self._upload, error, notice)

    def _say(self, text: str) -> None:
        self._context.notice(self._upload.key, text)


def _receipt(context: Context, upload: OpenUpload, file: File, identity: Identity | None, *, reread: bool) -> Receipt:
    destination = upload.request.destination
    parts = tuple(
        ReceiptPart(
            number=number,
            size=part.size,
            md5=part.md5,
            etag=part.etag,
            verified=part.verified,
            resumed=number in upload.resumed,
            proof="read again"
            if reread or number in upload.reread
            else "unchanged since"
            if number in upload.resumed
            else "as sent",
        )
        for number, part in sorted(upload.sent.items())
    )
    doubts = _doubts(parts, file)
    md5s = [part.md5 for part in parts if part.md5 is not None]
    return Receipt(
        file_id=file.id or "",
        name=upload.entry.name,
        project=destination.project,
        parent=destination.parent,
        place=destination.place,
        source=upload.source.identity.path if upload.source.identity is not None else upload.key,
        identity=identity,
        upload_id=upload.entry.upload_id,
        size=upload.size,
        part_size=upload.part_size,
        parts=parts,
        composite=receipt.composite(md5s) if len(md5s) == len(parts) else None,
        verified=not doubts,
        not_verified=doubts,
        digest=upload.digest or upload.given_md5,
        started=upload.entry.started,
        finished=now_utc(),
        endpoint=context.api.endpoint,
        contract_version=CONTRACT_VERSION,
        tool_version=TOOL_VERSION,
        href=file.href,
    )


def _doubts(parts: Sequence[ReceiptPart], file: File) -> tuple[str, ...]:
    """Return why the file is not verified, as sentences."""
    doubts = []
    of_all = f"of {count_text(len(parts), 'part')}"
    unhashed = sum(part.md5 is None for part in parts)
    if unhashed:
        doubts.append(f"No MD5 was computed for {unhashed:,} {of_all}: verification was switched off.")
    opaque = sum(part.md5 is not None and not part.verified for part in parts)
    if opaque:
        doubts.append(
            f"The ETag of {opaque:,} {of_all} is not an MD5: it does not prove the bytes."
            if opaque == 1
            else f"The ETags of {opaque:,} {of_all} are not MD5s: they do not prove the bytes."
        )
    if not file.id:
        doubts.append("The platform completed the upload, did not say the file's ID, and does not list it yet.")
    elif file.size is None:
        doubts.append("The platform did not say the size of the file.")
    return tuple(doubts)
