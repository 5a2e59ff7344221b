"""Starts an upload, under a name that is free, and only once even where the answer is lost."""

import os
import time
from collections.abc import Iterator

import attrs

from cavatica_upload.api.records import Upload, UploadSummary
from cavatica_upload.clock import CLOCK_GRAIN, epoch_seconds
from cavatica_upload.destination import Destination
from cavatica_upload.engine.context import Context, pause
from cavatica_upload.errors import CavaticaError, NameTaken, UsageError
from cavatica_upload.plan import part_size_for
from cavatica_upload.receipt import Receipt
from cavatica_upload.receipt_index import ReceiptIndex
from cavatica_upload.request import UploadRequest

STARTS = 5  # of which all but one end without an answer
RENAMES = 1000


class SkippedFile(Exception):
    """The file is left alone; the message says why. `receipt` is there where an earlier run has brought it."""

    def __init__(self, reason: str, receipt: Receipt | None = None) -> None:
        super().__init__(reason)
        self.receipt = receipt


@attrs.frozen
class Started:
    """An upload that is open on the server, without parts."""

    upload_id: str
    name: str
    part_size: int
    parallel: bool


@attrs.frozen
class Start:
    """What to start: `name` is the one asked for, `size` None where it is not known, `md5` that of the whole file."""

    context: Context
    request: UploadRequest
    name: str
    size: int | None
    md5: str | None

    def start(self) -> Started:
        """Start the upload; raises SkippedFile where a file is there that is to be left alone, or is this very one."""
        found = self._unanswered()
        if found is not None:
            return found
        for name in self._names():
            try:
                return self._start_as(name)
            except NameTaken as error:
                self.context.journal.refused(*self._place)
                self._look_for_receipt()
                if self.request.if_exists == "skip":
                    raise SkippedFile(f"{name} is there already.") from error
                if self.request.if_exists != "rename":
                    raise
        raise UsageError(f"No free name like _1_{self.name} was found.", "Give another name with --name.")

    def _names(self) -> Iterator[str]:
        """Yield the names to try. Whether one is free is asked only where the request has a use for the answer."""
        if self.request.if_exists not in ("skip", "rename"):
            yield self.name
            return
        if not self._taken(self.name):
            yield self.name
        else:
            self._look_for_receipt()
            if self.request.if_exists == "skip":
                raise SkippedFile(f"{self.name} is there already.")
        if self.request.if_exists == "rename":
            for number in range(1, RENAMES):
                name = f"_{number}_{self.name}"
                if not self._taken(name):
                    self._say(f"{self.name} is there already; this one is uploaded as {name}.")
                    yield name

    def _look_for_receipt(self) -> None:
        """Raise SkippedFile where the file that has the name is this one, brought by a run that could not say so."""
        source = self.request.source
        if self.size is None or not isinstance(source, str | os.PathLike):
            return
        receipt = ReceiptIndex(self.context.receipts, self.context.endpoint).find(
            os.fspath(source),
            self.size,
            self.name,
            self.request.destination,
            is_there=self._is_there,
            renamed=self.request.if_exists == "rename",
        )
        if receipt is not None:
            raise SkippedFile(f"It is there since {receipt.finished}, and has not changed.", receipt)

    def _is_there(self, receipt: Receipt) -> bool:
        found = self.context.api.find_file(self.request.destination, receipt.name)
        return found is not None and found.id == receipt.file_id

    def _taken(self, name: str) -> bool:
        return self.context.api.find_file(self.request.destination, name) is not None

    @property
    def _place(self) -> tuple[str, Destination, str]:
        return self.context.endpoint, self.request.destination, self.name

    def _unanswered(self) -> Started | None:
        """Find the upload that an earlier run started and did not live to see the answer of."""
        if self.size is None:
            return None
        before = self.context.journal.unanswered(*self._place)
        return self._lost_start(*before) if before is not None else None

    def _start_as(self, name: str) -> Started:
        context, request = self.context, self.request
        wish = part_size_for(self.size, request.part_size, rate=context.rate, calls_per_second=context.calls_per_second)
        began = time.time()
        if self.size is not None:
            self.context.journal.starting(*self._place, name, began)
        for attempt in range(1, STARTS + 1):
            try:
                started = context.api.start_upload(
                    request.destination, name, self.size, wish, self.md5, overwrite=request.if_exists == "overwrite"
                )
            except CavaticaError as error:
                if attempt == STARTS or not getattr(error, "maybe_acted", False):
                    raise
                pause(context, context.backoff(attempt))
                found = self._lost_start(name, began)
                if found is not None:
                    return found
            else:
                return Started(started.upload_id, name, started.part_size, started.parallel_uploads)
        raise AssertionError("unreachable")

    def _lost_start(self, name: str, began: float) -> Started | None:
        """Find the upload whose start was not answered, so that it is not started twice.

        It has our name and place, no parts, began after we asked for it, is not known to the journal, and no other
        is like it.
        """
        earliest = began + self.context.server_clock.skew - CLOCK_GRAIN
        mine = {entry.upload_id for entry in self.context.journal.entries()}
        fitting = [
            upload
            for summary in self.context.api.list_uploads()
            if summary.name == name
            and summary.upload_id not in mine
            and (summary.initiated is None or epoch_seconds(summary.initiated) >= earliest)
            and _may_be_in(summary, self.request.destination)
            and (upload := self.context.api.get_upload(summary.upload_id)).uploaded_parts_count == 0
            and _is_in(upload, self.request.destination)
        ]
        if len(fitting) != 1:
            return None
        self._say("The answer to the start of this upload was lost; the upload was found on the server and is used.")
        found = fitting[0]
        return Started(found.upload_id, name, found.part_size, found.parallel_uploads) if found.part_size else None

    def _say(self, text: str) -> None:
        self.context.notice(self.request.key, text)


def _may_be_in(summary: UploadSummary, destination: Destination) -> bool:
    return destination.project is None or summary.project == destination.project


def _is_in(upload: Upload, destination: Destination) -> bool:
    parent = upload.parent
    if destination.parent is not None:
        return parent == destination.parent
    # The platform may name the project's root folder here: what can be told is only that it is this project.
    return upload.project == destination.project
