"""Ctrl-C and the signals of schedulers: during an upload they stop it gently, elsewhere they end the command."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
"""SIGUSR1 and SIGXCPU are the warnings of Slurm and of other schedulers before they kill."""

_STOPPING = (
    "Stopping: waiting up to {:.0f} s for the parts in flight. Ctrl-C again stops now; those parts will be sent again."
)


class Signals:
    """Handles the signals of a command: during `stopping` they stop the upload, else they raise KeyboardInterrupt."""

    def __init__(self) -> None:
        self.count = 0
        self._stop: Callable[[], None] | None = None

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals while this context lasts; what is ignored (nohup) stays ignored."""
        self.count = 0
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def stopping(self, cancel: Callable[[bool], None], within: float, say: Callable[[str], None]) -> Iterator[None]:
        """Call `cancel(False)` at the first signal and `cancel(True)`, which is immediate, at the second."""
        saying: list[threading.Thread] = []

        def stop() -> None:
            immediately = self.count > 1
            cancel(immediately)
            text = "Stopping now." if immediately else _STOPPING.format(within)
            # A handler runs between two instructions of the main thread, which may be writing.
            saying.append(threading.Thread(target=say, args=(text,), daemon=True))
            saying[-1].start()

        self._stop = stop
        try:
            yield
        finally:
            self._stop = None
            for thread in saying:
                thread.join()  # before the last lines of the run are written

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let a signal raise KeyboardInterrupt although an upload is under way: a question is being asked."""
        stop, self._stop = self._stop, None
        try:
            yield
        finally:
            self._stop = stop

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._stop is None or self.count > 2:
            raise KeyboardInterrupt
        self._stop()


SIGNALS = Signals()
