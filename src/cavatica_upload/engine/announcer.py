"""Tells the listeners what happened, one event at a time, and counts bytes so that they are told in sums."""

import logging
import threading
from collections.abc import Sequence

from cavatica_upload.events import BytesSent, Event, FileKey, Listener

_log = logging.getLogger("cavatica_upload")


class Announcer:
    """Calls every listener with every event. A listener that raises is logged and stays; the upload goes on."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self._listeners = list(listeners)
        self._lock = threading.RLock()  # a listener may cause an event itself
        self._counts: dict[FileKey, int] = {}
        self._counting = threading.Lock()

    def add(self, listener: Listener) -> None:
        """Call this listener too, from now on."""
        with self._lock:
            self._listeners.append(listener)

    def tell(self, event: Event) -> None:
        """Tell an event, after the bytes that were counted before it."""
        with self._lock:
            self.flush()
            self._call(event)

    def count(self, file: FileKey, count: int) -> None:
        """Count bytes of a file; cheap enough to be called for every block."""
        with self._counting:
            self._counts[file] = self._counts.get(file, 0) + count

    def flush(self) -> None:
        """Tell the bytes counted since the last time."""
        with self._lock:
            with self._counting:
                counts, self._counts = self._counts, {}
            for file, count in counts.items():
                if count:
                    self._call(BytesSent(file, count))

    def _call(self, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a listener's fault must not cost the upload
                _log.exception("a listener failed on %s", type(event).__name__)
