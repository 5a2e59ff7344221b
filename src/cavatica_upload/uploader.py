"""Uploads one file or many, with shared threads and connections."""

import functools
import inspect
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, BinaryIO, Literal, NoReturn, Self, TypeAlias, TypedDict, TypeVar, Unpack, overload

import attrs
import httpx
from attrs.validators import optional

from cavatica_upload import md5
from cavatica_upload.api import Api
from cavatica_upload.api.client import connect
from cavatica_upload.api.rate_limit import RateLimiter
from cavatica_upload.batch.placement import Placement
from cavatica_upload.destination import Destination
from cavatica_upload.disk import state_dir as find_state_dir
from cavatica_upload.engine.concurrency import QUICK_LIMIT, QUICK_LIMIT_OF_LANES, Concurrency
from cavatica_upload.engine.context import Context, Stop
from cavatica_upload.engine.engine import Engine, Run
from cavatica_upload.engine.parts import PartPool
from cavatica_upload.engine.send_part import PartSender
from cavatica_upload.errors import Interrupted, UsageError, check_kind, is_number
from cavatica_upload.events import Emitter, Event, Listener, Notice, OutageWatch, Retrying
from cavatica_upload.journal.journal import Journal
from cavatica_upload.plan import CALLS_PER_SECOND
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import FLAG, Field, IfExists, Outcome, UploadOptions, UploadRequest, Validator, of_kind
from cavatica_upload.storage import Storage, Throttle
from cavatica_upload.timing import ServerClock, Timing

Source: TypeAlias = str | os.PathLike[str] | BinaryIO
Place: TypeAlias = Destination | str
NotSkip: TypeAlias = Literal["fail", "overwrite", "rename"]
Function = TypeVar("Function", bound=Callable[..., Any])


class UploaderOptions(TypedDict, total=False):
    """The keyword arguments of Uploader."""

    token: str | None
    endpoint: str | None
    profile: str | None
    client: Api | None
    jobs: int | None
    bwlimit: float | None
    verify: bool
    state_dir: str | os.PathLike[str] | None
    listeners: Sequence[Listener]
    share: float
    part_deadline: float | None
    file_deadline: float | None
    retry_for: float
    stop_within: float
    executor: Executor | None
    expected_rate: float | None
    allow_http: bool
    timing: Timing | None


def with_options_of(*takers: Callable[..., Any]) -> Callable[[Function], Function]:
    """Show in a function's signature the keyword arguments that it passes on to `takers`."""

    def show(function: Function) -> Function:
        signature = inspect.signature(function)
        shown = {name: one for name, one in signature.parameters.items() if one.kind is not one.VAR_KEYWORD}
        for taker in takers:
            for name, one in inspect.signature(taker).parameters.items():
                if one.kind is one.KEYWORD_ONLY and name not in (*shown, "context", "regular"):
                    shown[name] = one.replace(default={} if one.default is attrs.NOTHING else one.default)
        function.__signature__ = signature.replace(parameters=list(shown.values()))  # type: ignore[attr-defined]
        return function

    return show


def _number(rule: str, fits: Callable[[float], bool]) -> Validator:
    def check(_uploader: object, field: Field, value: Any) -> None:
        if not (is_number(value) and fits(value)):
            raise UsageError(f"{field.alias}={value!r}: {rule}")

    return check


_JOBS: Validator = optional(_number("between 1 and 64 parts can be in flight.", lambda jobs: jobs in range(1, 65)))
_RATE: Validator = optional(_number("a rate is more than 0 bytes per second.", lambda rate: rate > 0))
_DEADLINE: Validator = optional(_number("a deadline is more than 0 seconds, or None.", lambda seconds: seconds > 0))
_SECONDS: Validator = _number("a time is 0 seconds or more.", lambda seconds: seconds >= 0)
_SHARE: Validator = _number("a share of the calls is more than 0, and at most 1.", lambda share: 0 < share <= 1)


def _check_folder(_uploader: object, _field: Field, value: object) -> None:
    check_kind(str | os.PathLike | None, "a path", state_dir=value)
    if "\0" in str(value):
        raise UsageError(f"state_dir={value!r} is not a path.")


def _check_listeners(_uploader: object, _field: Field, value: object) -> None:
    if not isinstance(value, Iterable) or not all(map(callable, value)):
        raise UsageError(f"listeners={value!r}: a list of functions is needed.")


def _check_executor(_uploader: object, _field: Field, value: object) -> None:
    if value is not None and not hasattr(value, "submit"):
        raise UsageError(f"executor={value!r}: an Executor like those of concurrent.futures is needed.")


@attrs.define(kw_only=True, slots=False, eq=False, repr=False)
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

    # Each alias is written out because type checkers other than mypy do not know that attrs drops the underscore.
    _token: str | None = attrs.field(default=None, alias="token")
    _endpoint: str | None = attrs.field(default=None, alias="endpoint")
    _profile: str | None = attrs.field(default=None, alias="profile")
    _client: Api | None = attrs.field(
        default=None, validator=of_kind(Api | None, "a client made by connect()"), alias="client"
    )
    _jobs: int | None = attrs.field(default=None, validator=_JOBS, alias="jobs")
    _bwlimit: float | None = attrs.field(default=None, validator=_RATE, alias="bwlimit")
    _verify: bool = attrs.field(default=True, validator=FLAG, alias="verify")
    _state_dir: str | os.PathLike[str] | None = attrs.field(default=None, validator=_check_folder, alias="state_dir")
    _listeners: Sequence[Listener] = attrs.field(default=(), validator=_check_listeners, alias="listeners")
    _share: float = attrs.field(default=1.0, validator=_SHARE, alias="share")
    _part_deadline: float | None = attrs.field(default=3600.0, validator=_DEADLINE, alias="part_deadline")
    _file_deadline: float | None = attrs.field(default=None, validator=_DEADLINE, alias="file_deadline")
    _retry_for: float = attrs.field(default=300.0, validator=_SECONDS, alias="retry_for")
    _stop_within: float = attrs.field(default=10.0, validator=_SECONDS, alias="stop_within")
    _executor: Executor | None = attrs.field(default=None, validator=_check_executor, alias="executor")
    _expected_rate: float | None = attrs.field(default=None, validator=_RATE, alias="expected_rate")
    _allow_http: bool = attrs.field(default=False, validator=FLAG, alias="allow_http")
    _timing: Timing | None = attrs.field(default=None, validator=of_kind(Timing | None, "a Timing"), alias="timing")

    def __attrs_post_init__(self) -> None:
        timing = self._timing or Timing()
        state = find_state_dir(self._state_dir)
        self._process = os.getpid()
        self._closed = False
        self._events = events = Emitter(self._listeners)
        self._stop = Stop(within=self._stop_within, final_calls=timing.final_calls)
        outage = OutageWatch(events, timing, time.monotonic)
        server_clock = ServerClock()

        def on_event(event: Event) -> None:
            if isinstance(event, Retrying):
                outage.failed(event.reason)
            events.emit(event)

        def on_answer(answer: httpx.Response) -> None:
            outage.answered()
            server_clock.observe(answer.headers.get("Date"))

        if self._client is not None:
            api = self._client.with_drift_listener(events.emit)
        else:
            api = connect(
                self._token,
                self._endpoint,
                profile=self._profile,
                retry_for=self._retry_for,
                rate_limiter=RateLimiter(share=self._share, timing=timing),
                on_event=on_event,
                cancel=self._stop.calls,
                allow_http=self._allow_http,
                timing=timing,
            )
            self._token = None  # the client keeps it, hidden
        api.get_httpx_client().event_hooks["response"].append(on_answer)
        self._context = context = Context(
            api=api,
            journal=Journal(state, lambda text: events.emit(Notice(None, text))),
            state=state,
            events=events,
            outage=outage,
            hashing=self._verify,
            allow_http=self._allow_http,
            calls_per_second=CALLS_PER_SECOND * self._share,
            expected_rate=self._expected_rate,
            timing=timing,
            retry_for=self._retry_for,
            part_deadline=float("inf") if self._part_deadline is None else self._part_deadline,
            file_deadline=float("inf") if self._file_deadline is None else self._file_deadline,
            server_clock=server_clock,
            stop=self._stop,
        )
        side_by_side = self._verify and md5.implementation() == "lanes"
        concurrency = Concurrency(
            self._jobs, quick_limit=QUICK_LIMIT_OF_LANES if side_by_side else QUICK_LIMIT, timing=timing
        )
        workers = None
        if self._executor is not None:
            from cavatica_upload.engine.workers import Workers

            workers = Workers(
                self._executor,
                functools.partial(context.notice, None),
                patience=self._retry_for,
                expected_rate=self._expected_rate,
            )
            workers.watch()
        rate = float("inf") if self._bwlimit is None else self._bwlimit
        throttle = Throttle(rate, wait=self._stop.dropping.wait)
        storage = Storage(hashing=self._verify, timing=timing)
        sender = PartSender(context, PartPool(context, concurrency), storage, throttle, workers)
        self._engine = Engine(context, sender)

    def _check_usable(self) -> None:
        if self._closed:
            raise UsageError("This Uploader is closed.", "Make a new one, and upload inside of its “with” block.")
        if os.getpid() != self._process:
            raise UsageError(
                "This Uploader was made before the process was forked, and its threads are in the parent process.",
                "Make a new Uploader in the child process.",
            )

    @property
    def api(self) -> Api:
        """The API, with the connections and the rate limit of this uploader."""
        self._check_usable()
        return self._context.api

    def listen(self, listener: Listener) -> None:
        """Add a listener: it is called with each event from now on."""
        self._check_usable()
        self._events.listen(listener)

    @overload
    def upload(
        self, source: Source, destination: Place, *, if_exists: NotSkip = "fail", **options: Unpack[UploadOptions]
    ) -> Receipt: ...
    @overload
    def upload(
        self, source: Source, destination: Place, *, if_exists: IfExists, **options: Unpack[UploadOptions]
    ) -> Receipt | None: ...
    @with_options_of(UploadRequest)
    def upload(
        self, source: Source, destination: Place, *, if_exists: IfExists = "fail", **options: Unpack[UploadOptions]
    ) -> Receipt | None:
        """Upload one file and return its receipt; None if `if_exists="skip"` left it alone.

        The options are the fields of UploadRequest. Raises the errors of cavatica_upload.errors; Interrupted after
        cancel(). On KeyboardInterrupt, nothing more is completed. Parts in flight get `stop_within` seconds to end and
        are reported; then the exception is raised. A second KeyboardInterrupt drops them immediately.
        """
        request = UploadRequest(source=source, destination=destination, if_exists=if_exists, **options)
        for outcome in self.upload_many([request]):
            if outcome.error is not None:
                raise outcome.error
            return outcome.receipt
        raise Interrupted(f"The upload of {request.key} was interrupted.", "Upload it again to resume.")

    def upload_many(self, requests: Iterable[UploadRequest]) -> Iterator[Outcome]:
        """Upload files and yield the outcome of each, in the order in which they end.

        `requests` is read at most a few thousand ahead, so it may be endless. A failed file does not stop the others.
        After a fatal error (token refused, project gone) the remaining files are not sent and end with that error. A
        file with metadata or tags waits up to 10 seconds for others, so that one call serves up to 100 files. If that
        call fails, the outcome has both a receipt and an error. After `cancel()`, requests that were not read yet have
        no outcome.
        """
        self._check_usable()
        if isinstance(requests, str | UploadRequest) or not isinstance(requests, Iterable):
            raise UsageError(
                f"upload_many() takes a list of UploadRequests, and got {type(requests).__name__}.",
                "Put a single request into a list; requests_for() makes requests from paths.",
            )
        context = self._context
        if context.events.calling:
            raise UsageError(
                "A listener cannot upload with the Uploader that calls it: the upload would never end.",
                "Upload after the event, or with another Uploader.",
            )
        placement = Placement(context.api, context.receipts, context.events.emit, context.timing.describing)
        run = Run(placement.placed(requests))
        self._engine.add(run)
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
            self._engine.remove(run)

    def _wind_up(self, run: Run) -> None:
        """Wait for the parts in flight after Ctrl-C; a second Ctrl-C drops them."""
        try:
            self.cancel()
            while not run.over:
                run.wait()
        except KeyboardInterrupt:
            self.cancel(at_once=True)

    def cancel(self, at_once: bool = False) -> None:
        """Stop: start no file, complete no upload, and report the stored parts.

        Parts in flight get `stop_within` seconds to end, then they are dropped; `at_once` drops them immediately. May
        be called from any thread and from a signal handler. Unfinished uploads stay open on the server and end with
        Interrupted, whose hint says how to resume. Afterwards this uploader accepts no more files.
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
