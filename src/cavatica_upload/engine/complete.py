"""The end of an upload: prove the file, complete the upload, see that the right file came of it, keep the receipt."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import attrs

from cavatica_upload import receipt, versions
from cavatica_upload.api.records import CompletedFile
from cavatica_upload.clock import epoch_seconds, now_utc
from cavatica_upload.disk import reason_of
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
)
from cavatica_upload.identity import Identity
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import parts_text
from cavatica_upload.receipt import FileDigest, Receipt, ReceiptPart
from cavatica_upload.storage.put import etag_in, same_etag

COMPLETIONS = 5  # of which all but one end without an answer


@attrs.frozen
class SendAgain:
    """The server does not have these parts as they were sent: send them again, then complete again."""

    numbers: tuple[int, ...]


@attrs.frozen
class BeginAnew:
    """The upload can never be completed, and was aborted: open the file anew, or raise `error` if that was tried."""

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

    Raises FileChanged or another IntegrityError before anything is completed that should not be, SizeMismatch or
    IntegrityError if the file that came of it is not the file that was sent, and SkippedFile if the name was taken
    meanwhile and the file is then to be left alone.
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
    """Compare size and MD5 of the whole file with what was said beforehand, as far as that is known."""
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
    """Asks for completion until it is known what came of it."""

    def __init__(self, context: Context, finished: Finished, rest: Sequence[SentPart]) -> None:
        self._context = context
        self._finished = finished
        self._opened = finished.opened
        self._entry = finished.opened.entry
        self._rest = rest  # parts that are reported with the completion
        self._refused = 0
        earlier = finished.opened.entry.completing
        self._asked = epoch_seconds(earlier) if earlier is not None else None  # the first time of which no answer came
        self._before: frozenset[str] | None = None

    def run(self) -> File | SendAgain | BeginAnew:
        for attempt in range(1, COMPLETIONS + 1):
            now = server_time(self._context, time.time())
            failed: CavaticaError | None = None
            if self._asked is None:
                self._context.journal.mark_completing(self._entry, _utc(now))
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
            # The answer was lost, or says nothing. An upload that is gone has become the file; an open one has not.
            pause(self._context, self._context.backoff(attempt))
            self._asked = now if self._asked is None else self._asked
            try:
                self._context.api.get_upload(self._entry.upload_id)
            except UploadGone:
                return self._found(self._asked, acted=acted)
            if attempt == COMPLETIONS and failed is not None:
                raise failed
            self._asked = now  # what was asked before did nothing
            self._before = self._names_now()
        raise UnexpectedAnswer(
            f"The platform says that {self._entry.name} is completed, and keeps its upload open.",
            "Look for the file on the platform, and run the same command again.",
            status=200,
            operation="completeUpload",
        )

    def _gone(self) -> UploadGone:
        """Return the error of an upload that was gone before completion was asked for: no file can have come of it."""
        file = self._context.api.find_file(self._entry.destination, self._entry.name)
        return gone(self._entry, None if file is None else Found(file, ours=False))

    def _found(self, asked: float, *, acted: bool = False) -> File:
        source, parts = self._opened.source, self._finished.parts
        found = find_completed_file(self._context, self._entry, source, parts, asked, before=self._before, acted=acted)
        if found is not None and found.ours:
            return found.file
        if acted and found is None:
            return CompletedFile()  # it is there: the platform said so, and does not list it yet
        raise gone(self._entry, found)

    def _names_now(self) -> frozenset[str]:
        found = self._context.api.find_file(self._entry.destination, self._entry.name)
        return frozenset({found.id} if found is not None else ())

    def _name_taken(self, error: NameTaken) -> BeginAnew:
        """The name was taken after the upload had been started: do what the request says of taken names."""
        wish = self._opened.request.if_exists
        if wish == "fail" or self._entry.if_exists == "overwrite" or self._opened.source.identity is None:
            raise error
        if wish == "skip":
            self._context.abort(self._opened.request.key, self._entry)
            raise SkippedFile(f"{self._entry.name} was put there by somebody else meanwhile.")
        self._say(f"The name {self._entry.name} was taken meanwhile; the upload is begun anew, to {wish}.")
        return self._anew(error)

    def _refused_because(self, error: CompleteRefused) -> SendAgain | BeginAnew | None:
        """Ask the server what it has, and return what to send again; None to complete again with more reports."""
        self._refused += 1
        parts = self._finished.parts
        upload = self._context.api.get_upload(self._entry.upload_id, list_parts=True)
        listed = upload.parts
        theirs = {part.part_number: etag_in(part.headers) for part in listed or ()}
        wrong = [n for n, part in parts.items() if n in theirs and not same_etag(part.etag, theirs[n])]
        missing = [n for n in parts if n not in theirs]
        if self._refused > 2 or set(theirs) - set(parts):
            return self._give_up(error)
        if wrong and self._can_send_again:
            self._say(f"The server has other bytes of {parts_text(len(wrong))} than were sent; sending again.")
            return SendAgain(tuple(wrong))
        if self._refused == 1:  # storage acknowledged them all: the server may only have lost what it was told
            self._rest = [parts[n] for n in sorted(missing or parts)]
            with contextlib.suppress(CavaticaError):  # what is refused with a completion may not count
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
            "The server refuses to put the file together, and does not say which parts it lacks: the upload is aborted "
            "and begun anew."
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
        contract_version=versions.CONTRACT,
        tool_version=versions.TOOL,
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


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
