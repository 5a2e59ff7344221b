"""What all uploads of one run share."""

import time
from collections.abc import Callable
from pathlib import Path

import attrs

from cavatica_upload.api import Api
from cavatica_upload.clock import ServerClock
from cavatica_upload.engine.announcer import Announcer
from cavatica_upload.engine.stopping import Stop
from cavatica_upload.engine.tries import Backoff, full_jitter
from cavatica_upload.errors import Interrupted
from cavatica_upload.events import FileKey, Notice
from cavatica_upload.journal.journal import Journal


@attrs.define(kw_only=True)
class Context:
    """The API, the journal, the listeners, and the run's settings."""

    api: Api
    endpoint: str
    journal: Journal
    state: Path
    announcer: Announcer
    hashing: bool = True
    calls_per_second: float = 3.0
    rate: float | None = None  # bytes per second that went out of late
    clock: Callable[[], float] = time.monotonic
    backoff: Backoff = full_jitter
    server_clock: ServerClock = attrs.field(factory=ServerClock)
    stop: Stop = attrs.field(factory=Stop)

    @property
    def receipts(self) -> Path:
        """The folder of the receipts."""
        return self.state / "receipts"

    def notice(self, file: FileKey | None, text: str) -> None:
        """Tell the listeners something that the user may want to know."""
        self.announcer.tell(Notice(file, text))


def pause(context: Context, seconds: float) -> None:
    """Wait; raises Interrupted where the run is stopped meanwhile."""
    if context.stop.stopping.wait(seconds):
        raise Interrupted.while_waiting("another try")
