"""A careful visit to a live platform.

It needs a project, and makes one folder there for everything else. Files have a few bytes. It uses a share of the rate
limit, by the platform's own headers (`RateBudget`), and deletes what it made at the end, also after Ctrl-C (`Cleanup`).
It touches nothing that it did not make: no random ids, no other users. It leaves out schemathesis and most raw
requests. It ends with the differences between the live answers and openapi.yaml (`drift`).
"""

import contextlib
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from cavatica_upload.config import find_settings
from cavatica_upload.errors import ConfigError
from tests.contract import report
from tests.contract.answer import Answer, Broken
from tests.contract.client import LONGEST_WINDOW, ApiClient
from tests.contract.findings import Finding, Outcome, causes
from tests.contract.known_uploads import FAULTY, NAME_PREFIX, KnownUpload, KnownUploads
from tests.contract.live.drift import Drift, Drifted, read_baseline, write_baseline
from tests.contract.model.asserts import pages
from tests.contract.model.model import Context
from tests.contract.model.run import play
from tests.contract.options import Options, UsageError, check_target
from tests.contract.requests import bodies, headers, lists, paths, storage
from tests.contract.requests.client import RawClient, try_claims
from tests.contract.rules import NEVER_COUNTED, RATE_HEADERS
from tests.contract.server import Target


def refusals(raw: RawClient) -> None:
    """Refused are a wrong token, a wrong method, a bad part number, a report without parts, and another media type."""
    upload = raw.known.start(11).id
    raw.api.call("getRateLimit", token="0" * 32).expect(401)
    raw.api.send("PUT", f"/files/{raw.known.place['parent']}").expect(405)
    raw.api.call("getPartUrl", upload_id=upload, part_number=10001).expect(400)
    raw.api.call("reportUploadedParts", upload_id=upload, body={}).expect(400)
    path = f"/upload/multipart/{upload}/part"
    raw.api.send("POST", path, data=b"{}", headers={"Content-Type": "text/plain"}).expect(415)


# Claims of the raw requests that a live platform can bear: few calls, and nothing that a client does not do.
CLAIMS: Final = (
    headers.the_project, lists.one_upload_everywhere, bodies.bulk_equals_one_by_one, refusals, storage.missing_parts,
    storage.own_part_only, lists.one_file_everywhere, lists.names_are_free_again, headers.after_the_end,
    lists.page_links, paths.overwrite_spellings,
)  # fmt: skip
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
        visit.look(options.seed)
    except KeyboardInterrupt:
        interrupted = True
        say("Interrupted. Deleting what was made; please wait.")
    except Broken as error:
        first = Outcome("first steps", own=False)
        first.found("the visit can begin", Finding.of(error, visit.api.trace))
        visit.outcomes.append(first)
    with _signals(SIGINT=signal.SIG_IGN, SIGTERM=signal.SIG_IGN, SIGHUP=signal.SIG_IGN):
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


class RateBudget:
    """Waits before a call that would use more than our share of the rate limit.

    `reserve` returns the number of calls that the cleanup needs; they are kept back. `sleep` and `clock` are for tests.
    """

    def __init__(
        self,
        share: float,
        reserve: Callable[[], int],
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share, self._reserve, self._say = share, reserve, say
        self._clock, self._sleep = clock, sleep
        self._limit = self._remaining = self._reset = 0
        self.lowest: int | None = None
        self.used = 0
        self.refused = 0
        self.cleaning = False

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def floor(self) -> int:
        """The calls of a window that belong to others."""
        return self._limit - int(self._limit * self._share)

    def before(self, operation: str | None) -> None:
        """Wait for the next window if our share of this one is used up."""
        if operation == NEVER_COUNTED or not self._limit:
            return
        kept = 0 if self.cleaning else self._reserve()
        if self._remaining - kept > self.floor or self._clock() >= self._reset:
            return
        seconds = min(self._reset - self._clock() + 1, LONGEST_WINDOW)
        self._say(
            f"{self._remaining} of {self._limit} calls are left: {self.floor} belong to others, {kept} are for the "
            f"cleanup. Waiting {seconds:.0f} s."
        )
        self._sleep(seconds)

    def observe(self, answer: Answer) -> None:
        """Read the headers of an answer."""
        self.used += answer.operation is None or answer.operation.id != NEVER_COUNTED
        self.refused += answer.status == 429
        if all(answer.headers.get(name, "").isdecimal() for name in RATE_HEADERS):
            self._limit, self._remaining, self._reset = (int(answer.headers[name]) for name in RATE_HEADERS)
            if self._reset > 100_000_000_000:
                self._reset //= 1000  # an example of the platform's is in milliseconds
            self.lowest = self._remaining if self.lowest is None else min(self.lowest, self._remaining)


class Cleanup:
    """Deletes what a visit made, also uploads whose start was not answered: these are found by their names."""

    def __init__(self, known: KnownUploads) -> None:
        self.known = known

    def __len__(self) -> int:
        """The calls that the cleanup needs: one for each thing, and some to list what is left."""
        open_uploads = sum(not upload.ended for upload in self.known.uploads.values())
        return open_uploads + len(self.known.files) + len(self.known.folders) + 5

    def clean(self) -> list[str]:
        """Delete everything. Returns what could not be deleted."""
        for upload_id in self._lost():
            self.known.uploads[upload_id] = KnownUpload(upload_id, None, 1)
        return self.known.tidy() + [f"upload {upload_id} is still listed" for upload_id in self._lost()]

    def _lost(self) -> list[str]:
        """Uploads of this visit that the platform lists and that are not known here."""
        try:
            listed = pages(self.known.api, "listUploads", 100, "upload_id")
            prefix = f"{NAME_PREFIX}{self.known.run}-"
            mine = [item["upload_id"] for item in listed if str(item.get("name", "")).startswith(prefix)]
        except FAULTY:
            return []
        return [upload_id for upload_id in mine if upload_id not in self.known.uploads]


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
            try_claims(RawClient(self.target, self.api, self.known), CLAIMS, walk)
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


@contextlib.contextmanager
def _signals(**handlers: Any) -> Iterator[None]:
    """Handle signals in this way during a block."""
    before = {name: signal.signal(signal.Signals[name], handler) for name, handler in handlers.items()}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(signal.Signals[name], handler)
