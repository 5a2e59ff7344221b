"""Upload files: one, or as many as there are, over one pool of threads."""

import asyncio
import functools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, BinaryIO, Literal, NoReturn, Self, TypeAlias, Unpack, overload

import httpx

from cavatica_client import AuthenticatedClient
from cavatica_upload import md5
from cavatica_upload.api import Api
from cavatica_upload.api.client import connect
from cavatica_upload.api.rate_limit import RateLimiter
from cavatica_upload.batch.requests import Placement
from cavatica_upload.clock import ServerClock
from cavatica_upload.destination import Destination
from cavatica_upload.disk import state_dir as find_state_dir
from cavatica_upload.engine.concurrency import QUICK_LIMIT, QUICK_LIMIT_SIDE_BY_SIDE, Concurrency
from cavatica_upload.engine.context import Context, Stop
from cavatica_upload.engine.engine import Engine
from cavatica_upload.engine.parts import PartPool
from cavatica_upload.engine.run import Run
from cavatica_upload.engine.workers import Workers
from cavatica_upload.errors import Interrupted, UsageError
from cavatica_upload.events import Emitter, Event, Listener, Notice, OutageWatch, Retrying
from cavatica_upload.journal.journal import Journal
from cavatica_upload.options import Options, UploaderOptions, UploadOptions, check_options, with_options_of
from cavatica_upload.plan import CALLS_PER_SECOND
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import IfExists, Outcome, UploadRequest
from cavatica_upload.storage.put import Storage, Throttle
from cavatica_upload.timing import Timing, full_jitter

Source: TypeAlias = str | os.PathLike[str] | BinaryIO


class Uploader:
    """Uploads files over one pool of threads, one connection pool and one limit of API calls.

    A context manager; may be used from several threads. `token`, `endpoint` and `profile` are found as `connect()`
    finds them, or `client` (made by `connect()`) brings them along. `jobs` fixes the number of parts in flight
    (default: adapts between 1 and 32), `bwlimit` caps the sum of all parts in bytes per second, `verify=False` takes
    no MD5s. `state_dir` is where the journal and the receipts live (default:
    `CAVATICA_STATE_DIR`, else the user's state directory). `share` is the share of the call budget, for runs that
    are spread over several machines. Deadlines are in seconds; None means none. `retry_for` is how many seconds a
    part or a call is tried again while nothing answers, `stop_within` how many parts in flight may take to end after
    a stop. With `executor` (any of concurrent.futures: processes, Dask, Parsl, …) its workers send the parts of files
    on disk that they see at the same paths, as many at a time as it has workers; calls of the API, the token and the
    journal stay here, and `bwlimit` does not hold for workers. What a worker fails with is sent by another, or from
    here. Parts are planned so that calls are not the limit at `expected_rate` bytes per second of all together
    (default: 64 MiB/s for each worker, and what is measured).

    An Uploader belongs to the process that made it: after a fork its methods raise UsageError.
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
        retry_for: float = 300.0,
        stop_within: float = 10.0,
        executor: Executor | None = None,
        expected_rate: float | None = None,
        allow_http: bool = False,
        timing: Timing | None = None,
    ) -> None:
        check_options(
            jobs=jobs,
            bwlimit=bwlimit,
            expected_rate=expected_rate,
            part_deadline=part_deadline,
            file_deadline=file_deadline,
            retry_for=retry_for,
            stop_within=stop_within,
            share=share,
            listeners=listeners,
            executor=executor,
        )
        timing = timing or Timing()
        state = find_state_dir(state_dir)
        self._process = os.getpid()
        self._closed = False
        self._events = events = Emitter(listeners)
        self._stop = Stop(within=stop_within, final_calls=timing.final_calls)
        self._own_client = client is None
        clock = time.monotonic
        outage = OutageWatch(events, timing, clock)

        def on_event(event: Event) -> None:
            if isinstance(event, Retrying):
                outage.failed(event.reason)
            events.emit(event)

        if client is None:
            client = connect(
                token,
                endpoint,
                profile=profile,
                retry_for=retry_for,
                rate_limiter=RateLimiter(share=share, timing=timing),
                on_event=on_event,
                cancel=self._stop.calls,
                allow_http=allow_http,
                timing=timing,
            )
        self._client = client
        api = Api(client, on_drift=events.emit)
        self._context = context = Context(
            api=api,
            endpoint=api.endpoint,
            journal=Journal(state, lambda text: events.emit(Notice(None, text))),
            state=state,
            events=events,
            outage=outage,
            hashing=verify,
            allow_http=allow_http,
            calls_per_second=CALLS_PER_SECOND * share,
            expected_rate=expected_rate,
            clock=clock,
            timing=timing,
            backoff=functools.partial(full_jitter, first=timing.first_backoff, longest=timing.longest_backoff),
            retry_for=retry_for,
            file_deadline=file_deadline,
            server_clock=ServerClock(),
            stop=self._stop,
        )

        def answered(answer: httpx.Response) -> None:
            outage.answered()
            context.server_clock.observe(answer.headers.get("Date"))

        client.get_httpx_client().event_hooks["response"].append(answered)
        quick_limit = QUICK_LIMIT_SIDE_BY_SIDE if verify and md5.implementation() == "lanes" else QUICK_LIMIT
        concurrency = Concurrency(jobs, quick_limit=quick_limit, timing=timing)
        workers = None
        if executor is not None:
            workers = Workers(
                executor, functools.partial(context.notice, None), patience=retry_for, expected_rate=expected_rate
            )
            workers.watch()
        parts = PartPool(
            context,
            Storage(hashing=verify, timing=timing),
            concurrency,
            throttle=Throttle(bwlimit, wait=self._stop.dropping.wait) if bwlimit is not None else None,
            part_deadline=part_deadline,
            workers=workers,
        )
        self._engine = Engine(context, concurrency, parts)

    def _check_usable(self) -> None:
        if self._closed:
            raise UsageError("This Uploader is closed.", "Make a new one, and upload inside of its “with” block.")
        if os.getpid() != self._process:
            raise UsageError(
                "This Uploader was made before the process was forked: its threads and connections stayed behind.",
                "Make a new Uploader in the child process.",
            )

    @property
    def api(self) -> Api:
        """The API, over this uploader's connections and budget."""
        self._check_usable()
        return self._context.api

    def listen(self, listener: Listener) -> None:
        """Call this listener too, from now on."""
        self._check_usable()
        self._events.listen(listener)

    @overload
    def upload(
        self,
        source: Source,
        destination: Destination | str,
        *,
        if_exists: Literal["fail", "overwrite", "rename"] = "fail",
        **options: Unpack[UploadOptions],
    ) -> Receipt: ...
    @overload
    def upload(
        self, source: Source, destination: Destination | str, *, if_exists: IfExists, **options: Unpack[UploadOptions]
    ) -> Receipt | None: ...
    @with_options_of(UploadRequest)
    def upload(
        self,
        source: Source,
        destination: Destination | str,
        *,
        if_exists: IfExists = "fail",
        **options: Unpack[UploadOptions],
    ) -> Receipt | None:
        """Upload one file and return its receipt; None if `if_exists="skip"` left it alone.

        The options are the fields of UploadRequest. Raises the errors of cavatica_upload.errors; Interrupted after
        cancel(). After KeyboardInterrupt nothing is completed any more; what is in flight is finished and reported, for
        `stop_within` seconds at most, before it is raised on. A second one ends that, too.
        """
        request = UploadRequest(source=source, destination=destination, if_exists=if_exists, **options)
        for outcome in self.upload_many([request]):
            if outcome.error is not None:
                raise outcome.error
            return outcome.receipt
        raise Interrupted(f"The upload of {request.key} was interrupted.", "Run the same again.")

    def upload_many(self, requests: Iterable[UploadRequest]) -> Iterator[Outcome]:
        """Upload files over one pool and yield how each ended, in the order in which they end.

        `requests` is read a few thousand at a time, so that it may be endless. A failed file does not stop the
        others; after a fatal answer (token refused, project gone) the rest ends with that error, unsent. A file that is
        to get metadata or tags waits for others, 10 seconds at most, so that a call sets those of 100; if that fails,
        it ends with its receipt and an error.
        """
        self._check_usable()
        if isinstance(requests, str | UploadRequest) or not isinstance(requests, Iterable):
            raise UsageError(
                f"upload_many() takes many UploadRequests, and got {type(requests).__name__}.",
                "Put one into a list; requests_for() makes them of paths.",
            )
        context = self._context
        placement = Placement(context.api, context.receipts, context.events.emit, context.timing.describing)
        run = Run(placement.placed(requests))
        self._engine.begin(run)
        try:
            over = False
            while not over:
                self._engine.feed(run)
                ended, over = run.wait(placement.patience)
                yield from placement.described(ended, over=over)
        except KeyboardInterrupt:
            self._wind_up(run)
            raise
        finally:
            self._engine.finish(run)

    def _wind_up(self, run: Run) -> None:
        """End a run in order after Ctrl-C; a second one drops what is in flight."""
        try:
            self.cancel()
            while run.under_way:
                run.wait()
        except KeyboardInterrupt:
            self.cancel(at_once=True)

    def cancel(self, at_once: bool = False) -> None:
        """Stop: begin nothing and complete nothing any more; report what is stored.

        Parts in flight get `stop_within` seconds to end, then they are dropped; `at_once` drops them now. May be
        called from any thread and from a signal handler. Unfinished uploads stay open on the server and raise (or end
        with) Interrupted, whose hint says how to resume. The uploader takes nothing new afterwards.
        """
        self._stop.request(at_once=at_once)

    def close(self) -> None:
        """Stop the threads and close the connections; uploads under way are interrupted."""
        if os.getpid() != self._process:
            return  # the process that made it closes it
        self._closed = True
        closing = self._context.timing.closing
        self._engine.close(closing / 10 if self._stop.at_once else closing)
        self._context.journal.close()
        if self._own_client:
            self._client.get_httpx_client().close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("An Uploader has connections and threads, and cannot go to another process: make one there.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@overload
def upload(
    source: Source,
    destination: Destination | str,
    *,
    if_exists: Literal["fail", "overwrite", "rename"] = "fail",
    **options: Unpack[Options],
) -> Receipt: ...
@overload
def upload(
    source: Source, destination: Destination | str, *, if_exists: IfExists, **options: Unpack[Options]
) -> Receipt | None: ...
@with_options_of(UploadRequest, Uploader)
def upload(
    source: Source, destination: Destination | str, *, if_exists: IfExists = "fail", **options: Unpack[Options]
) -> Receipt | None:
    """Upload one file and return its receipt; None if `if_exists="skip"` left it alone.

    `destination` is "owner/name", a path of folders below it ("owner/name/run-7"), or the ID of a folder. The options
    are the fields of UploadRequest and the arguments of Uploader. For several files use an Uploader: it shares
    connections, threads and the call budget. Raises the errors of cavatica_upload.errors.
    """
    for_uploader, for_upload = _split(options)
    with Uploader(**for_uploader) as uploader:
        return uploader.upload(source, destination, if_exists=if_exists, **for_upload)


@overload
async def upload_async(
    source: Source,
    destination: Destination | str,
    *,
    if_exists: Literal["fail", "overwrite", "rename"] = "fail",
    **options: Unpack[Options],
) -> Receipt: ...
@overload
async def upload_async(
    source: Source, destination: Destination | str, *, if_exists: IfExists, **options: Unpack[Options]
) -> Receipt | None: ...
@with_options_of(UploadRequest, Uploader)
async def upload_async(
    source: Source, destination: Destination | str, *, if_exists: IfExists = "fail", **options: Unpack[Options]
) -> Receipt | None:
    """Upload one file in a thread and return its receipt, as `upload()` does.

    When the task is cancelled, what is in flight is dropped, and the upload can be resumed. Listeners are called in
    other threads than the event loop's.
    """
    for_uploader, for_upload = _split(options)
    uploader = await asyncio.to_thread(Uploader, **for_uploader)
    try:
        return await asyncio.to_thread(lambda: uploader.upload(source, destination, if_exists=if_exists, **for_upload))
    except asyncio.CancelledError:
        uploader.cancel(at_once=True)
        raise
    finally:
        await asyncio.shield(asyncio.to_thread(uploader.close))


def _split(options: Options) -> tuple[Any, Any]:
    """Return the arguments of Uploader and those of an upload."""
    own = {name: value for name, value in options.items() if name in UploaderOptions.__annotations__}
    return own, {name: value for name, value in options.items() if name not in own}
