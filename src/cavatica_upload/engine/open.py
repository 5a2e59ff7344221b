"""Opens an upload: resumes an unfinished one, or starts a new one."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

import attrs

from cavatica_upload.api.records import StartedUpload
from cavatica_upload.destination import nfc
from cavatica_upload.disk import Identity
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.proof import Kept, Reported, keep
from cavatica_upload.engine.start import Start
from cavatica_upload.errors import CavaticaError, FileChanged, SizeMismatch, UnexpectedAnswer, UploadGone, UsageError
from cavatica_upload.journal.lock import UploadLock
from cavatica_upload.journal.records import Entry
from cavatica_upload.plan import Plan, count_text, plan_for_answer, size_text
from cavatica_upload.receipt import FileDigest
from cavatica_upload.request import UploadRequest, known_md5
from cavatica_upload.sources import open_source
from cavatica_upload.sources.local import Source
from cavatica_upload.storage import SentPart, etag_in
from cavatica_upload.timing import now_utc


@attrs.define(kw_only=True, eq=False)
class OpenUpload:
    """An upload that is open on the server, and its progress. Only the file's own thread writes here.

    `plan` is None for a stream, whose `size` (bytes) is 0 until its end. If not `parallel`, the server takes one part
    at a time. `given_md5` is that of the whole file, from the caller or a .md5 file; `digest` is the requested one,
    None until it is computed. `sent` are the parts that storage has; an earlier run sent those in `resumed`, and those
    in `reread` were compared with the file. `close` closes the source and releases the lock on the
    upload.
    """

    request: UploadRequest
    source: Source
    entry: Entry
    plan: Plan | None
    parallel: bool
    given_md5: FileDigest | None
    sent: dict[int, SentPart]
    resumed: frozenset[int]
    reread: frozenset[int]
    size: int
    digest: FileDigest | None = None
    close: Callable[[], None] = lambda: None

    @property
    def key(self) -> str:
        """The name of the file in events."""
        return self.request.key

    @property
    def part_size(self) -> int:
        """In bytes."""
        return self.entry.part_size

    @property
    def can_reread(self) -> bool:
        """Whether the source can be read a second time."""
        return self.source.identity is not None

    @property
    def unreported(self) -> list[SentPart]:
        """The parts that storage has and that were not reported to the API, in order."""
        return [part for _, part in sorted(self.sent.items()) if not part.reported]

    @property
    def left(self) -> int:
        """Bytes that are to be sent; the last part counts as a full one. 0 for a stream."""
        return 0 if self.plan is None else (self.plan.count - len(self.sent)) * self.part_size


def open_upload(context: Context, request: UploadRequest) -> OpenUpload:
    """Open a file and its upload on the server.

    Raises SkippedFile if the file is not to be sent, UploadBusy if another process has the upload, FileChanged if the
    file changed since an unfinished upload was started, and the errors of the API and of the source.
    """
    with contextlib.ExitStack() as stack:
        source = open_source(
            request.source, regular=request.regular, allow_empty=request.allow_empty, most=request.expect_size
        )
        stack.callback(source.close)
        request.check_size(source.size)
        name = request.target_name(source.name)
        lock = UploadLock(context.state, context.api.endpoint, request.destination, name)
        stack.callback(lock.release)
        upload = _Opening(context, request, source, name, known_md5(request, source.identity)).open()
        upload.close = stack.pop_all().close
        return upload


class _Unusable(Exception):
    """The unfinished upload cannot be resumed, and a new one may start; the message says why."""


class _Opening(Start):
    """The start of an upload, if none can be resumed."""

    def open(self) -> OpenUpload:
        """Resume or start the upload."""
        by_id = self.request.resume_id
        for entry in self._unfinished() if by_id is None else [self._entry_by_id(by_id)]:
            try:
                if by_id is None:
                    self._check_if_exists(entry)
                upload = self._resume(entry)
                if upload is not None:
                    return upload
            except UploadGone:
                if by_id is not None:
                    raise
                upload = self._completed(entry)
                if upload is not None:
                    return upload
                self._say("The unfinished upload is gone on the server; a new one starts.")
                self.context.journal.forget(entry)
            except _Unusable as reason:
                self._say(f"{reason} It is aborted, and a new one starts.")
                self.context.abort(self.request.key, entry)
        return self._open_new()

    # Resume

    def _unfinished(self) -> Iterator[Entry]:
        """Yield the unfinished uploads of this file that may be resumed: one from the journal, then a lost start.

        An upload of the unchanged file comes first, then one of a file with the same size and path or inode. Of
        several, the latest is taken. Uploads of the same path with other content are given up (`_replace`).
        """
        identity = self.source.identity
        if identity is None:
            return
        entries = []
        for entry in self.context.journal.find(*self._place):
            if entry.abandoned:
                self.context.abort(self.request.key, entry)
            else:
                entries.append(entry)
        usable = [entry for entry in entries if entry.identity.may_be_same_as(identity)]
        if usable:
            yield min(usable, key=lambda entry: not entry.identity.same_as(identity))
        else:
            for entry in entries:
                if entry.identity.path == identity.path:
                    self._replace(entry, entry.identity.difference(identity))
        lost = self.find_lost()
        if lost is not None:
            yield self.context.journal.add(self._entry(*lost))

    def _check_if_exists(self, entry: Entry) -> None:
        """Raise _Unusable if the upload was started with an `if_exists` that does not fit this request.

        The platform decides when an upload starts whether it replaces a file; that cannot be changed later.
        """
        if_exists = self.request.if_exists
        if entry.if_exists == if_exists:
            return
        if entry.if_exists == "overwrite":
            raise _Unusable("The unfinished upload would overwrite the file that is there; this run may not.")
        if entry.name != self.name:
            raise _Unusable(f"The unfinished upload has another name ({entry.name}).")
        if if_exists != "fail" and self.context.api.find_file(self.request.destination, entry.name) is not None:
            raise _Unusable(f"The name {entry.name} was taken after the unfinished upload had started.")

    def _replace(self, entry: Entry, difference: str) -> None:
        """Abort the upload of a file that has changed; raises FileChanged if the request does not allow it."""
        if self.request.changed == "refuse":
            raise FileChanged(
                f"{self.request.key} changed since its upload was started: {difference}.",
                'Allow a new start with --yes (changed="restart" in Python): the unfinished upload is then aborted.',
            )
        self._say(f"The file changed since its upload was started ({difference}). It is aborted, and a new one starts.")
        self.context.abort(self.request.key, entry)

    def _entry_by_id(self, upload_id: str) -> Entry:
        if self.source.identity is None:
            raise UsageError("A stream cannot be resumed: it can be read only once.", "Upload it again.")
        for entry in self.context.journal.entries():
            if (entry.endpoint, entry.upload_id) == (self.context.api.endpoint, upload_id):
                entry.check_resumable()
                self._check_name(entry.requested_name, upload_id)
                return entry
        return self._entry(StartedUpload(upload_id=upload_id, name=self.name, part_size=0), self.request.if_exists)

    def _resume(self, entry: Entry) -> OpenUpload | None:
        """Return the open upload; None if it was aborted because the file has changed."""
        identity = self.source.identity or Identity(self.request.key, 0)
        upload = self.context.open_upload(entry.upload_id, list_parts=True)
        if not entry.key:  # the journal does not know it
            self._check_name(upload.name, entry.upload_id)
            if upload.size not in (None, identity.size):
                raise SizeMismatch(
                    f"Upload {entry.upload_id} is of a file of {count_text(upload.size or 0, 'byte')}, and "
                    f"{self.request.key} has {identity.size:,}.",
                    "Give the file whose upload was started.",
                    expected=upload.size,
                    got=identity.size,
                )
            if upload.part_size is None:
                raise UnexpectedAnswer(
                    "Looking up the upload failed: the server did not return the part size of the upload.",
                    "Ask the platform's support.",
                    status=200,
                    operation="getUpload",
                )
            entry = attrs.evolve(entry, part_size=upload.part_size)
        elif upload.part_size is not None and upload.part_size != entry.part_size:
            raise _Unusable(
                f"The server cuts the unfinished upload into other parts now (of {size_text(upload.part_size)})."
            )
        elif entry.identity.size != identity.size:
            raise self._other_file(entry, entry.identity.difference(identity))
        plan = plan_for_answer(identity.size, entry.part_size)
        journalled = self.context.journal.parts(entry)
        reported = {part.part_number: part.headers for part in upload.parts or () if etag_in(part.headers)}
        more = any(part.part_number > plan.count for part in upload.parts or ())
        if more and entry.key:
            raise _Unusable("The server has parts of the unfinished upload that this file does not have.")
        unchanged = entry.identity.same_as(identity)
        if not unchanged and journalled:
            self._say(
                f"The file was touched since its upload was started ({entry.identity.difference(identity)}); "
                f"the parts that were sent are compared with it."
            )
        kept = self._keep(plan, journalled, reported, unchanged=unchanged)
        if kept.changed:
            difference = f"{entry.identity.difference(identity)}, and parts that were sent are no longer its bytes"
            if self.request.resume_id is not None:
                raise self._other_file(entry, difference)
            self._replace(entry, difference)
            return None
        if not entry.key and (more or (kept.compared and not kept.parts)):
            raise FileChanged(
                f"The parts of upload {entry.upload_id} are not those of {self.request.key}.",
                "Give the file whose upload was started. Nothing was sent.",
            )
        for sentence in kept.differences:
            self._say(sentence)
        entry = self._correct_journal(entry, identity, kept, journalled)
        return self._opened(entry, plan, kept, parallel=upload.parallel_uploads)

    def _keep(self, plan: Plan, ours: Mapping[int, SentPart], theirs: Reported, *, unchanged: bool) -> Kept:
        hashing, stopped = self.context.hashing, self.context.stop.stopping.is_set
        return keep(plan, self.source, ours, theirs, unchanged=unchanged, hashing=hashing, stopped=stopped)

    def _correct_journal(
        self, entry: Entry, identity: Identity, kept: Kept, journalled: Mapping[int, SentPart]
    ) -> Entry:
        """Write to the journal which parts are kept; return the updated entry."""
        journal = self.context.journal
        if not entry.key:
            entry = journal.add(entry)
        elif entry.identity != identity:
            entry = journal.update(entry, identity=identity)
        changed = [part for number, part in kept.parts.items() if journalled.get(number) != part]
        journal.put(entry, *changed, stale=journalled.keys() - kept.parts.keys())
        return entry

    def _other_file(self, entry: Entry, difference: str) -> FileChanged:
        return FileChanged(
            f"Upload {entry.upload_id} was started with another file, or {self.request.key} changed since: "
            f"{difference}.",
            "Give the file that it was started with, or abort the upload and start again.",
        )

    def _check_name(self, name: str | None, upload_id: str) -> None:
        if name is not None and nfc(name) != nfc(self.name):
            raise UsageError(
                f"Upload {upload_id} is of {name!r}, not of {self.name!r}.",
                "Give the name of the upload with --name, or another upload.",
            )

    def _completed(self, entry: Entry) -> OpenUpload | None:
        """Return an upload that is gone, if an earlier run sent all parts and requested completion; else None.

        Its completion finds the file.
        """
        identity = self.source.identity
        if entry.completing is None or identity is None or entry.identity.size != identity.size:
            return None
        parts = self.context.journal.parts(entry)
        plan = Plan(identity.size, entry.part_size)
        if len(parts) != plan.count:
            return None
        kept = self._keep(plan, parts, {}, unchanged=entry.identity.same_as(identity))
        if len(kept.parts) != plan.count:
            return None
        reported = {number: attrs.evolve(part, reported=True) for number, part in kept.parts.items()}
        return self._opened(entry, plan, attrs.evolve(kept, parts=reported))  # there is no upload to report them to

    # Start

    def _open_new(self) -> OpenUpload:
        started = self.start()
        entry = self._entry(started, self.request.if_exists)
        try:
            plan = plan_for_answer(self.source.size, started.part_size) if self.source.size is not None else None
        except CavaticaError:
            self.context.abort(self.request.key, entry)
            raise
        requested = self.request.part_size
        if requested is not None and requested != started.part_size:
            self._say(
                f"The platform chose parts of {size_text(started.part_size)}; {size_text(requested)} were requested."
            )
        if self.source.identity is not None:
            entry = self.context.journal.add(entry)
        return self._opened(entry, plan, Kept(), parallel=started.parallel_uploads)

    def _entry(self, started: StartedUpload, if_exists: str) -> Entry:
        return Entry(
            upload_id=started.upload_id,
            endpoint=self.context.api.endpoint,
            destination=self.request.destination,
            requested_name=self.name,
            name=started.name or self.name,
            identity=self.source.identity or Identity(self.request.key, 0),
            if_exists=if_exists,
            part_size=started.part_size,
            started=now_utc("microseconds"),
        )

    def _opened(self, entry: Entry, plan: Plan | None, kept: Kept, *, parallel: bool = True) -> OpenUpload:
        return OpenUpload(
            request=self.request,
            source=self.source,
            entry=entry,
            plan=plan,
            parallel=parallel,
            given_md5=self.given_md5,
            sent=dict(kept.parts),
            resumed=frozenset(kept.parts),
            reread=kept.reread,
            size=0 if plan is None else plan.size,
        )
