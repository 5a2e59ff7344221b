"""A careful visit to a live platform.

It needs a project, and makes one folder there for everything else. Files have a few bytes. It uses a share of the rate
limit, by the platform's own headers (`RateBudget`), and deletes what it made at the end, also after Ctrl-C (`Cleanup`).
It touches nothing that it did not make: no random ids, no other users. Therefore it leaves out schemathesis and the raw
requests. It ends with the differences between the live answers and openapi.yaml (`drift`).
"""

import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from cavatica_upload.config import find_settings
from cavatica_upload.errors import ConfigError
from tests.contract import report, rules
from tests.contract.answer import Answer, Broken
from tests.contract.client import ApiClient
from tests.contract.findings import Finding, Outcome, causes
from tests.contract.known_uploads import FAULTY, KnownUploads, part_report
from tests.contract.live.drift import Drift, Drifted, read_baseline, write_baseline
from tests.contract.live.watchers import Cleanup, RateBudget
from tests.contract.model import asserts
from tests.contract.model.model import Context
from tests.contract.model.run import play
from tests.contract.options import Options, UsageError, check_target
from tests.contract.server import Target

Step = Callable[[], None]


class Walk:
    """Steps in their order. Each is a claim, and none depends on the success of another."""

    def __init__(self, api: ApiClient, uploads: KnownUploads, home: str) -> None:
        self.api, self.uploads, self.home = api, uploads, home

    def take(self, outcome: Outcome) -> None:
        for step in self.steps():
            with outcome.claim(" ".join((step.__doc__ or "").split()), self.api.trace):
                step()

    def steps(self) -> Iterator[Step]:
        yield from (self.rights, self.start_and_look, self.report, self.refusals, self.complete_and_read)
        yield from (self.names, self.after_the_end, self.lists, self.edits, self.errors)

    def rights(self) -> None:
        """The project and the rate limit can be read."""
        owner, _, name = self.uploads.project.partition("/")
        self.api.call("getProject", project_owner=owner, project_name=name).expect(200)
        self.api.call("getRateLimit").expect(200)

    def start_and_look(self) -> None:
        """A started upload can be read and is listed."""
        self.known = self.uploads.start(11)
        for spelling in ("true", "TRUE", "false"):
            self.api.call("getUpload", upload_id=self.known.id, query={"list_parts": spelling}).expect(200)
        self.api.call("getUpload", upload_id=self.known.id).expect(200)
        listed = self.api.call("listUploads", query={"limit": 100}).expect(200)
        if self.known.id not in {item["upload_id"] for item in listed.json()["items"]}:
            raise listed.broken("listed_uploads", "an open upload is not on the first page of 100")

    def report(self) -> None:
        """A part that was put can be reported, alone and in bulk, and is then listed."""
        self.uploads.put(self.known, 1)
        report = self.known.report(1)
        self.api.call("reportUploadedPart", upload_id=self.known.id, body=report).expect(200)
        self.api.call("reportUploadedParts", upload_id=self.known.id, body={"parts": [report]}).expect(200)
        answer = self.api.call("getUpload", upload_id=self.known.id, query={"list_parts": True}).expect(200)
        asserts.same(answer, "uploaded_parts_count", answer.json()["uploaded_parts_count"], 1)

    def refusals(self) -> None:
        """Refused are a part number beyond the last, a report without parts, another media type, and a wrong ETag."""
        upload_id = self.known.id
        self.api.call("getPartUrl", upload_id=upload_id, part_number=10001).expect(400)
        self.api.call("reportUploadedParts", upload_id=upload_id, body={}).expect(400)
        path = f"/upload/multipart/{upload_id}/part"
        self.api.send("POST", path, data=b"{}", headers={"Content-Type": "text/plain"}).expect(415)
        body = {"parts": [part_report(1, "0" * 32)]}
        self.api.call("completeUpload", upload_id=upload_id, body=body).expect(409)

    def complete_and_read(self) -> None:
        """A completed upload is a file with the bytes that were put."""
        file = self.uploads.finish(self.known)
        self.file: str = file["id"]
        shown = self.api.call("getFile", file_id=self.file).expect(200)
        asserts.same(shown, "completed_size", file["size"], 11)
        link = self.api.call("getDownloadInfo", file_id=self.file).expect(200)
        fetched = self.api.fetch(link.field("url"))
        asserts.same(fetched, "file_content", fetched.body, self.known.content(1))
        self.name: str = shown.json()["name"]

    def names(self) -> None:
        """A name that exists is a conflict, unless overwrite is true."""
        body = {"parent": self.home, "name": self.name, "size": 3}
        asserts.refusal(self.api.call("startUpload", body=body), 409, rules.NAME_TAKEN)
        answer = self.api.call("startUpload", body=body, query={"overwrite": True}).expect(200)
        self.api.call("abortUpload", upload_id=answer.json()["upload_id"]).expect(204)

    def after_the_end(self) -> None:
        """A completed and an aborted upload are not found."""
        asserts.gone(self.api.call("getUpload", upload_id=self.known.id))
        self.known = self.uploads.start(11)
        self.api.call("abortUpload", upload_id=self.known.id).expect(204)
        self.known.ended = True
        asserts.gone(self.api.call("getUpload", upload_id=self.known.id))
        asserts.gone(self.api.call("completeUpload", upload_id=self.known.id, body=None))

    def lists(self) -> None:
        """The pages of a folder have each item once, in both ways to list it."""
        for _ in range(2):
            self.uploads.new_folder()
        for operation, arguments in (
            ("listFolder", {"file_id": self.home}),
            ("listFiles", {"query": {"parent": self.home}}),
        ):
            found = asserts.pages(self.api, operation, 2, "id", **arguments)
            assert len(found) == 3, f"{operation}: {len(found)} items, expected 3"
        answer = self.api.call("listFiles", query={"parent": self.home, "name": self.name}).expect(200)
        asserts.same(answer, "filter_by_name", [item["id"] for item in answer.json()["items"]], [self.file])

    def edits(self) -> None:
        """Metadata are merged, tags are replaced."""
        for metadata in ({"sample_id": "s1"}, {"paired_end": "1"}):
            item = {"id": self.file, "metadata": metadata, "tags": ["contract"]}
            answer = self.api.call("editFiles", body={"items": [item]}).expect(200)
        shown = answer.json()["items"][0].get("resource", {}).get("metadata", {})
        merged = (shown.get("sample_id"), shown.get("paired_end"))
        asserts.same(answer, "metadata_merged", merged, ("s1", "1"))

    def errors(self) -> None:
        """A wrong token and a wrong method are refused, and a deleted file is not found."""
        self.api.call("getRateLimit", token="0" * 32).expect(401)
        self.api.send("PUT", f"/files/{self.home}").expect(405)
        self.api.call("deleteFile", file_id=self.file).expect(204)
        asserts.refusal(self.api.call("getFile", file_id=self.file), 404)


EXAMPLES = 4  # of the model; about 40 calls each
STEPS = 10
TIMEOUT = 60.0
BASELINE = Path("drift-baseline.json")  # the known drifts of platforms


def run(options: Options, say: Callable[[str], None] = print) -> int:
    """Visit. 0: the answers fit the document. 1: they do not, or something is left. 130: interrupted.

    Drifts in the baseline do not count; BASELINE=keep adds those of this visit.
    """
    target = _target(options)
    check_target(target)
    visit = Visit(target, options.share, say)
    say(f"{target.base_url}, project {target.project}, everything named contract-{target.run}-…, seed {options.seed}")
    interrupted = False
    try:
        with _signals(SIGTERM=_interrupt):  # like Ctrl-C: what was made has to be deleted
            visit.look(options.seed)
    except KeyboardInterrupt:
        interrupted = True
        say("Interrupted. Deleting what was made; please wait.")
    except Broken as error:
        first = Outcome("first steps", own=False)
        first.found("the visit can begin", Finding.of(error, visit.api.trace))
        visit.outcomes.append(first)
    with _signals(SIGINT=signal.SIG_IGN, SIGTERM=signal.SIG_IGN):
        left = visit.clean_up()
    known = read_baseline(BASELINE, target.base_url)
    drift = visit.drift.markdown(f"Drift of {target.base_url} from openapi.yaml", known)
    options.reports.mkdir(parents=True, exist_ok=True)
    (options.reports / "drift.md").write_text(drift)
    report.write(options.reports, visit.outcomes, options.seed, target, name="live")
    say("\n" + drift)
    if options.keep_drifts and not interrupted:
        write_baseline(BASELINE, target.base_url, visit.drift.broken | known)
        say(f"{BASELINE} has {len(visit.drift.broken | known)} known drifts of {target.base_url}.")
        known = visit.drift.broken
    return visit.conclude(left, options, known, interrupted=interrupted)


class Visit:
    """One visit: a connection with its rate budget, and what was made."""

    def __init__(self, target: Target, share: float, say: Callable[[str], None]) -> None:
        self.target, self.say = target, say
        self.budget = RateBudget(share, lambda: len(self.cleanup), say)
        self.drift = Drift()
        self.outcomes: list[Outcome] = []
        self.api = ApiClient(
            target.base_url, target.token, judge=False, timeout=TIMEOUT, before=self.budget.before, watch=self.watch
        )
        self.known = KnownUploads(self.api, target.project, target.run)
        self.cleanup = Cleanup(self.known)

    def watch(self, answer: Answer) -> None:
        with contextlib.suppress(*FAULTY):
            self.known.observe(answer)
        self.budget.observe(answer)
        self.drift.observe(answer)

    def look(self, seed: int) -> None:
        """Call every operation, then run the model."""
        self.api.call("getRateLimit").expect(200)
        budget = self.budget
        self.say(f"{budget.limit} calls in a window; this visit may use {budget.limit - budget.floor}")
        owner, _, name = self.target.project.partition("/")
        self.api.call("getProject", project_owner=owner, project_name=name).expect(200)
        home = self.known.new_folder(name=f"contract-{self.target.run}-home")
        self.known.place = {"parent": home}
        walk = Outcome("walk", own=False)
        self.outcomes.append(walk)
        with walk.timed():
            Walk(self.api, self.known, home).take(walk)
        context = Context.on(self.target, self.api, home=home)
        self.outcomes.append(play(context, seed, examples=EXAMPLES, steps=STEPS, shrink=False, whole=False))
        walk.counts, self.outcomes[-1].counts = self.outcomes[-1].counts, walk.counts  # one connection, counted once

    def clean_up(self) -> list[str]:
        """Delete what was made, over a new connection. Returns what could not be deleted."""
        self.api.close()
        self.budget.cleaning = True
        return self.cleanup.clean()

    def conclude(self, left: list[str], options: Options, known: set[Drifted], *, interrupted: bool) -> int:
        findings = causes(self.outcomes)
        for number, cause in enumerate(findings, 1):
            self.say(report.describe(number, cause, self.target, replayable=False) + "\n")
        for each in left:
            self.say(f"NOT DELETED: {each}")
        budget = self.budget
        left_to_us = "no rate limit was shown"
        if budget.lowest is not None:
            left_to_us = f"at least {budget.lowest} of {budget.limit} were left at any time"
        self.say(f"{budget.used} calls; {left_to_us}; {budget.refused} answers of 429; {len(left)} things not deleted.")
        self.say(f"Reports: {options.reports / 'drift.md'}, and live.md beside it.")
        if interrupted:
            return 130
        return 1 if findings or left or self.drift.broken - known else 0


def _target(options: Options) -> Target:
    """The platform and the project of the visit. Raises UsageError."""
    if options.project is None:
        raise UsageError("A visit makes files and needs a project for them: make contract-live PROJECT=owner/name")
    try:
        settings = find_settings(options.token, options.base_url, options.profile)
    except ConfigError as error:
        raise UsageError(f"{error.message} {error.hint or ''}".strip()) from None
    run_name = f"live-{secrets.token_hex(4)}"
    return Target(settings.endpoint, settings.token, options.project, own=False, run=run_name)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _signals(**handlers: Any) -> Iterator[None]:
    """Handle signals in this way during a block."""
    before = {name: signal.signal(signal.Signals[name], handler) for name, handler in handlers.items()}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(signal.Signals[name], handler)
