"""How a run is stopped: first gently, then at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Two wishes, each of which may be made from a signal handler: it only sets an attribute.

    The clock thread turns them into the events that others wait for (`notice`): `stopping`, to take on nothing new,
    and `dropping`, to let go of what is in flight.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.dropping = threading.Event()
        self.calls: threading.Event = _CallsOff(self)
        self._wish = 0
        self._here = threading.local()

    def wish(self, *, at_once: bool) -> None:
        """Ask for the run to be stopped. Takes no lock."""
        self._wish = max(self._wish, 2 if at_once else 1)

    @property
    def wished(self) -> int:
        """0: go on, 1: stop, 2: at once."""
        return self._wish

    def notice(self) -> bool:
        """Set the events that were wished for; return whether one was not set before."""
        new = False
        for event, level in ((self.stopping, 1), (self.dropping, 2)):
            if self._wish >= level and not event.is_set():
                event.set()
                new = True
        return new

    @contextmanager
    def last_words(self) -> Iterator[None]:
        """Let this thread make calls although the run is being stopped, as long as they need not wait."""
        self._here.speaking = True
        try:
            yield
        finally:
            self._here.speaking = False

    @property
    def silenced(self) -> bool:
        """Whether this thread may make no call any more."""
        return self.dropping.is_set() or (self.stopping.is_set() and not getattr(self._here, "speaking", False))


class _CallsOff(threading.Event):
    """For the connection: set for all threads but those with last words; any wait ends when the run is stopped."""

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self._stop = stop

    def is_set(self) -> bool:
        return self._stop.silenced

    def wait(self, timeout: float | None = None) -> bool:
        return self._stop.stopping.wait(timeout)
