"""What all uploads of one run share."""

import time
from collections.abc import Callable
from pathlib import Path

import attrs

from cavatica_upload.api import Api
from cavatica_upload.clock import ServerClock
from cavatica_upload.engine.part_retry import Backoff
from cavatica_upload.engine.stop import Stop
from cavatica_upload.errors import ApiError, ConnectionFailed, Interrupted, UploadGone
from cavatica_upload.events import Emitter, FileKey, Notice
from cavatica_upload.http.backoff import full_jitter
from cavatica_upload.journal.journal import Journal
from cavatica_upload.journal.records import Entry
from cavatica_upload.outage import OutageWatch
from cavatica_upload.plan import WINDOW_SECONDS, calls_allow
from cavatica_upload.timing import Timing


@attrs.define(kw_only=True)
class Context:
    """The API, the journal, the listeners, and the run's settings. Times are seconds, None for a deadline is none."""

    api: Api
    endpoint: str
    journal: Journal
    state: Path
    events: Emitter
    outage: OutageWatch
    hashing: bool = True
    allow_http: bool = False
    calls_per_second: float = 3.0
    rate: float | None = None  # bytes per second that went out of late
    expected_rate: float | None = None  # bytes per second that are expected of all machines together
    clock: Callable[[], float] = time.monotonic
    timing: Timing = attrs.field(factory=Timing)
    backoff: Backoff = full_jitter
    retry_for: float = 300.0
    file_deadline: float | None = None
    server_clock: ServerClock = attrs.field(factory=ServerClock)
    stop: Stop = attrs.field(factory=Stop)
    _said_calls_limit: bool = attrs.field(default=False, init=False)

    @property
    def receipts(self) -> Path:
        """The folder of the receipts."""
        return self.state / "receipts"

    @property
    def planned_rate(self) -> float | None:
        """Bytes per second to plan parts for."""
        return max((rate for rate in (self.rate, self.expected_rate) if rate), default=None)

    def say_if_calls_limit(self, part_size: int) -> None:
        """Tell once if parts of this size need more calls than there are, at the expected rate."""
        if self._said_calls_limit or (self.expected_rate or 0) <= part_size * self.calls_per_second:
            return
        self._said_calls_limit = True
        calls = round(self.calls_per_second * WINDOW_SECONDS)
        self.notice(
            None,
            f"If this run needs more than {calls:,} API calls, they are its limit: "
            f"{calls_allow(part_size, self.calls_per_second)}.",
        )

    def notice(self, file: FileKey | None, text: str) -> None:
        """Emit something that the user may want to know."""
        self.events.emit(Notice(file, text))

    def abort(self, file: FileKey, entry: Entry) -> None:
        """Abort an upload that is of no use any more, and forget it; if that fails, the next run tries again."""
        try:
            self.api.abort_upload(entry.upload_id)
        except UploadGone:
            pass
        except (ApiError, ConnectionFailed):
            self.journal.abandon(entry)
            self.notice(
                file,
                f"The upload {entry.upload_id} could not be aborted and stays open. Abort it with “cavatica uploads "
                f"abort {entry.upload_id}”.",
            )
            return
        self.journal.forget(entry)


def pause(context: Context, seconds: float) -> None:
    """Wait; raises Interrupted if the run is stopped meanwhile."""
    if context.stop.stopping.wait(seconds):
        raise Interrupted.while_waiting("another try")
