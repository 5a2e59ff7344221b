"""Ctrl-C and the signals of schedulers: during an upload they stop it gently, elsewhere they end the command."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
"""SIGUSR1 and SIGXCPU are the warnings of Slurm and of other schedulers before they kill."""
_NUMBERS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


_STOPPING = (
    "Stopping: waiting up to {:.0f} s for the parts in flight. Ctrl-C again stops now; those parts will be sent again."
)


class Stoppable(Protocol):
    """What is needed of the uploader."""

    def cancel(self, at_once: bool = False) -> None:
        """Stop after the parts in flight, or immediately."""


class Signals:
    """Handles the signals of a command: during `stopping` they stop the upload, else they raise KeyboardInterrupt."""

    def __init__(self) -> None:
        self.count = 0
        self._handle: Callable[[], None] | None = None

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals while this context lasts; what is ignored (nohup) stays ignored."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {}
        for number in _NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def stopping(self, work: Stoppable, within: float, say: Callable[[str], None]) -> Iterator[None]:
        """Stop `work` at the first signal, `within` seconds for its parts in flight, and at the second immediately."""

        def stop() -> None:
            at_once = self.count > 1
            work.cancel(at_once=at_once)
            text = "Stopping now." if at_once else _STOPPING.format(within)
            # A handler runs between two instructions of the main thread, which may be writing.
            threading.Thread(target=say, args=(text,), daemon=True).start()

        self._handle = stop
        try:
            yield
        finally:
            self._handle = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let a signal raise KeyboardInterrupt although an upload is under way: a question is being asked."""
        handle, self._handle = self._handle, None
        try:
            yield
        finally:
            self._handle = handle

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._handle is None or self.count > 2:
            raise KeyboardInterrupt
        self._handle()


SIGNALS = Signals()
