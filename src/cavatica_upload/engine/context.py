"""The state that all uploads share, and the stop: it first lets parts end, then drops them."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs

from cavatica_upload.api import Api
from cavatica_upload.api.records import Upload
from cavatica_upload.errors import ApiError, ConnectionFailed, Interrupted, UnexpectedAnswer, UploadGone
from cavatica_upload.events import Emitter, FileKey, Notice, OutageWatch
from cavatica_upload.journal.journal import Journal
from cavatica_upload.journal.records import Entry
from cavatica_upload.plan import WINDOW_SECONDS, size_text
from cavatica_upload.timing import ServerClock, Timing


@attrs.define(eq=False)
class Stop:
    """A request to stop, and the events that follow from it.

    `request()` may be called from a signal handler: it takes no lock. From then on nothing is started or completed. The
    engine's clock turns the request into events (`apply`): `stopping` wakes those who wait; `dropping` ends parts in
    flight, `within` seconds later; `abandoning`, `final_calls` seconds after that, ends everything else.
    A request `at_once` sets all three.
    """

    within: float = 10.0
    final_calls: float = 5.0
    stopping: threading.Event = attrs.field(factory=threading.Event, init=False)
    dropping: threading.Event = attrs.field(factory=threading.Event, init=False)
    abandoning: threading.Event = attrs.field(factory=threading.Event, init=False)
    calls: threading.Event = attrs.field(init=False)
    requested: bool = attrs.field(default=False, init=False)
    at_once: bool = attrs.field(default=False, init=False)
    _since: float | None = attrs.field(default=None, init=False)
    _thread: threading.local = attrs.field(factory=threading.local, init=False)

    def __attrs_post_init__(self) -> None:
        self.calls = _CallsBlocked(self)

    def request(self, *, at_once: bool = False) -> None:
        self.at_once = self.at_once or at_once
        self.requested = True

    def apply(self, now: float) -> bool:
        """Set the events that are due at this moment of the monotonic clock; return whether one was not set before."""
        if not self.requested:
            return False
        self._since = now if self._since is None else self._since
        elapsed = float("inf") if self.at_once else now - self._since
        new = False
        for event, after in (
            (self.stopping, 0.0),
            (self.dropping, self.within),
            (self.abandoning, self.within + self.final_calls),
        ):
            if elapsed >= after and not event.is_set():
                event.set()
                new = True
        if self.abandoning.is_set():
            self.at_once = True
        return new

    @contextlib.contextmanager
    def allow_final_calls(self) -> Iterator[None]:
        """Let this thread make calls although the run is being stopped, as long as they need not wait."""
        self._thread.allowed = True
        try:
            yield
        finally:
            self._thread.allowed = False

    @property
    def blocked(self) -> bool:
        """Whether this thread may make no more API calls."""
        return self.at_once or (self.requested and not getattr(self._thread, "allowed", False))


class _CallsBlocked(threading.Event):
    """The `cancel` of the API client: set for all threads but those with final calls; a stop ends every wait."""

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self._stop = stop

    def is_set(self) -> bool:
        return self._stop.blocked

    def wait(self, timeout: float | None = None) -> bool:
        return self._stop.stopping.wait(timeout)


@attrs.define(kw_only=True)
class Context:
    """The API, the journal, the listeners, and the run's settings. Times are seconds."""

    api: Api
    journal: Journal
    state: Path
    events: Emitter
    outage: OutageWatch
    hashing: bool
    allow_http: bool
    calls_per_second: float
    expected_rate: float | None  # bytes per second that are expected of all machines together
    timing: Timing
    retry_for: float
    part_deadline: float
    file_deadline: float
    server_clock: ServerClock
    stop: Stop
    rate: float | None = attrs.field(default=None, init=False)  # bytes per second, as last measured
    _said_calls_limit: bool = attrs.field(default=False, init=False)

    @property
    def receipts(self) -> Path:
        return self.state / "receipts"

    @property
    def planned_rate(self) -> float | None:
        """Bytes per second to plan parts for."""
        return max((rate for rate in (self.rate, self.expected_rate) if rate), default=None)

    def say_if_calls_limit(self, part_size: int) -> None:
        """Emit a notice once if the rate limit does not allow the expected rate with parts of this size."""
        if self._said_calls_limit or (self.expected_rate or 0) <= part_size * self.calls_per_second:
            return
        self._said_calls_limit = True
        calls = round(self.calls_per_second * WINDOW_SECONDS)
        rate = size_text(part_size * self.calls_per_second)
        self.notice(
            None,
            f"{calls:,} API calls in 5 minutes allow {rate}/s with parts of {size_text(part_size)}. "
            "If this run needs more calls, they limit its speed.",
        )

    def notice(self, file: FileKey | None, text: str) -> None:
        """Emit something that the user may want to know."""
        self.events.emit(Notice(file, text))

    def open_upload(self, upload_id: str, *, list_parts: bool = False) -> Upload:
        """Return what the server says of an open upload, with its parts if `list_parts`; raises UploadGone.

        An answer of success that cannot be read says at least that it is open: all else is then unknown.
        """
        try:
            return self.api.get_upload(upload_id, list_parts=list_parts)
        except UnexpectedAnswer as error:
            if not 200 <= (error.status or 0) < 300:
                raise
            return Upload(upload_id=upload_id)

    def abort(self, file: FileKey, entry: Entry) -> None:
        """Abort a useless upload and delete it from the journal; if that fails, the next run tries again."""
        try:
            with contextlib.suppress(UploadGone):
                self.api.abort_upload(entry.upload_id)
        except (ApiError, ConnectionFailed, Interrupted):
            self.journal.update(entry, abandoned=True)
            self.notice(
                file,
                f"The upload {entry.upload_id} could not be aborted and stays open. Abort it with “cavatica uploads "
                f"abort {entry.upload_id}”.",
            )
        else:
            self.journal.forget(entry)


def pause(context: Context, seconds: float) -> None:
    """Wait; raises Interrupted if the run is stopped meanwhile."""
    if context.stop.stopping.wait(seconds):
        raise Interrupted.while_waiting("another try")
