"""The moves with uploads. Each is one or a few requests, with the answers that the model expects."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract import rules
from tests.contract.known_uploads import KnownUpload, part_report, stored_etag
from tests.contract.model import asserts
from tests.contract.model.model import Context, Model, cleaned

PICK = st.integers(0, 5)
COMPLETE = st.sampled_from(
    ("owed", "owed", "owed", "everything", "nothing", "null", "empty", "wrong etag", "one missing")
)


class Uploads(RuleBasedStateMachine):
    """The life of uploads. Subclasses set `context` and add moves (`machine_files`)."""

    context: Context

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.touched: KnownUpload | None = None
        self.context.begin()
        self.api = self.context.api

    def reached(self, outcome: str) -> None:
        self.context.reached[outcome] += 1

    def upload(self, pick: int) -> KnownUpload:
        """One of the open uploads, most often the newest."""
        known = list(self.model.uploads.values())
        self.touched = known[-1 - pick % len(known)]
        return self.touched

    @initialize(parts=st.sampled_from((1, 2, 3)), rest=st.sampled_from((0, 1, -1)), sized=st.booleans())
    def open_one(self, parts: int, rest: int, sized: bool) -> None:
        """Start with one open upload."""
        self.start(0, parts, rest, sized, old_name=False, overwrite=False)

    def place_and_name(self, where: int, *, old_name: bool) -> tuple[str, str]:
        """A place, and a name that is new or that something there has."""
        place = self.model.places[where % len(self.model.places)]
        names = [known.name for known in self.model.at(place)]
        return place, names[where % len(names)] if old_name and names else self.context.name()

    def any_uploads(self) -> bool:
        return bool(self.model.uploads)

    @rule(
        where=PICK,
        parts=st.sampled_from((1, 1, 2, 3)),
        rest=st.sampled_from((0, 0, 1, -1)),
        sized=st.sampled_from((True, True, True, False)),
        old_name=st.sampled_from((False, False, True)),
        overwrite=st.booleans(),
    )
    def start(self, where: int, parts: int, rest: int, sized: bool, old_name: bool, overwrite: bool) -> None:
        context, model = self.context, self.model
        place, name = self.place_and_name(where, old_name=old_name)
        sized = sized or not context.target.own  # no source says which parts make a file without a size
        step = context.part_size if context.small else 5
        size = max(0, (parts - 1) * step + 1 + rest)
        body: dict[str, Any] = {"name": name, **self.context.destination(place)}
        if sized:
            body["size"] = size
        answer = self.api.call("startUpload", body=body, query={"overwrite": overwrite} if overwrite else {})
        other = model.named(place, name)
        if other is not None and (other.content is None or not overwrite):
            asserts.refusal(answer, 409, rules.NAME_TAKEN)
            self.reached("start conflicts")
            return
        started = answer.expect(200).json()
        asserts.same(answer, "started_name", started["name"], name)
        asserts.same(answer, "started_project", started["project"], context.target.project)
        asserts.same(
            answer, "fresh_id", started["upload_id"] in model.uploads or started["upload_id"] in model.ended, False
        )
        self.touched = self.opened(started, body.get("size"), place, name, overwrite)
        self.reached("started" if sized else "started without size")
        if place:
            self.reached("started in a folder")

    def opened(self, started: dict[str, Any], size: int | None, place: str, name: str, overwrite: bool) -> KnownUpload:
        known = KnownUpload(started["upload_id"], size, started["part_size"], place, name, overwrite)
        self.model.uploads[known.id] = known
        return known

    @precondition(any_uploads)
    @rule(pick=PICK, number=st.integers(0, 3), again=st.booleans())
    def put(self, pick: int, number: int, again: bool) -> None:
        known = self.upload(pick)
        numbers = list(known.numbers)
        missing = [each for each in numbers if each not in known.stored]
        choice = numbers if again or not missing else missing
        self.send(known, choice[number % len(choice)], fresh=again)

    @precondition(any_uploads)
    @rule(pick=PICK)
    def put_all(self, pick: int) -> None:
        known = self.upload(pick)
        for number in known.numbers:
            if number not in known.stored:
                self.send(known, number)

    def send(self, known: KnownUpload, number: int, *, fresh: bool = False) -> None:
        """Request a part URL and put bytes there."""
        grant = self.api.call("getPartUrl", upload_id=known.id, part_number=number).expect(200).json()
        mark = sum(known.id.encode()) + len(known.stored) + (17 if fresh else 0)
        content = bytes((number + mark + index) % 256 for index in range(known.length(number)))
        put = self.api.put(grant, content)
        etag = stored_etag(grant, put)
        if not etag:
            raise put.broken("put", f"expected an ETag from storage; the body is {put.body[:200]!r}")
        self.reached("part put again" if number in known.stored else "part put")
        known.stored[number], known.etags[number] = content, etag

    @staticmethod
    def report(number: int, etag: str, *, quoted: bool = False) -> dict[str, Any]:
        return part_report(number, f'"{etag}"' if quoted else etag)

    @precondition(any_uploads)
    @rule(pick=PICK, quoted=st.booleans(), wrong=st.sampled_from((False, False, False, True)))
    def report_one(self, pick: int, quoted: bool, wrong: bool) -> None:
        known = self.upload(pick)
        unreported = [number for number in known.stored if number not in known.reported]
        number = (unreported or list(known.stored) or [1])[0]
        etag = "0" * 32 if wrong else known.etags.get(number, "1" * 32)
        body = self.report(number, etag, quoted=quoted)
        answer = self.api.call("reportUploadedPart", upload_id=known.id, body=body).expect(200)
        asserts.same(answer, "report_echo", asserts.listed({"parts": [answer.json()]}), [(number, etag)])
        known.reported[number] = etag
        asserts.upload(self.api, known)
        self.reached("reported")

    @precondition(any_uploads)
    @rule(pick=PICK, twice=st.booleans(), bad=st.sampled_from((False, False, True)), quoted=st.booleans())
    def report_many(self, pick: int, twice: bool, bad: bool, quoted: bool) -> None:
        known = self.upload(pick)
        reports = {number: known.etags[number] for number in known.stored}
        body = [self.report(number, etag, quoted=quoted) for number, etag in reports.items()]
        if twice and reports:
            body.insert(0, self.report(next(iter(reports)), "2" * 32))  # the last one counts
        if bad:
            body.append(part_report(0 if twice else 10001, "3" * 32))
        answer = self.api.call("reportUploadedParts", upload_id=known.id, body={"parts": body})
        if bad:
            asserts.refusal(answer, 400, rules.BAD_PART_NUMBER)
            self.reached("many refused whole")
            return
        answer.expect(200)
        known.reported.update(reports)
        asserts.upload(self.api, known)
        self.reached("reported many twice" if twice and reports else "reported many")

    @precondition(any_uploads)
    @rule(pick=PICK, kind=COMPLETE)
    def complete(self, pick: int, kind: str) -> None:
        known = self.upload(pick)
        extra: dict[int, str] = {}
        body: Any = {}
        if kind in ("owed", "everything", "wrong etag", "one missing"):
            owed = kind == "owed"
            extra = {n: etag for n, etag in known.etags.items() if not (owed and known.reported.get(n) == etag)}
            if kind == "wrong etag" and extra:
                extra[max(extra)] = "4" * 32
            if kind == "one missing" and extra:
                extra.pop(min(extra))
            body = {"parts": [self.report(number, etag) for number, etag in extra.items()]}
        elif kind == "empty":
            body = {"parts": []}
        if kind == "nothing":
            answer = self.api.send("POST", f"/upload/multipart/{known.id}/complete")
        else:
            answer = self.api.call("completeUpload", upload_id=known.id, body=None if kind == "null" else body)
        content = known.whole(extra)
        if content is None:
            asserts.refusal(answer, 409, {rules.NOT_COMPLETE})
            self.reached("refused: wrong ETag" if kind == "wrong etag" and extra else "refused: incomplete")
        elif self.model.taken(known):
            asserts.refusal(answer, 409, rules.NAME_TAKEN | {rules.NOT_COMPLETE})
            self.reached("refused: name taken")
        else:
            self.completed(known, answer.expect(200, 201), content, owed=bool(extra))

    @rule(overwrite=st.booleans(), parts=st.sampled_from((1, 2, 3)), rest=st.sampled_from((0, -1)), where=PICK)
    def race(self, overwrite: bool, parts: int, rest: int, where: int) -> None:
        """Two uploads of one name: the second is refused, or overwrites the first."""
        self.start(where, parts, rest, sized=True, old_name=False, overwrite=overwrite)
        assert self.touched is not None
        first = self.touched
        body = {"name": first.name, "size": 3, **self.context.destination(first.place)}
        query = {"overwrite": True} if overwrite else {}
        started = self.api.call("startUpload", body=body, query=query).expect(200).json()
        self.opened(started, 3, first.place, first.name, overwrite)
        self.finish(1, "nothing")
        self.finish(0, "owed")
        asserts.refusal(self.api.call("startUpload", body=body), 409, rules.NAME_TAKEN)
        self.reached("start conflicts")

    @precondition(any_uploads)
    @rule(pick=PICK, kind=st.sampled_from(("wrong etag", "one missing")))
    def spoil(self, pick: int, kind: str) -> None:
        """Try to complete with all parts put and a report that is wrong, or one that is missing."""
        self.put_all(pick)
        self.complete(pick, kind)

    @precondition(any_uploads)
    @rule(pick=PICK, kind=st.sampled_from(("owed", "everything", "nothing", "null", "empty")))
    def finish(self, pick: int, kind: str) -> None:
        """Put, report and complete: otherwise few uploads would be completed."""
        self.put_all(pick)
        if kind in ("nothing", "null", "empty"):
            self.report_many(pick, twice=True, bad=False, quoted=kind == "empty")
        self.complete(pick, kind)

    def completed(self, known: KnownUpload, answer: Any, content: bytes, *, owed: bool) -> None:
        made = answer.json()
        asserts.same(answer, "completed_name", made["name"], known.name)
        asserts.same(answer, "completed_size", made["size"], len(content))
        over = self.model.named(known.place, known.name)
        file = self.model.completed(known, made["id"], content)
        if made.get("project") is not None:
            asserts.same(answer, "completed_project", made["project"], self.context.target.project)
        asserts.file(self.api, file)
        asserts.content(self.api, file)
        asserts.gone(self.api.call("getUpload", upload_id=known.id))
        if over is not None:
            asserts.refusal(self.api.call("getFile", file_id=over.id), 404)
            self.reached("completed over a file")
        self.reached("completed")
        self.reached("completed with what is owed" if owed else "completed with nothing owed")
        if len(known.stored) > 1:
            self.reached("completed of several parts")
        if not content:
            self.reached("completed empty")

    @precondition(any_uploads)
    @rule(pick=PICK)
    def abort(self, pick: int) -> None:
        known = self.upload(pick)
        self.api.call("abortUpload", upload_id=known.id).expect(204)
        self.model.end(known)
        asserts.gone(self.api.call("getUpload", upload_id=known.id))
        self.reached("aborted")

    @precondition(any_uploads)
    @rule(pick=PICK, spelling=st.sampled_from(("true", "True", "TRUE", "false", "FALSE")))
    def look(self, pick: int, spelling: str) -> None:
        asserts.upload(self.api, self.upload(pick), spelling)

    @rule(limit=st.integers(1, 4))
    def list_uploads(self, limit: int) -> None:
        asserts.uploads(self.api, self.model, limit, alone=self.context.target.own)

    @invariant()
    def touched_upload_is_right(self) -> None:
        """The upload of the last move is as in the model. To check all of them each time would find no more."""
        known, self.touched = self.touched, None
        if known is not None and known.id in self.model.uploads:
            asserts.upload(self.api, known)

    def teardown(self) -> None:
        """Leave nothing behind on a server that others use."""
        if self.context.target.own:
            return
        for upload_id in list(self.model.uploads):
            cleaned(self.api.call("abortUpload", upload_id=upload_id))
        for file in (*self.model.plain_files, *reversed(self.model.folders)):
            cleaned(self.api.call("deleteFile", file_id=file.id))
