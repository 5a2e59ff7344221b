"""Events, as frozen records: the uploader emits them, listeners receive them.

A listener is a callable of one argument. Listeners are called with one event at a time, from the uploader's own
threads: they need no lock. They should be quick, because the upload waits for them.
`file` is the key of a file in its run: the path as the caller gave it, or the name if there is no path.
No event holds a token or a signed URL.
"""

import logging
import threading
from collections.abc import Callable, Sequence

import attrs

from cavatica_upload.receipt import Receipt
from cavatica_upload.timing import Timing

FileKey = str

_log = logging.getLogger("cavatica_upload")


@attrs.frozen
class UploadStarted:
    """An upload is open on the server, new or resumed; its parts are sent next.

    `size` (bytes) and `parts` are None if the size is not known yet (a stream).
    `resumed_parts` and `resumed_bytes` were stored in an earlier run and are not sent again.
    """

    file: FileKey
    upload_id: str
    size: int | None
    part_size: int
    parts: int | None
    resumed_parts: int = 0
    resumed_bytes: int = 0


@attrs.frozen
class PartSent:
    """Storage has a part of `size` bytes and its answer was checked; `seconds` is the time of the last attempt."""

    file: FileKey
    number: int
    size: int
    seconds: float


@attrs.frozen
class PartRetried:
    """A part could not be sent and is retried after `delay` seconds; `attempt` is the number of the next attempt."""

    file: FileKey
    number: int
    attempt: int
    reason: str
    delay: float


@attrs.frozen
class BytesSent:
    """`count` more bytes of a file were sent to storage since the last such event.

    Emitted a few times a second. If a part has to be sent again, `count` is negative: the bytes of the failed attempt
    are subtracted, so that the sum over a file is always what storage has or is receiving.
    """

    file: FileKey
    count: int


@attrs.frozen
class PartsReported:
    """`count` more parts were reported to the API; from now on they survive the loss of the local journal."""

    file: FileKey
    count: int


@attrs.frozen
class RateLimitWait:
    """The API rate limit is reached: no call is made for `seconds`; `reset` is the end of the wait in epoch seconds."""

    seconds: float
    reset: float | None = None


@attrs.frozen
class Retrying:
    """An API call failed and is retried after `delay` seconds; `attempt` is the number of the next attempt."""

    operation: str
    attempt: int
    reason: str
    delay: float


@attrs.frozen
class Outage:
    """Neither the API nor storage has answered for `seconds`; `parts` wait for their retry. Sent parts are kept.

    Emitted after ten seconds, then once a minute, and at the end with `over`.
    """

    seconds: float
    parts: int
    reason: str
    over: bool = False


@attrs.frozen
class UploadCompleted:
    """The file is whole on the platform, and `receipt` says what was verified."""

    file: FileKey
    receipt: Receipt


@attrs.frozen
class UploadFailed:
    """The upload failed; `resumable` means that the same upload, run again, resumes where this one stopped."""

    file: FileKey
    error: Exception
    resumable: bool


@attrs.frozen
class UploadSkipped:
    """The file was skipped, on request or because it is already uploaded; `reason` is one sentence.

    `different` means that the platform has another file of this name; `receipt` is that of the run that uploaded it.
    """

    file: FileKey
    reason: str
    different: bool = False
    receipt: Receipt | None = None


@attrs.frozen
class Notice:
    """A message for the user, for example that the upload is gone on the server, or differs from the journal."""

    file: FileKey | None
    text: str


@attrs.frozen
class Drift:
    """An answer of the server differs from the API's document in something that the upload does not need.

    `key` is the path to the value in the answer to `operation`, or "the status", "the content type" or "the body";
    `came` says what it is. Each is emitted once in a run.
    """

    operation: str
    key: str
    came: str

    @property
    def text(self) -> str:
        """The drift as a sentence."""
        return f"The server's answer to {self.operation} is not as documented: {self.key} is {self.came}."


Event = (
    UploadStarted
    | PartSent
    | PartRetried
    | BytesSent
    | PartsReported
    | RateLimitWait
    | Retrying
    | Outage
    | UploadCompleted
    | UploadFailed
    | UploadSkipped
    | Notice
    | Drift
)
Listener = Callable[[Event], None]


class Emitter:
    """Calls every listener with every event. The error of a listener is logged; the upload continues."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self._listeners = list(listeners)
        self._lock = threading.RLock()  # a listener may cause an event itself
        self._caller = 0  # the thread that calls a listener
        self._counts: dict[FileKey, int] = {}
        self._counting = threading.Lock()

    def listen(self, listener: Listener) -> None:
        """Call this listener too, from now on."""
        with self._lock:
            self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Emit an event, after the bytes that were counted before it."""
        with self._lock:
            self.flush()
            self._call(event)

    def add_bytes(self, file: FileKey, count: int) -> None:
        """Count bytes of a file; cheap enough to be called for every block."""
        with self._counting:
            self._counts[file] = self._counts.get(file, 0) + count

    def flush(self) -> None:
        """Emit the bytes that were counted since the last time."""
        with self._lock:
            with self._counting:
                counts, self._counts = self._counts, {}
            for file, count in counts.items():
                if count:
                    self._call(BytesSent(file, count))

    @property
    def calling(self) -> bool:
        """Whether a listener is being called in this thread: no event of another thread is emitted meanwhile."""
        return self._caller == threading.get_ident()

    def _call(self, event: Event) -> None:
        before, self._caller = self._caller, threading.get_ident()
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a listener's fault must not cost the upload
                _log.exception("a listener failed on %s", type(event).__name__)
        self._caller = before


SECONDS_AFTER_ANSWER = 0.2  # within which a failure is no outage


@attrs.define(eq=False)
class OutageWatch:
    """Knows when the API or storage last answered and what failed since. `tick()` emits Outage when it is due."""

    events: Emitter
    timing: Timing
    clock: Callable[[], float]
    _answered: float = attrs.field(default=float("-inf"), init=False)
    _since: float | None = attrs.field(default=None, init=False)
    _reason: str = attrs.field(default="", init=False)
    _last: Outage | None = attrs.field(default=None, init=False)

    def answered(self) -> None:
        """Note that the API or storage answered, with success or not."""
        self._answered = self.clock()
        self._since = None

    def failed(self, reason: str) -> None:
        """Note that something failed without an answer."""
        now = self.clock()
        if now - self._answered >= SECONDS_AFTER_ANSWER:
            self._reason = reason.rpartition(": ")[2].rstrip(".")
            self._since = now if self._since is None else self._since

    def tick(self, parts: int) -> None:
        """Emit what is due; `parts` wait for their retry. Only one thread may call this."""
        since, last = self._since, self._last
        if since is None:
            self._last = None
            if last is not None:
                self.events.emit(attrs.evolve(last, parts=0, over=True))
            return
        seconds = self.clock() - since
        if seconds >= (self.timing.first_outage if last is None else last.seconds + self.timing.later_outages):
            self._last = Outage(seconds, parts, self._reason)
            self.events.emit(self._last)
