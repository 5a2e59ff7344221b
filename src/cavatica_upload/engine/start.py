"""Starts an upload under a free name, and only once, even if the answer to the start is lost."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import attrs

from cavatica_upload.api.records import FileDetails, StartedUpload, Upload, UploadSummary
from cavatica_upload.destination import Destination, nfc
from cavatica_upload.engine.context import Context, pause
from cavatica_upload.errors import (
    ApiError,
    CavaticaError,
    ConnectionFailed,
    Forbidden,
    IntegrityError,
    NameTaken,
    NotFound,
    UnexpectedAnswer,
    UsageError,
)
from cavatica_upload.plan import LARGEST_FOR_CALLS, Part, count_text, part_size_for
from cavatica_upload.receipt import FileDigest, Receipt
from cavatica_upload.request import UploadRequest
from cavatica_upload.sources.local import Source
from cavatica_upload.timing import CLOCK_GRAIN, epoch_seconds
from cavatica_upload.verification import ReceiptIndex, compare, compare_with_receipt, reason_to_skip

STARTS = 5  # the most attempts; the second that ends without an error code of the platform is the last
RENAMES = 1000


class SkippedFile(Exception):
    """The file is not sent; the message says why.

    `receipt` is set if an earlier run uploaded this file. `different` means that the file on the platform with this
    name has another size, or other bytes according to its receipt.
    """

    def __init__(self, reason: str, receipt: Receipt | None = None, *, different: bool = False) -> None:
        super().__init__(reason)
        self.receipt = receipt
        self.different = different


@attrs.frozen
class Start:
    """The start of one upload under the requested `name`; `given_md5` is that of the whole file.

    A stream has no identity, so it has no entry in the journal and no receipt to find.
    """

    context: Context
    request: UploadRequest
    source: Source
    name: str
    given_md5: FileDigest | None

    def find_lost(self) -> tuple[StartedUpload, str] | None:
        """Find the upload of an earlier run that did not see the answer to its start; return it with its `if_exists`.

        None if there is no such start, or if no such upload is open.
        """
        lost = self.context.journal.unanswered(*self._place)
        if lost is None:
            return None
        name, began, if_exists = lost
        result = "no such upload is open"
        try:
            found = self._find_on_server(name, began)
            if found is not None:
                return found, if_exists
        except (Forbidden, NotFound, UnexpectedAnswer):  # would be so again, and this file could never be uploaded
            result = "the platform does not list open uploads"
        self._say(
            f"An earlier start of this upload ({datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M} UTC) was never "
            f"answered, and {result}; a new one starts. “cavatica uploads list” shows what is open."
        )
        return None

    def start(self) -> StartedUpload:
        """Start the upload; raises SkippedFile if this file is there already, or another that `if_exists` protects."""
        for name in self._names():
            try:
                return self._start_as(name)
            except NameTaken:
                self._check_taken(name)
                if self.request.if_exists != "rename":
                    raise
        raise UsageError(f"No free name like _1_{self.name} was found.", "Give another name with --name.")

    def _names(self) -> Iterator[str]:
        """Yield the names to try. Files are searched on the platform only if `if_exists` is "skip" or "rename"."""
        looks_first = self.request.if_exists in ("skip", "rename")
        there = self._find(self.name) if looks_first else None
        if there is None:
            yield self.name
        else:
            self._check_taken(self.name, there)
        if self.request.if_exists == "rename":
            for number in range(1, RENAMES):
                name = f"_{number}_{self.name}"
                if self._find(name) is None:
                    self._say(f"{self.name} is there already; this file is uploaded as {name}.")
                    yield name

    # The file that has the name

    def _find(self, name: str) -> FileDetails | None:
        return self.context.api.find_file(self.request.destination, name)

    def _check_taken(self, name: str, there: FileDetails | None = None) -> None:
        """Raise SkippedFile if a receipt proves that the file there is this one, or if `if_exists` is "skip"."""
        index = ReceiptIndex(self.context.receipts, self.context.api.endpoint)
        if self._path is not None:
            receipt = index.find(self.request, self.source.size, self.request.destination, self._is_there, self._say)
            if receipt is not None:
                self._check_md5(receipt)
                raise SkippedFile(reason_to_skip(receipt), receipt)
        if self.request.if_exists == "skip":
            self._skip(there or self._find(name), name, index)

    def _check_md5(self, receipt: Receipt) -> None:
        """Raise IntegrityError if the file, which an earlier run uploaded, has another MD5 than the expected one."""
        if self.request.expect_md5 is None:
            return
        expected = self.request.expect_md5.lower()
        whole = [(Part(1, 0, receipt.size), expected)]
        if not all(same for _, same in compare(self.source, whole, stopped=self.context.stop.stopping.is_set)):
            raise IntegrityError(
                f"The MD5 of {self.request.key} is not {expected}, which was expected. It was uploaded at "
                f"{receipt.finished} and is unchanged since.",
                "Find out whether the file or the expected value is right.",
            )

    def _is_there(self, receipt: Receipt) -> bool:
        found = self._find(receipt.name)
        return found is not None and found.id == receipt.file_id

    def _skip(self, there: FileDetails | None, name: str, index: ReceiptIndex) -> None:
        """Raise SkippedFile with the reason, and with `different` if the file there is another one."""
        if there is not None and self._size is not None:
            name = there.name or name
            size = there.size if there.size is not None else self.context.api.get_file(there.id).size
            if size is not None and size != self._size:
                raise SkippedFile(
                    f"A different file {name} is there already: it has {count_text(size, 'byte')}, "
                    f"this one has {self._size:,}.",
                    different=True,
                )
            if self._has_same_bytes(index.of_file(there.id, name)) is False:
                raise SkippedFile(
                    f"A different file {name} is there already: it has the same size, but other bytes.", different=True
                )
        raise SkippedFile(f"{name} is there already.")

    def _has_same_bytes(self, receipt: Receipt | None) -> bool | None:
        """Return whether the file of a receipt has our bytes; None if that cannot be proved."""
        if receipt is None or self._path is None:
            return None
        if self.given_md5 is not None and receipt.digest is not None and receipt.digest.algorithm == "md5":
            return receipt.digest.value == self.given_md5.value
        return compare_with_receipt(receipt, self._path, self._say)

    # The start itself

    @property
    def _path(self) -> str | None:
        """The path of a source that can be read again."""
        source = self.request.source
        return os.fspath(source) if self.source.identity and isinstance(source, str | os.PathLike) else None

    @property
    def _size(self) -> int | None:
        """In bytes; for a stream the expected size, None if it is not known."""
        return self.source.size if self.source.size is not None else self.request.expect_size

    @property
    def _place(self) -> tuple[str, Destination, str]:
        return self.context.api.endpoint, self.request.destination, self.name

    def _start_as(self, name: str) -> StartedUpload:
        context, request = self.context, self.request
        part_size = part_size_for(
            self._size, request.part_size, rate=context.planned_rate, calls_per_second=context.calls_per_second
        )
        md5 = self.given_md5.value if self.given_md5 else None
        unproved = 0  # starts, also of an earlier run, that may have had an effect
        began = time.time()
        if self.source.identity is not None:
            unproved += context.journal.unanswered(*self._place) is not None
            context.journal.starting(*self._place, name, began, request.if_exists)
        for attempt in range(1, STARTS + 1):
            try:
                started = context.api.start_upload(
                    request.destination,
                    name,
                    self.source.size,
                    part_size,
                    md5,
                    overwrite=request.if_exists == "overwrite",
                )
            except CavaticaError as error:
                if not error.maybe_acted:
                    if not unproved:
                        context.journal.refused(*self._place)
                    raise
                pause(context, context.timing.backoff(attempt))
                found = self._find_on_server(name, began, part_size)
                if found is not None:
                    return found
                # An error code of the platform, and no such upload in its list, prove that nothing was started.
                unproved += not isinstance(error, ApiError) or error.code is None
                if unproved > 1:
                    raise _unknown(name, error) from error
                if attempt == STARTS:
                    raise
            else:
                if self._size is None or self._size > started.part_size:
                    context.say_if_calls_limit(started.part_size)
                return attrs.evolve(started, name=name)
        raise AssertionError("unreachable")

    def _find_on_server(self, name: str, began: float, part_size: int | None = None) -> StartedUpload | None:
        """Find the upload whose start was not answered, so that it is not started twice.

        It must have our name, destination, size (if the server says it) and part size, and no parts. It must have
        started after our request and not be in the journal. If several match, none is taken. If the requested part
        size is not known, larger sizes match as well: a fast earlier run may have chosen larger parts.
        """
        listed = list(self.context.api.list_uploads())
        least = part_size or part_size_for(self._size, self.request.part_size)
        most = part_size or self.request.part_size or max(least, LARGEST_FOR_CALLS)
        clock = self.context.server_clock  # read after the list, whose answer sets it
        earliest = began + (clock.skew or 0.0) - CLOCK_GRAIN
        mine = {entry.upload_id for entry in self.context.journal.entries()}
        matching = [
            upload
            for summary in listed
            if nfc(summary.name) == nfc(name)
            and summary.upload_id not in mine
            and _may_be_ours(summary, self.request.destination, earliest)
            and (upload := self._details(summary.upload_id)) is not None
            and not upload.uploaded_parts_count
            and _is_in(upload, self.request.destination)
            and upload.size in (None, self.source.size)
            and least <= (upload.part_size or 0) <= most
        ]
        if len(matching) != 1:
            return None
        found = matching[0]
        self._say("The answer to the start of this upload was lost; the upload was found on the server and is used.")
        return StartedUpload(
            upload_id=found.upload_id,
            name=name,
            part_size=found.part_size or 0,
            parallel_uploads=found.parallel_uploads,
        )

    def _details(self, upload_id: str) -> Upload | None:
        """Return what the server says of an upload in its list; None if it ended meanwhile or is not ours to see."""
        try:
            return self.context.open_upload(upload_id)
        except (Forbidden, NotFound):
            return None

    def _say(self, text: str) -> None:
        self.context.notice(self.request.key, text)


def _unknown(name: str, error: CavaticaError) -> ConnectionFailed:
    return ConnectionFailed(
        f"{error.message.rstrip('.')}. It is not known whether the upload of {name} started; none is listed.",
        "Run the same command again: it looks again first. “cavatica uploads list” shows what is open.",
        operation="startUpload",
        maybe_acted=True,
    )


def _may_be_ours(summary: UploadSummary, destination: Destination, earliest: float) -> bool:
    if summary.initiated is None or epoch_seconds(summary.initiated) < earliest:
        return False
    return destination.project is None or summary.project in (None, destination.project)


def _is_in(upload: Upload, destination: Destination) -> bool:
    if destination.parent is not None:
        return upload.parent == destination.parent
    # The platform may name the project's root folder as the parent, so only the project can be compared.
    return upload.project == destination.project
