"""Threads that make the API's calls, the urgent ones first."""

import itertools
import logging
import queue
import threading
from collections.abc import Callable
from enum import IntEnum

_log = logging.getLogger("cavatica_upload")

THREADS = 8
"""So many calls at once keep up with a call every few milliseconds, at 50 ms each."""


class Urgency(IntEnum):
    """What is done first: what ends a file, then what keeps parts flowing, then what begins a file."""

    CLOSE = 0
    REPORT = 1
    PART_URL = 2
    OPEN = 3


class CallLane:
    """A queue of calls by urgency, and a few threads that make them. The threads start when they are needed."""

    def __init__(self, threads: int = THREADS) -> None:
        self._most = threads
        self._queue: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, urgency: Urgency, call: Callable[[], None]) -> None:
        """Have a call made soon. It must not raise."""
        with self._lock:
            if self._closed:
                return
            self._queue.put((urgency, next(self._order), call))
            if self._idle < self._queue.qsize() and len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name=f"cavatica-call-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self, seconds: float) -> None:
        """Stop when what is waiting is done, or after so many seconds."""
        with self._lock:
            self._closed = True
            for _ in self._threads:
                self._queue.put((len(Urgency), next(self._order), None))
        for thread in self._threads:
            thread.join(seconds)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            _, _, call = self._queue.get()
            with self._lock:
                self._idle -= 1
            if call is None:
                return
            try:
                call()
            except Exception:  # noqa: BLE001 - a thread must not die of one call
                _log.exception("a call of the engine failed")
