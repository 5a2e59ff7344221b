"""Ctrl-C, the signals of schedulers, and questions."""

import contextlib
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from cavatica_upload.cli.messages import time_text

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
"""Slurm and other schedulers send SIGUSR1 or SIGXCPU as a warning before they kill."""


class Signals:
    """Handles the signals of a command: during an upload they stop it, else they raise KeyboardInterrupt."""

    def __init__(self) -> None:
        self.count = 0
        self.stop: Callable[[], None] | None = None

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals while this context lasts; ignored signals (nohup) stay ignored."""
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

    @contextlib.contextmanager
    def stopping(self, cancel: Callable[[bool], None], within: float, say: Callable[[str], None]) -> Iterator[None]:
        """Call `cancel(False)` at the first signal and `cancel(True)`, which is immediate, at the second."""
        saying: list[threading.Thread] = []

        def stop() -> None:
            immediately = self.count > 1
            cancel(immediately)
            text = f"Stopping: waiting up to {time_text(within)} for the parts in flight. "
            text += "Ctrl-C again stops now; those parts will be sent again."
            # A handler runs between two instructions of the main thread, which may be writing.
            thread = threading.Thread(target=say, args=("Stopping now." if immediately else text,), daemon=True)
            thread.start()
            saying.append(thread)

        self.stop = stop
        try:
            yield
        finally:
            self.stop = None
            for thread in saying:
                thread.join()  # before the last lines of the run are written

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.stop is None or self.count > 2:
            raise KeyboardInterrupt
        self.stop()


SIGNALS = Signals()


def ask(question: str) -> bool:
    """Ask on standard error; only y and yes agree. Ctrl-C raises KeyboardInterrupt, also during an upload."""
    stop, SIGNALS.stop = SIGNALS.stop, None
    try:
        if SIGNALS.count:  # a signal that came just before
            raise KeyboardInterrupt
        sys.stderr.write(f"{question} [y/N]: ")
        sys.stderr.flush()
        while not select.select([sys.stdin], [], [], 0.2)[0]:  # a signal just before a read would go unnoticed in it
            pass
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    finally:
        SIGNALS.stop = stop
