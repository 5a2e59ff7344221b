"""A visit to a live platform, from its first call to the report: on nothing but what it made itself."""

import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from cavatica_upload.config import find_settings
from cavatica_upload.errors import ConfigError
from tests.contract import report, rules
from tests.contract.answer import Answer, Broken
from tests.contract.client import ApiClient
from tests.contract.findings import Finding, Outcome, causes
from tests.contract.known_uploads import KnownUploads
from tests.contract.live.drift import Drift, Drifted, read_baseline, write_baseline
from tests.contract.live.watchers import Cleanup, RateBudget
from tests.contract.model import asserts
from tests.contract.model.model import Context
from tests.contract.model.run import play
from tests.contract.options import Options, UsageError
from tests.contract.server import Target

Step = Callable[[], None]


class Walk:
    """Steps in their order; each is a claim of its own, and the next is taken whatever became of it."""

    def __init__(self, api: ApiClient, uploads: KnownUploads, home: str) -> None:
        self.api, self.uploads, self.home = api, uploads, home

    def take(self, outcome: Outcome) -> None:
        for step in self.steps():
            with outcome.claim(" ".join((step.__doc__ or "").split()), self.api.trace):
                step()

    def steps(self) -> Iterator[Step]:
        yield from (self.rights, self.start_and_look, self.report, self.refusals, self.complete_and_read)
        yield from (self.names, self.after_the_end, self.lists, self.edits, self.errors)

    def start(self, size: int = 11) -> None:
        body = {"parent": self.home, "name": self.uploads.next_name(), "size": size}
        answer = self.api.call("startUpload", body=body).expect(200)
        self.known = self.uploads.note_started(body, answer)

    def rights(self) -> None:
        """The project is there, and the rate limit can be asked for."""
        owner, _, name = self.uploads.project.partition("/")
        self.api.call("getProject", project_owner=owner, project_name=name).expect(200)
        self.api.call("getRateLimit").expect(200)

    def start_and_look(self) -> None:
        """An upload that was started can be looked at and is listed."""
        self.start()
        for spelling in ("true", "TRUE", "false"):
            self.api.call("getUpload", upload_id=self.known.id, query={"list_parts": spelling}).expect(200)
        self.api.call("getUpload", upload_id=self.known.id).expect(200)
        listed = self.api.call("listUploads", query={"limit": 100}).expect(200)
        if self.known.id not in {item["upload_id"] for item in listed.json()["items"]}:
            raise listed.broken("listed_uploads", "an open upload is not on the first page of 100")

    def report(self) -> None:
        """A part that was put can be reported, alone and in a list, and is then listed."""
        self.uploads.put(self.known, 1)
        report = self.known.report(1)
        self.api.call("reportUploadedPart", upload_id=self.known.id, body=report).expect(200)
        self.api.call("reportUploadedParts", upload_id=self.known.id, body={"parts": [report]}).expect(200)
        answer = self.api.call("getUpload", upload_id=self.known.id, query={"list_parts": True}).expect(200)
        asserts.same(answer, "uploaded_parts_count", answer.json()["uploaded_parts_count"], 1)

    def refusals(self) -> None:
        """What cannot be is refused: a part number beyond the last, a report without a body, another media type."""
        upload_id = self.known.id
        self.api.call("getPartUrl", upload_id=upload_id, part_number=10001).expect(400)
        self.api.call("reportUploadedParts", upload_id=upload_id, body={}).expect(400)
        path = f"/upload/multipart/{upload_id}/part"
        self.api.send("POST", path, data=b"{}", headers={"Content-Type": "text/plain"}).expect(415)
        wrong = {"part_number": 1, "response": {"headers": {"ETag": "0" * 32}}}
        self.api.call("completeUpload", upload_id=upload_id, body={"parts": [wrong]}).expect(409)

    def complete_and_read(self) -> None:
        """A completed upload is a file with the very bytes that were put."""
        body = {"parts": [self.known.report(1)]}
        answer = self.api.call("completeUpload", upload_id=self.known.id, body=body).expect(200, 201)
        self.known.ended = True
        self.file: str = answer.json()["id"]
        asserts.same(answer, "completed_size", answer.json()["size"], 11)
        shown = self.api.call("getFile", file_id=self.file).expect(200)
        link = self.api.call("getDownloadInfo", file_id=self.file).expect(200)
        fetched = self.api.fetch(link.field("url"))
        asserts.same(fetched, "file_content", fetched.body, self.known.content(1))
        self.name: str = shown.json()["name"]

    def names(self) -> None:
        """A name that is taken is a conflict, unless it may be overwritten."""
        body = {"parent": self.home, "name": self.name, "size": 3}
        asserts.refusal(self.api.call("startUpload", body=body), 409, rules.NAME_TAKEN)
        answer = self.api.call("startUpload", body=body, query={"overwrite": True}).expect(200)
        self.api.call("abortUpload", upload_id=answer.json()["upload_id"]).expect(204)

    def after_the_end(self) -> None:
        """An upload that has ended is not found."""
        asserts.gone(self.api.call("getUpload", upload_id=self.known.id))
        self.start()
        self.api.call("abortUpload", upload_id=self.known.id).expect(204)
        self.known.ended = True
        asserts.gone(self.api.call("getUpload", upload_id=self.known.id))
        asserts.gone(self.api.call("completeUpload", upload_id=self.known.id, body=None))

    def lists(self) -> None:
        """The pages of a folder add up, by either of the ways to list it."""
        for _ in range(2):
            body = {"parent": self.home, "name": self.uploads.next_name(), "type": "folder"}
            self.api.call("createFolder", body=body).expect(200, 201)
        for operation, arguments in (
            ("listFolder", {"file_id": self.home}),
            ("listFiles", {"query": {"parent": self.home}}),
        ):
            found = asserts.pages(self.api, operation, 2, "id", **arguments)
            assert len(found) == 3, f"{operation}: {len(found)} of the 3 that were made"
        answer = self.api.call("listFiles", query={"parent": self.home, "name": self.name}).expect(200)
        asserts.same(answer, "filter_by_name", [item["id"] for item in answer.json()["items"]], [self.file])

    def edits(self) -> None:
        """Metadata are merged, tags are put in place of the old ones."""
        for metadata in ({"sample_id": "s1"}, {"paired_end": "1"}):
            item = {"id": self.file, "metadata": metadata, "tags": ["contract"]}
            answer = self.api.call("editFiles", body={"items": [item]}).expect(200)
        shown = answer.json()["items"][0].get("resource", {}).get("metadata", {})
        merged = (shown.get("sample_id"), shown.get("paired_end"))
        asserts.same(answer, "metadata_merged", merged, ("s1", "1"))

    def errors(self) -> None:
        """Nobody gets in without a token, a method that is not there is refused, and a deleted file is gone."""
        self.api.call("getRateLimit", token="0" * 32).expect(401)
        self.api.send("PUT", f"/files/{self.home}").expect(405)
        self.api.call("deleteFile", file_id=self.file).expect(204)
        asserts.refusal(self.api.call("getFile", file_id=self.file), 404)


EXAMPLES = 4  # of the model; about 40 calls each
STEPS = 10
TIMEOUT = 60.0
BASELINE = Path("drift-baseline.json")  # the known drifts of platforms, to be committed by whoever keeps it


def run(options: Options, say: Callable[[str], None] = print) -> int:
    """Visit. 0: the answers fit the document. 1: they do not, or something was left behind. 130: interrupted.

    Drifts in the baseline do not count; BASELINE=keep adds those that were seen to it.
    """
    target = _target(options)
    visit = Visit(target, options.share, say)
    say(f"{target.base_url}, project {target.project}, everything named contract-{target.run}-…, seed {options.seed}")
    interrupted = False
    try:
        with _interruptible():
            visit.look(options.seed)
    except KeyboardInterrupt:
        interrupted = True
        say("Interrupted: cleaning up. Please wait.")
    except Broken as error:
        first = Outcome("first steps", own=False)
        first.found("the visit can begin", Finding.of(error, visit.api.trace))
        visit.outcomes.append(first)
    with _uninterruptible():
        left = visit.clean_up()
    known = read_baseline(BASELINE, target.base_url)
    drift = visit.drift.markdown(f"Drift of {target.base_url} from openapi.yaml", known)
    options.reports.mkdir(parents=True, exist_ok=True)
    (options.reports / "drift.md").write_text(drift)
    report.write(options.reports, visit.outcomes, options.seed, target, name="live")
    say("\n" + drift)
    if options.keep_drifts and not interrupted:
        write_baseline(BASELINE, target.base_url, visit.drift.broken | known)
        say(f"{len(visit.drift.broken | known)} known drifts of {target.base_url} are in {BASELINE}.")
        known = visit.drift.broken
    return visit.conclude(left, options, known, interrupted=interrupted)


class Visit:
    """One visit: the connection with its budget, and what was made."""

    def __init__(self, target: Target, share: float, say: Callable[[str], None]) -> None:
        self.target, self.say = target, say
        self.cleanup = Cleanup(f"contract-{target.run}-")
        self.budget = RateBudget(share, lambda: len(self.cleanup), say)
        self.drift = Drift()
        self.outcomes: list[Outcome] = []
        self.api = ApiClient(
            target.base_url, target.token, judge=False, timeout=TIMEOUT, before=self.budget.before, watch=self.watch
        )

    def watch(self, answer: Answer) -> None:
        self.cleanup.observe(answer)
        self.budget.observe(answer)
        self.drift.observe(answer)

    def look(self, seed: int) -> None:
        """Walk through every operation, then play with the model."""
        self.api.call("getRateLimit").expect(200)
        budget = self.budget
        self.say(f"{budget.limit} calls in a window; {budget.limit - budget.floor} of them may be used here")
        owner, _, name = self.target.project.partition("/")
        self.api.call("getProject", project_owner=owner, project_name=name).expect(200)
        known = KnownUploads(self.api, self.target.project, self.target.run)
        body = {"project": self.target.project, "name": f"contract-{self.target.run}-home", "type": "folder"}
        home: str = self.api.call("createFolder", body=body).expect(200, 201).json()["id"]
        walk = Outcome("walk", own=False)
        self.outcomes.append(walk)
        with walk.timed():
            Walk(self.api, known, home).take(walk)
        context = Context.on(self.target, self.api, home=home)
        self.outcomes.append(play(context, seed, examples=EXAMPLES, steps=STEPS, shrink=False, whole=False))
        walk.counts, self.outcomes[-1].counts = self.outcomes[-1].counts, walk.counts  # one connection, counted once

    def clean_up(self) -> list[str]:
        """Take away what was made, over a fresh connection. What could not be."""
        self.api.close()
        self.budget.cleaning = True
        try:
            return self.cleanup.clean(self.api)
        except Broken as error:
            return [error.message]

    def conclude(self, left: list[str], options: Options, known: set[Drifted], *, interrupted: bool) -> int:
        findings = causes(self.outcomes)
        for number, cause in enumerate(findings, 1):
            self.say(report.told(number, cause, self.target, replayable=False) + "\n")
        for each in left:
            self.say(f"LEFT BEHIND: {each}")
        budget = self.budget
        left_to_us = "no limit was told"
        if budget.lowest is not None:
            left_to_us = f"at least {budget.lowest} of {budget.limit} were left at any time"
        self.say(f"{budget.used} calls; {left_to_us}; {budget.refused} answers of 429; {len(left)} things left behind.")
        self.say(f"Read {options.reports / 'drift.md'} and live.md beside it.")
        if interrupted:
            return 130
        return 1 if findings or left or self.drift.broken - known else 0


def _target(options: Options) -> Target:
    """Whom to visit, and where everything may go. Raises UsageError."""
    if options.project is None:
        raise UsageError("A visit makes files: name a project for them, as in make contract-live PROJECT=owner/name")
    try:
        settings = find_settings(options.token, options.base_url, options.profile)
    except ConfigError as error:
        raise UsageError(f"{error.message} {error.hint or ''}".strip()) from None
    run_name = f"live-{secrets.token_hex(4)}"
    return Target(settings.endpoint, settings.token, options.project, own=False, run=run_name)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM is like Ctrl-C: there is something to clean up."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _uninterruptible() -> Iterator[None]:
    """Cleaning up is not broken off by another Ctrl-C."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
