"""Upload files: one, or as many as there are, over one pool of threads."""

import os
import queue
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, Self, TypedDict, Unpack

import httpx

from cavatica_client import AuthenticatedClient
from cavatica_upload import md5
from cavatica_upload.api import Api
from cavatica_upload.budget.calls import CallBudget
from cavatica_upload.clock import ServerClock
from cavatica_upload.config import find_settings
from cavatica_upload.connection import connect
from cavatica_upload.destination import Destination
from cavatica_upload.engine.announcer import Announcer
from cavatica_upload.engine.concurrency import START, START_SIDE_BY_SIDE, Concurrency
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.engine import Engine
from cavatica_upload.engine.run import Run
from cavatica_upload.engine.stopping import Stop
from cavatica_upload.errors import Interrupted, UsageError
from cavatica_upload.events import Listener, Notice
from cavatica_upload.journal.journal import Journal
from cavatica_upload.journal.journal import state_dir as find_state_dir
from cavatica_upload.plan import CALLS_PER_SECOND
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import DigestName, IfChanged, IfExists, Outcome, UploadRequest
from cavatica_upload.storage.put import Storage
from cavatica_upload.storage.throttle import Throttle
from cavatica_upload.timing import Timing

__all__ = ["DigestName", "IfChanged", "IfExists", "Outcome", "UploadOptions", "UploadRequest", "Uploader"]

LOOK = 0.1  # seconds between looks whether the run was stopped
LAST_WORDS = 1.0  # seconds for threads to end once everything is dropped
CLOSING = 10.0  # seconds for threads to end otherwise


class UploadOptions(TypedDict, total=False):
    """The keyword arguments of `upload()`: the fields of UploadRequest."""

    name: str | None
    part_size: int | None
    if_exists: IfExists
    digest: DigestName | None
    md5: str | None
    changed: IfChanged
    resume_id: str | None
    wait: bool
    key: str


class Uploader:
    """Uploads files over one pool of threads, one connection pool and one budget of API calls.

    A context manager; may be used from several threads. `token`, `endpoint` and `profile` are found as `connect()`
    finds them, or `client` (made by `connect()`) brings them along. `jobs` fixes the number of parts in flight
    (default: adapts between 1 and 32), `bwlimit` caps the sum of all parts in bytes per second, `verify=False` takes
    no MD5s. `state_dir` is where the journal, the receipts and the shared call budget live (default:
    `CAVATICA_STATE_DIR`, else the user's state directory). `share` is the share of the call budget, for runs that
    are spread over several machines. Deadlines are in seconds; None means none.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        endpoint: str | None = None,
        profile: str | None = None,
        client: AuthenticatedClient | None = None,
        jobs: int | None = None,
        bwlimit: float | None = None,
        verify: bool = True,
        state_dir: str | os.PathLike[str] | None = None,
        listeners: Sequence[Listener] = (),
        share: float = 1.0,
        part_deadline: float | None = 3600.0,
        file_deadline: float | None = None,
        allow_http: bool = False,
        timing: Timing | None = None,
    ) -> None:
        if jobs is not None and not 1 <= jobs <= 64:
            raise UsageError(f"jobs={jobs}: between 1 and 64 parts can be in flight.")
        if bwlimit is not None and not bwlimit > 0:
            raise UsageError(f"bwlimit={bwlimit}: a limit is more than 0 bytes per second.")
        start = START_SIDE_BY_SIDE if verify and md5.implementation() == "lanes" else START
        state = find_state_dir(state_dir)
        announcer = Announcer(listeners)
        self._stop = Stop()
        self._own_client = client is None
        if client is None:
            settings = find_settings(token, endpoint, profile, allow_http=allow_http)
            for text in settings.notices:
                announcer.tell(Notice(None, text))
            budget = CallBudget(
                state / "budget.sqlite",
                CallBudget.key_for(settings.endpoint, settings.token),
                share=share,
                listener=announcer.tell,
            )
            client = connect(
                settings.token,
                settings.endpoint,
                budget=budget,
                on_retry=announcer.tell,
                cancel=self._stop.calls,
                allow_http=allow_http,
            )
        self._client = client
        api = Api(client, on_drift=announcer.tell)
        self._context = Context(
            api=api,
            endpoint=api.endpoint,
            journal=Journal(state, lambda text: announcer.tell(Notice(None, text))),
            state=state,
            announcer=announcer,
            hashing=verify,
            calls_per_second=CALLS_PER_SECOND * share,
            server_clock=ServerClock(),
            stop=self._stop,
        )
        self._watch_clock(client.get_httpx_client())
        self._engine = Engine(
            self._context,
            Storage(hashing=verify, timing=timing),
            Concurrency(jobs, start=start),
            throttle=Throttle(bwlimit, wait=self._stop.dropping.wait) if bwlimit is not None else None,
            part_deadline=part_deadline,
            file_deadline=file_deadline,
        )

    def _watch_clock(self, client: httpx.Client) -> None:
        clock = self._context.server_clock
        client.event_hooks["response"].append(lambda answer: clock.observe(answer.headers.get("Date")))

    @property
    def api(self) -> Api:
        """The API, over this uploader's connections and budget."""
        return self._context.api

    def listen(self, listener: Listener) -> None:
        """Call this listener too, from now on."""
        self._context.announcer.add(listener)

    def upload(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        destination: Destination | str,
        **options: Unpack[UploadOptions],
    ) -> Receipt | None:
        """Upload one file and return its receipt; None where `if_exists="skip"` left it alone.

        `options` are the fields of UploadRequest. Raises the errors of cavatica_upload.errors; Interrupted after
        cancel(). After KeyboardInterrupt what is in flight is finished and reported before it is raised on; a second
        one ends that, too.
        """
        request = UploadRequest(source=source, destination=destination, **options)
        for outcome in self.upload_many([request]):
            if outcome.error is not None:
                raise outcome.error
            return outcome.receipt
        raise Interrupted(f"The upload of {request.key} was interrupted.", "Run the same again.")

    def upload_many(self, requests: Iterable[UploadRequest]) -> Iterator[Outcome]:
        """Upload files over one pool and yield how each ended, in the order in which they end.

        `requests` is read a few thousand at a time, so that it may be endless. A failed file does not stop the
        others; after a fatal answer (token refused, project gone) the rest ends with that error, unsent.
        """
        run = Run(requests)
        self._engine.begin(run)
        try:
            while True:
                self._feed(run)
                outcome = self._next(run)
                if outcome is None:
                    return
                yield outcome
        except KeyboardInterrupt:
            self._wind_up(run)
            raise
        finally:
            self._engine.finish(run)

    def _feed(self, run: Run) -> None:
        if not run.exhausted and not self._stop.wished:
            self._engine.feed(run)

    def _next(self, run: Run) -> Outcome | None:
        """Wait for a file to end; None when there will be no other."""
        while True:
            over = run.over or (self._stop.wished > 0 and not run.under_way)
            try:
                return run.outcomes.get(timeout=LOOK)
            except queue.Empty:
                if over:
                    return None
                if self._stop.dropping.is_set():
                    self._engine.abandon(run)

    def _wind_up(self, run: Run) -> None:
        """End a run gently after Ctrl-C; a second one ends it at once."""
        try:
            self.cancel()
            while run.under_way:
                self._next(run)
        except KeyboardInterrupt:
            self.cancel(at_once=True)

    def cancel(self, at_once: bool = False) -> None:
        """Stop: take no new parts, let those in flight finish, report them; `at_once` drops what is in flight too.

        May be called from any thread and from a signal handler. Unfinished uploads stay open on the server and raise
        (or end with) Interrupted, whose hint says how to resume. The uploader takes nothing new afterwards.
        """
        self._stop.wish(at_once=at_once)

    def close(self) -> None:
        """Stop the threads and close the connections; uploads under way are interrupted."""
        self._engine.close(LAST_WORDS if self._stop.wished > 1 else CLOSING)
        self._context.journal.close()
        if self._own_client:
            self._client.get_httpx_client().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
