"""How a run is stopped: first in order, then immediately."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import attrs


@attrs.define(eq=False)
class Stop:
    """A request to stop, and the events that follow from it.

    `request()` may be called from a signal handler: it takes no lock. From then on nothing is begun or completed. The
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
        """Ask for the run to be stopped."""
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
        return new

    @contextmanager
    def allow_final_calls(self) -> Iterator[None]:
        """Let this thread make calls although the run is being stopped, as long as they need not wait."""
        self._thread.allowed = True
        try:
            yield
        finally:
            self._thread.allowed = False

    @property
    def blocked(self) -> bool:
        """Whether this thread may make no call any more."""
        return (
            self.abandoning.is_set() or self.at_once or (self.requested and not getattr(self._thread, "allowed", False))
        )


class _CallsBlocked(threading.Event):
    """For the connection: set for all threads but those with final calls; any wait ends when the run is stopped."""

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self._stop = stop

    def is_set(self) -> bool:
        return self._stop.blocked

    def wait(self, timeout: float | None = None) -> bool:
        return self._stop.stopping.wait(timeout)
