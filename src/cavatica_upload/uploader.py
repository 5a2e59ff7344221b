"""Upload one file or many, with shared threads and connections."""

import asyncio
import functools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, BinaryIO, Literal, NoReturn, Self, TypeAlias, Unpack, overload

import httpx

from cavatica_upload import md5
from cavatica_upload.api import Api
from cavatica_upload.api.client import connect
from cavatica_upload.api.rate_limit import RateLimiter
from cavatica_upload.batch.placement import Placement
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
from cavatica_upload.storage import Storage, Throttle
from cavatica_upload.timing import ServerClock, Timing, full_jitter

Source: TypeAlias = str | os.PathLike[str] | BinaryIO


class Uploader:
    """Uploads files with one pool of threads, one pool of connections and one limit of API calls.

    It is a context manager, and several threads may use it.

    - `token`, `endpoint`, `profile`: as in `connect()`. A `client` made by `connect()` replaces all three.
    - `jobs`: the number of parts in flight; by default it adapts between 1 and 32.
    - `bwlimit`: the most bytes per second of all parts together.
    - `verify=False`: compute no MD5s.
    - `state_dir`: the folder of the journal and the receipts. Default: `CAVATICA_STATE_DIR`, else the user's state
      directory.
    - `listeners`: functions that are called with each event.
    - `share`: the share of the API calls that this uploader may use, for runs on several machines.
    - `part_deadline`, `file_deadline`: the most seconds for a part or a file; None for no limit.
    - `retry_for`: how many seconds a part or a call is retried if nothing answers.
    - `stop_within`: how many seconds the parts in flight may take to end after a stop.
    - `executor`: any concurrent.futures.Executor (processes, Dask, Parsl, …). Its workers send the parts of files on
      disk, which they must see at the same paths. API calls, the token and the journal stay in this process. `bwlimit`
      does not apply to workers. If a worker fails, another worker or this process sends the part.
    - `expected_rate`: parts are planned large enough for this many bytes per second within the limit of API calls.
      Default: 64 MiB/s for each worker, or the measured rate if it is higher.

    An Uploader can be used only in the process that made it: after a fork its methods raise UsageError.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        endpoint: str | None = None,
        profile: str | None = None,
        client: Api | None = None,
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
            verify=verify,
            allow_http=allow_http,
            client=client,
            timing=timing,
            state_dir=state_dir,
        )
        timing = timing or Timing()
        state = find_state_dir(state_dir)
        self._process = os.getpid()
        self._closed = False
        self._events = events = Emitter(listeners)
        self._stop = Stop(within=stop_within, final_calls=timing.final_calls)
        clock = time.monotonic
        outage = OutageWatch(events, timing, clock)

        def on_event(event: Event) -> None:
            if isinstance(event, Retrying):
                outage.failed(event.reason)
            events.emit(event)

        if client is not None:
            api = client.with_drift_listener(events.emit)
        else:
            api = connect(
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

        api.get_httpx_client().event_hooks["response"].append(answered)
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
        cancel(). On KeyboardInterrupt, nothing more is completed. Parts in flight get `stop_within` seconds to end and
        are reported; then the exception is raised. A second KeyboardInterrupt drops them at once.
        """
        request = UploadRequest(source=source, destination=destination, if_exists=if_exists, **options)
        for outcome in self.upload_many([request]):
            if outcome.error is not None:
                raise outcome.error
            return outcome.receipt
        raise Interrupted(f"The upload of {request.key} was interrupted.", "Run the same again.")

    def upload_many(self, requests: Iterable[UploadRequest]) -> Iterator[Outcome]:
        """Upload files and yield the outcome of each, in the order in which they end.

        `requests` is read at most a few thousand ahead, so it may be endless. A failed file does not stop the others.
        After a fatal error (token refused, project gone) the remaining files are not sent and end with that error. A
        file with metadata or tags waits up to 10 seconds for others, so that one call serves up to 100 files. If that
        call fails, the outcome has both a receipt and an error.
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
        """Wait for the parts in flight after Ctrl-C; a second Ctrl-C drops them."""
        try:
            self.cancel()
            while run.under_way:
                run.wait()
        except KeyboardInterrupt:
            self.cancel(at_once=True)

    def cancel(self, at_once: bool = False) -> None:
        """Stop: start no file, complete no upload, and report the stored parts.

        Parts in flight get `stop_within` seconds to end, then they are dropped; `at_once` drops them now. May be called
        from any thread and from a signal handler. Unfinished uploads stay open on the server. They raise Interrupted,
        or end with it; its hint says how to resume. This uploader accepts no more files afterwards.
        """
        self._stop.request(at_once=at_once)

    def close(self) -> None:
        """Stop the threads and close the connections. Unfinished uploads are interrupted."""
        if os.getpid() != self._process:
            return  # after a fork: the parent closes it
        self._closed = True
        closing = self._context.timing.closing
        self._engine.close(closing / 10 if self._stop.at_once else closing)
        self._context.journal.close()
        self._context.api.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("An Uploader has connections and threads and cannot be pickled: make one in the other process.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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

    If the task is cancelled, the parts in flight are dropped, and the upload can be resumed. Listeners are called in
    other threads than that of the event loop.
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
