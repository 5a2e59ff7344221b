"""Ctrl-C: once to stop in order, twice to stop at once. SIGTERM and a lost terminal are like one Ctrl-C."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stoppable(Protocol):
    """What is needed of the uploader."""

    def cancel(self, at_once: bool = False) -> None:
        """Stop, in order or at once."""


class Interrupts:
    """While this context lasts, signals stop `work` instead of ending the process; `say` tells the user so."""

    def __init__(self, work: Stoppable, say: Callable[[str], None]) -> None:
        self._work = work
        self._say = say
        self._before: dict[int, Any] = {}
        self.count = 0

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 2:
            raise KeyboardInterrupt
        # A handler runs between two instructions of the main thread, which may hold any lock.
        threading.Thread(target=self._stop, args=(self.count > 1,), daemon=True).start()

    def _stop(self, at_once: bool) -> None:
        self._work.cancel(at_once=at_once)
        if at_once:
            self._say("Stopping at once.")
        else:
            self._say("Stopping: parts under way are finished and reported. Ctrl-C again stops at once.")
