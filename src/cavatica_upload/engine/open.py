"""Opens an upload: resumes an unfinished one, or starts a new one."""

from collections.abc import Mapping

import attrs

from cavatica_upload.disk import Identity
from cavatica_upload.engine.completed_file import File, find_completed_file
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.proof import Kept, keep
from cavatica_upload.engine.start import Start
from cavatica_upload.errors import CavaticaError, FileChanged, SizeMismatch, UploadGone, UsageError
from cavatica_upload.journal.lock import UploadLock
from cavatica_upload.journal.records import Entry, SentPart
from cavatica_upload.plan import Plan, check_part_size, plan_for_answer, size_text
from cavatica_upload.receipt import FileDigest
from cavatica_upload.request import UploadRequest, known_md5
from cavatica_upload.sources import open_source
from cavatica_upload.sources.local import Source
from cavatica_upload.timing import epoch_seconds, now_utc


@attrs.frozen(kw_only=True)
class Opened:
    """An upload that is open on the server, and the parts of it that storage has.

    `plan` is None for a stream. `known` is the MD5 of the whole file, if the caller or a .md5 file gave it. `completed`
    is set if an earlier run completed the upload and ended before it knew; it is the file that resulted.
    """

    request: UploadRequest
    source: Source
    lock: UploadLock
    entry: Entry
    plan: Plan | None
    parallel: bool
    kept: Kept
    known: FileDigest | None
    completed: File | None

    @property
    def part_size(self) -> int:
        """In bytes."""
        return self.entry.part_size

    def close(self) -> None:
        """Close the source and release the lock on the upload."""
        self.source.close()
        self.lock.release()


def open_upload(context: Context, request: UploadRequest) -> Opened:
    """Open a file and its upload on the server.

    Raises SkippedFile if the file is not to be sent, UploadBusy if another process has the upload, FileChanged if the
    file changed since an unfinished upload was begun, and the errors of the API and of the source.
    """
    source = open_source(
        request.source, regular=request.regular, allow_empty=request.allow_empty, most=request.expect_size
    )
    lock = None
    try:
        request.check_size(source.size)
        name = request.target_name(source.name)
        lock = UploadLock(context.state, context.endpoint, request.destination, name)
        lock.acquire()
        return _Opening(context, request, source, lock, name, known_md5(request, source.identity)).open()
    except BaseException:
        source.close()
        if lock is not None:
            lock.release()
        raise


class _Unusable(Exception):
    """The unfinished upload cannot be resumed, and a new one may start; the message says why."""


@attrs.frozen
class _Opening:
    context: Context
    request: UploadRequest
    source: Source
    lock: UploadLock
    asked: str
    known: FileDigest | None

    def open(self) -> Opened:
        asked_for = self.request.resume_id
        for entry in self._unfinished() if asked_for is None else [self._entry_by_id(asked_for)]:
            try:
                if asked_for is None:
                    self._check_intent(entry)
                return self._resume(entry)
            except UploadGone:
                if asked_for is not None:
                    raise
                completed = self._completed(entry)
                if completed is not None:
                    return completed
                self._say("The upload that was begun is gone on the server; a new one is started.")
                self.context.journal.forget(entry)
            except _Unusable as reason:
                self._say(f"{reason} It is aborted, and a new one starts.")
                self.context.abort(self.request.key, entry)
        return self._start()

    # What was begun before

    def _unfinished(self) -> list[Entry]:
        """Return the unfinished upload of this file in the journal, as a list of one or none.

        An upload of the unchanged file comes first, then one of a file with the same size and path or inode. Of
        several, the latest is taken. Uploads of the same path with other content are given up (`_replace`).
        """
        identity = self.source.identity
        if identity is None:
            return []
        entries = []
        for entry in self.context.journal.find(self.context.endpoint, self.request.destination, self.asked):
            if entry.abandoned:
                self.context.abort(self.request.key, entry)
            else:
                entries.append(entry)
        same = [entry for entry in entries if entry.identity.same_as(identity)]
        same += [
            entry
            for entry in entries
            if entry.identity.size == identity.size
            and (entry.identity.path == identity.path or 0 != entry.identity.inode == identity.inode)
        ]
        if not same:
            for entry in entries:
                if entry.identity.path == identity.path:
                    self._replace(entry, entry.identity.difference(identity))
        return same[:1]

    def _check_intent(self, entry: Entry) -> None:
        """Raise _Unusable if the upload was started with an `if_exists` that does not fit this request.

        The platform decides when an upload starts whether it replaces a file; that cannot be changed later.
        """
        wish = self.request.if_exists
        if entry.if_exists == wish:
            return
        if entry.if_exists == "overwrite":
            raise _Unusable("The unfinished upload was begun to overwrite the file that is there; this run is not to.")
        if entry.name != self.asked:
            raise _Unusable(f"The unfinished upload was begun under another name ({entry.name}).")
        if wish != "fail" and self.context.api.find_file(self.request.destination, entry.name) is not None:
            raise _Unusable(f"The name {entry.name} was taken since the unfinished upload was begun.")

    def _replace(self, entry: Entry, difference: str) -> None:
        """Abort the upload of a file that has changed; raises FileChanged if the request does not allow it."""
        if self.request.changed == "refuse":
            raise FileChanged(
                f"{self.request.key} changed since its upload was begun: {difference}.",
                'Allow a new start with --yes (changed="restart" in Python): the unfinished upload '
                f"{entry.upload_id} is then aborted.",
            )
        self._say(f"The file changed since its upload was begun ({difference}): that one is aborted, a new one starts.")
        self.context.abort(self.request.key, entry)

    def _entry_by_id(self, upload_id: str) -> Entry:
        if self.source.identity is None:
            raise UsageError("A stream cannot be resumed: it can be read only once.", "Upload it anew.")
        for entry in self.context.journal.entries():
            if (entry.endpoint, entry.upload_id) == (self.context.endpoint, upload_id):
                entry.check_resumable()
                self._check_name(entry.asked, upload_id)
                return entry
        return self._entry(upload_id, self.asked, 0)

    def _resume(self, entry: Entry) -> Opened:
        identity = self.source.identity or Identity(self.request.key, 0)
        upload = self.context.open_upload(entry.upload_id, list_parts=True)
        if entry.key == 0:
            self._check_stranger(upload.name, upload.size, entry.upload_id)
            part_size = check_part_size(upload.part_size, "getUpload")
        else:
            part_size = upload.part_size or entry.part_size
            if part_size != entry.part_size:
                raise _Unusable(
                    f"The server cuts the unfinished upload into other parts now (of {size_text(part_size)})."
                )
        if entry.key and entry.identity.size != identity.size:
            raise self._other_file(entry, entry.identity.difference(identity))
        entry = attrs.evolve(entry, part_size=part_size)
        plan = plan_for_answer(identity.size, part_size)
        journalled = self.context.journal.parts(entry)
        reported = {part.part_number: part.headers for part in upload.parts or ()}
        if any(number > plan.count for number in reported) and entry.key:
            raise _Unusable("The server has parts of the unfinished upload that this file does not have.")
        unchanged = entry.identity.same_as(identity)
        if not unchanged and journalled:
            self._say(
                f"The file was touched since its upload was begun ({entry.identity.difference(identity)}); "
                f"the parts that were sent are compared with it."
            )
        kept = keep(
            plan,
            self.source,
            journalled,
            reported,
            unchanged=unchanged,
            hashing=self.context.hashing,
            stopped=self.context.stop.stopping.is_set,
        )
        if kept.changed:
            difference = f"{entry.identity.difference(identity)}, and parts that were sent are no longer its bytes"
            if self.request.resume_id is not None:
                raise self._other_file(entry, difference)
            self._replace(entry, difference)
            return self._start()
        if entry.key == 0 and kept.compared and not kept.parts:
            raise FileChanged(
                f"No part of upload {entry.upload_id} is bytes of {self.request.key}.",
                "Give the file whose upload was begun. Nothing was sent.",
            )
        for sentence in kept.differences:
            self._say(sentence)
        entry = self._in_journal(entry, kept, journalled)
        return self._opened(entry, plan, kept, parallel=upload.parallel_uploads)

    def _in_journal(self, entry: Entry, kept: Kept, journalled: Mapping[int, SentPart]) -> Entry:
        """Write to the journal which parts are kept; return the updated entry."""
        journal, identity = self.context.journal, self.source.identity
        if entry.key == 0:
            entry = journal.add(entry)
        elif identity is not None and entry.identity != identity:
            entry = journal.identify(entry, identity)
        changed = [part for number, part in kept.parts.items() if journalled.get(number) != part]
        journal.correct(entry, changed, [number for number in journalled if number not in kept.parts])
        return entry

    def _other_file(self, entry: Entry, difference: str) -> FileChanged:
        return FileChanged(
            f"Upload {entry.upload_id} was begun with another file, or {self.request.key} changed since: {difference}.",
            "Give the file that was begun with, or abort the upload and start anew.",
        )

    def _check_name(self, name: str | None, upload_id: str) -> None:
        if name is not None and name != self.asked:
            raise UsageError(
                f"Upload {upload_id} is of {name!r}, not of {self.asked!r}.",
                "Give the name of the upload with --name, or another upload.",
            )

    def _check_stranger(self, name: str | None, size: int | None, upload_id: str) -> None:
        """Raise an error if an upload that is not in the journal has another name or size than this file."""
        self._check_name(name, upload_id)
        if size is not None and size != self.source.size:
            raise SizeMismatch(
                f"Upload {upload_id} is of a file of {size:,} bytes, and {self.request.key} has {self.source.size:,}.",
                "Give the file whose upload was begun.",
                expected=size,
                got=self.source.size,
            )

    def _completed(self, entry: Entry) -> Opened | None:
        """Return the upload with its file, if an earlier run asked for completion and the file is there; else None."""
        if entry.completing is None or self.source.size is None:
            return None
        parts = self.context.journal.parts(entry)
        plan = Plan(self.source.size, entry.part_size)
        if len(parts) != plan.count or entry.identity.size != self.source.size:
            return None
        found = find_completed_file(self.context, entry, self.source, parts, epoch_seconds(entry.completing))
        if found is None or not found.ours:
            return None
        identity = self.source.identity
        unchanged = identity is not None and entry.identity.same_as(identity)
        if not unchanged:
            kept = keep(plan, self.source, parts, {}, unchanged=False, stopped=self.context.stop.stopping.is_set)
            if kept.changed or len(kept.parts) != plan.count:
                return None
        kept = Kept(parts, reread=frozenset() if unchanged else frozenset(parts))
        return self._opened(entry, plan, kept, completed=found.file)

    # What begins now

    def _start(self) -> Opened:
        started = Start(self.context, self.request, self.source, self.asked, self.known).start()
        try:
            check_part_size(started.part_size, "startUpload")
            plan = plan_for_answer(self.source.size, started.part_size) if self.source.size is not None else None
        except CavaticaError:
            self.context.abort(self.request.key, self._entry(started.upload_id, started.name or self.asked, 0))
            raise
        wish = self.request.part_size
        if wish is not None and wish != started.part_size:
            self._say(f"The platform chose parts of {size_text(started.part_size)}; {size_text(wish)} were asked for.")
        entry = self._entry(started.upload_id, started.name or self.asked, started.part_size)
        if self.source.identity is not None:
            entry = self.context.journal.add(entry)
        return self._opened(entry, plan, parallel=started.parallel_uploads)

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
            started=now_utc("microseconds"),
        )

    def _opened(
        self,
        entry: Entry,
        plan: Plan | None,
        kept: Kept | None = None,
        *,
        parallel: bool = True,
        completed: File | None = None,
    ) -> Opened:
        return Opened(
            request=self.request,
            source=self.source,
            lock=self.lock,
            entry=entry,
            plan=plan,
            parallel=parallel,
            kept=kept or Kept(),
            known=self.known,
            completed=completed,
        )

    def _say(self, text: str) -> None:
        self.context.notice(self.request.key, text)
