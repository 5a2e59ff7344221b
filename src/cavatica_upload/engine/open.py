"""Opens an upload: finds the one that was begun, or starts one."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import attrs

from cavatica_upload.clock import now_utc
from cavatica_upload.engine.completed_file import find_completed_file
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.resume import keep
from cavatica_upload.engine.start import Start
from cavatica_upload.errors import FileChanged, SizeMismatch, UnexpectedAnswer, UploadGone, UsageError
from cavatica_upload.journal.lock import UploadLock
from cavatica_upload.journal.records import Entry, SentPart
from cavatica_upload.plan import Plan, plan_for_answer
from cavatica_upload.receipt import FileDigest
from cavatica_upload.request import UploadRequest, sidecar_md5
from cavatica_upload.sources import open_source
from cavatica_upload.sources.base import Identity, Source

LONGEST_SIDECAR = 64 * 1024


@attrs.frozen(kw_only=True)
class Opened:
    """An upload that is open on the server, and what of it storage has.

    `plan` is None for a stream. `known` is the MD5 of the whole file if it was said beforehand. `completed` means that
    the upload became a file already, which an earlier run did not live to see.
    """

    request: UploadRequest
    source: Source
    lock: UploadLock
    entry: Entry
    plan: Plan | None
    parallel: bool = True
    kept: Mapping[int, SentPart] = attrs.field(factory=dict)
    known: FileDigest | None = None
    completed: bool = False

    @property
    def part_size(self) -> int:
        """In bytes."""
        return self.entry.part_size


def open_upload(context: Context, request: UploadRequest) -> Opened:
    """Open a file and its upload on the server.

    Raises SkippedFile where the request says so, UploadBusy where another process has it, FileChanged where an
    unfinished upload is of another state of the file, and what the API and the disk raise.
    """
    source = open_source(request.source)
    lock = None
    try:
        name = request.target_name(source.name)
        lock = UploadLock(context.state, context.endpoint, request.destination, name)
        lock.acquire()
        return _Opening(context, request, source, lock, name).open()
    except BaseException:
        source.close()
        if lock is not None:
            lock.release()
        raise


@attrs.frozen
class _Opening:
    context: Context
    request: UploadRequest
    source: Source
    lock: UploadLock
    asked: str

    def open(self) -> Opened:
        if self.request.resume_id is not None:
            return self._resume(self._entry_by_id(self.request.resume_id))
        entry = self._unfinished()
        if entry is not None:
            try:
                return self._resume(entry)
            except UploadGone:
                landed = self._landed(entry)
                if landed is not None:
                    return landed
                self._say("The upload that was begun is gone on the server; a new one is started.")
                self._forget(entry)
        return self._start()

    # What was begun before

    def _unfinished(self) -> Entry | None:
        identity = self.source.identity
        if identity is None:
            return None
        entries = self.context.journal.find(self.context.endpoint, self.request.destination, self.asked)
        same = next((entry for entry in entries if entry.identity.same_as(identity)), None)
        if same is None:
            for entry in entries:
                if entry.identity.path == identity.path:
                    self._replace(entry, identity)
        return same

    def _replace(self, entry: Entry, identity: Identity) -> None:
        """Give up an upload whose file has changed since, where the request allows it."""
        difference = entry.identity.difference(identity)
        if self.request.changed == "refuse":
            raise FileChanged(
                f"{self.request.key} changed since its upload was begun: {difference}.",
                "Allow a new start with --yes (changed='restart' in Python): the unfinished upload "
                f"{entry.upload_id} is then aborted.",
            )
        self._say(f"The file changed since its upload was begun ({difference}): that one is aborted, a new one starts.")
        with contextlib.suppress(UploadGone):
            self.context.api.abort_upload(entry.upload_id)
        self._forget(entry)

    def _entry_by_id(self, upload_id: str) -> Entry:
        identity = self.source.identity
        if identity is None:
            raise UsageError("A stream cannot be resumed: it can be read only once.", "Upload it anew.")
        for entry in self.context.journal.entries():
            if (entry.endpoint, entry.upload_id) == (self.context.endpoint, upload_id):
                if entry.identity.same_as(identity):
                    return entry
                raise FileChanged(
                    f"Upload {upload_id} was begun with another file, or {self.request.key} changed since: "
                    f"{entry.identity.difference(identity)}.",
                    "Give the file that was begun with, or abort the upload and start anew.",
                )
        return self._entry(upload_id, self.asked, 0)

    def _resume(self, entry: Entry) -> Opened:
        upload = self.context.api.get_upload(entry.upload_id, list_parts=True)
        size = self.source.size or 0
        if entry.key == 0:
            self._check_stranger(upload.name, upload.size, entry.upload_id)
        part_size = upload.part_size or entry.part_size
        if not part_size:
            raise UnexpectedAnswer(
                f"The server did not say the part size of upload {entry.upload_id}.",
                "Abort it (cavatica uploads abort), and upload the file anew.",
                status=200,
                operation="getUpload",
            )
        plan = plan_for_answer(size, part_size)
        entry = attrs.evolve(entry, part_size=part_size)
        journalled = self.context.journal.parts(entry)
        reported = {part.part_number: part.headers for part in upload.parts or ()}
        kept = keep(
            plan,
            self.source,
            journalled,
            reported,
            hashing=self.context.hashing,
            stopped=self.context.stop.stopping.is_set,
        )
        for sentence in kept.differences:
            self._say(sentence)
        if entry.key == 0:
            entry = self._remember(entry)
        changed = [part for number, part in kept.parts.items() if journalled.get(number) != part]
        stale = [number for number in journalled if number not in kept.parts]
        self.context.journal.correct(entry, changed, stale)
        return self._opened(entry, plan=plan, parallel=upload.parallel_uploads, kept=kept.parts)

    def _check_stranger(self, name: str | None, size: int | None, upload_id: str) -> None:
        """See that an upload of which only the id is known can be one of this file."""
        if name is not None and name != self.asked:
            raise UsageError(
                f"Upload {upload_id} is of {name!r}, not of {self.asked!r}.",
                "Give the name of the upload with --name, or another upload.",
            )
        if size is not None and size != self.source.size:
            raise SizeMismatch(
                f"Upload {upload_id} is of a file of {size:,} bytes, and {self.request.key} has {self.source.size:,}.",
                "Give the file whose upload was begun.",
                expected=size,
                got=self.source.size,
            )

    def _landed(self, entry: Entry) -> Opened | None:
        """Return the upload as one that is done, where its completion was asked for and the file is there."""
        if not entry.completing or find_completed_file(self.context, entry, self.source.size) is None:
            return None
        parts = self.context.journal.parts(entry)
        plan = Plan(self.source.size or 0, entry.part_size)
        if len(parts) != plan.count:
            return None
        return self._opened(entry, plan=plan, kept=parts, completed=True)

    # What begins now

    def _start(self) -> Opened:
        size = self.source.size
        known = self._known_md5()
        started = Start(self.context, self.request, self.asked, size, known.value if known else None).start()
        plan = plan_for_answer(size, started.part_size) if size is not None else None
        entry = self._entry(started.upload_id, started.name, started.part_size)
        if self.source.identity is not None:
            entry = self._remember(entry)
        return self._opened(entry, plan=plan, parallel=started.parallel)

    def _entry(self, upload_id: str, name: str, part_size: int) -> Entry:
        return Entry(
            upload_id=upload_id,
            endpoint=self.context.endpoint,
            destination=self.request.destination,
            asked=self.asked,
            name=name,
            identity=self.source.identity or Identity(self.request.key, 0),
            if_exists=self.request.if_exists,
            part_size=part_size,
            started=now_utc("microseconds"),  # what is older than this did not change the file since
        )

    def _opened(
        self,
        entry: Entry,
        *,
        plan: Plan | None,
        parallel: bool = True,
        kept: Mapping[int, SentPart] | None = None,
        completed: bool = False,
    ) -> Opened:
        return Opened(
            request=self.request,
            source=self.source,
            lock=self.lock,
            entry=entry,
            plan=plan,
            parallel=parallel,
            kept=kept or {},
            known=self._known_md5(),
            completed=completed,
        )

    def _known_md5(self) -> FileDigest | None:
        if self.request.md5 is not None:
            return FileDigest("md5", self.request.md5.lower(), "given")
        identity = self.source.identity
        if identity is None or not identity.inode:
            return None
        path = Path(identity.path)
        try:
            with path.with_name(path.name + ".md5").open(encoding="utf-8", errors="replace") as sidecar:
                value = sidecar_md5(path, sidecar.read(LONGEST_SIDECAR))
        except (OSError, ValueError):
            return None
        return FileDigest("md5", value, "sidecar") if value is not None else None

    def _remember(self, entry: Entry) -> Entry:
        return self.context.journal.add(entry)

    def _forget(self, entry: Entry) -> None:
        self.context.journal.forget(entry)

    def _say(self, text: str) -> None:
        self.context.notice(self.request.key, text)
