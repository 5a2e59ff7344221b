"""Detects that neither the API nor storage answers, so that one line reports it instead of one for each part."""

import threading
from collections.abc import Callable

import attrs

from cavatica_upload.events import Emitter, Outage
from cavatica_upload.timing import Timing

JUST_NOW = 0.2  # seconds: a failure this soon after an answer is no outage


@attrs.define(eq=False)
class OutageWatch:
    """Knows when the API or storage last answered and what failed since. `tick()` emits Outage when it is due."""

    events: Emitter
    timing: Timing
    clock: Callable[[], float]
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _answered: float = attrs.field(default=float("-inf"), init=False)
    _since: float | None = attrs.field(default=None, init=False)
    _reason: str = attrs.field(default="", init=False)
    _emitted: Outage | None = attrs.field(default=None, init=False)

    def answered(self) -> None:
        """Note that the API or storage answered, with success or not."""
        with self._lock:
            self._answered = self.clock()
            self._since = None

    def failed(self, reason: str) -> None:
        """Note that something failed without an answer."""
        with self._lock:
            now = self.clock()
            if now - self._answered >= JUST_NOW:
                self._since = now if self._since is None else self._since
                self._reason = reason.rpartition(": ")[2].rstrip(".")

    def tick(self, parts: int) -> None:
        """Emit what is due; `parts` wait for their retry."""
        with self._lock:
            event = self._due(parts)
        if event is not None:
            self.events.emit(event)

    def _due(self, parts: int) -> Outage | None:
        emitted = self._emitted
        if self._since is None:
            self._emitted = None
            return None if emitted is None else attrs.evolve(emitted, parts=0, over=True)
        seconds = self.clock() - self._since
        due = self.timing.first_outage if emitted is None else emitted.seconds + self.timing.later_outages
        if seconds < due:
            return None
        self._emitted = Outage(seconds, parts, self._reason)
        return self._emitted
