"""Where a server differs from the document: told once each."""

import threading
from collections.abc import Callable

from cavatica_upload.api.answers import Answer
from cavatica_upload.events import Drift
from cavatica_upload.redact import scrub

MOST = 100
"""So many are told; a server with more has another API altogether."""


class Drifts:
    """Tells `listener` of each difference once, from whatever thread."""

    def __init__(self, listener: Callable[[Drift], None]) -> None:
        self._listener = listener
        self._told: set[Drift] = set()
        self._lock = threading.Lock()

    def note(self, answer: Answer) -> None:
        """Tell what is different in an answer and was not told yet."""
        for difference in answer.differences():
            drift = Drift(answer.operation.name, scrub(difference.key), difference.came)
            with self._lock:
                if drift in self._told or len(self._told) >= MOST:
                    continue
                self._told.add(drift)
            self._listener(drift)
