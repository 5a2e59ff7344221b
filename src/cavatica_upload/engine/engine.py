"""The engine: one pool of threads over all files, fed with parts whose URLs are already there.

Two kinds of threads. Workers put parts to storage, as many as `Concurrency` allows; a few call threads make the API's
calls: they open files, ask for part URLs ahead, report in bulk, complete. A clock thread does what is due: retries,
reports by age, deadlines, sums of bytes. One lock guards all bookkeeping; nobody waits for the network, the disk or a
listener while holding it. What is done on the threads is in `beginnings.py`, `puts.py` and `endings.py`, which file is
next in `admission.py`, how many URLs are asked for in `supply.py`.
"""

import functools
import logging
import threading
from collections.abc import Callable

import attrs

from cavatica_upload.engine.admission import Admission, next_transfer
from cavatica_upload.engine.beginnings import Beginnings
from cavatica_upload.engine.concurrency import Concurrency
from cavatica_upload.engine.context import Context
from cavatica_upload.engine.endings import Endings
from cavatica_upload.engine.lanes import CallLane, Urgency
from cavatica_upload.engine.later import Later
from cavatica_upload.engine.puts import Puts
from cavatica_upload.engine.run import Run, size_of
from cavatica_upload.engine.supply import Ready, Supply
from cavatica_upload.engine.transfer import Transfer
from cavatica_upload.errors import Interrupted
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import Part
from cavatica_upload.request import Outcome
from cavatica_upload.storage.put import Storage, Target
from cavatica_upload.storage.throttle import Throttle

_log = logging.getLogger("cavatica_upload")

TICK = 0.1  # seconds
GATHERING = 0.2  # seconds for requests to gather before the biggest of them is begun


class Engine:
    """Schedules; owns the threads."""

    def __init__(
        self,
        context: Context,
        storage: Storage,
        concurrency: Concurrency,
        *,
        throttle: Throttle | None = None,
        part_deadline: float | None = None,
        file_deadline: float | None = None,
    ) -> None:
        self.context = context
        self.concurrency = concurrency
        self.beginnings = Beginnings(self, context)
        self.puts = Puts(self, context, storage, throttle, part_deadline)
        self.endings = Endings(self, context)
        self._file_deadline = file_deadline
        self.lock = threading.RLock()
        self._work = threading.Condition(self.lock)
        self._calls = CallLane()
        self._admission = Admission(concurrency, context.clock)
        self._active: dict[Transfer, Run] = {}
        self._supply = Supply()
        self._later = Later()
        self._abandoned: list[Transfer] = []
        self._sending = 0
        self._workers = 0
        self._closed = False
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tick, name="cavatica-clock", daemon=True)
        self._clock.start()

    # What the uploader asks for

    def begin(self, run: Run) -> None:
        """Take up a run."""
        with self.lock:
            self._admission.runs.append(run)

    def feed(self, run: Run) -> None:
        """Read requests ahead, and see to it that there is enough to do. The caller's thread reads its iterable."""
        started = self.context.clock()
        for request in run.read_ahead():
            size = size_of(request)
            with self.lock:
                run.add(request, size)
            if self.context.clock() - started > GATHERING:
                self._begin_files()
        self._begin_files()

    def _begin_files(self) -> None:
        """Pump on a thread of the engine's: Ctrl-C cannot cut that off half-way, as it can the caller's thread."""
        self._calls.submit(Urgency.OPEN, self.pump)

    def finish(self, run: Run) -> None:
        """Forget a run."""
        with self.lock:
            self._admission.runs.remove(run)

    def abandon(self, run: Run) -> None:
        """End what is left of a run without waiting for threads that hang in the network."""
        with self.lock:
            for transfer in [transfer for transfer, of in self._active.items() if of is run]:
                transfer.fail(transfer.interruption())
                self.end(transfer, Outcome(transfer.request, error=transfer.error))
                self._abandoned.append(transfer)

    def close(self, seconds: float) -> None:
        """End all threads, waiting for each of them up to so many seconds."""
        self.context.stop.wish(at_once=True)
        self.context.stop.notice()
        with self.lock:
            self._closed = True
            self._work.notify_all()
        self._over.set()
        self._calls.close(seconds)
        self._clock.join(seconds)
        self.beginnings.close()
        self.puts.close()
        with self.lock:
            for transfer in (*self._abandoned, *self._active):
                self.endings.let_go(transfer)

    @property
    def most_in_flight(self) -> int:
        """How many parts are in flight, or may be at any moment; takes no lock."""
        return max(self.concurrency.limit, self._sending)

    # Scheduling

    def pump(self) -> None:
        """Start whatever can be started now."""
        with self.lock:
            self._pump()

    # The lock is held

    def _pump(self) -> None:
        if self.context.stop.stopping.is_set():
            return
        for request, size, run in self._admission.next_files(self._active):
            begun = Transfer(request, size, self.context.clock())
            self._active[begun] = run
            self._call(Urgency.OPEN, self.beginnings.open, begun)
        limit = self.concurrency.limit
        while self._supply.missing(limit, self._sending) > 0:
            transfer = next_transfer(self._active)
            if transfer is None:
                break
            self._ask_for_url(transfer, transfer.take())
        self._staff()

    def _staff(self) -> None:
        wanted = min(self.concurrency.limit, self._sending + len(self._supply))
        while self._workers < wanted:
            self._workers += 1
            threading.Thread(target=self._put_parts, name=f"cavatica-put-{self._workers}", daemon=True).start()
        if self._supply:
            self._work.notify(len(self._supply))

    def _call(self, urgency: Urgency, step: Callable[..., None], transfer: Transfer, *arguments: object) -> None:
        self._calls.submit(urgency, functools.partial(self._step, step, transfer, *arguments))

    def _step(self, step: Callable[..., None], transfer: Transfer, *arguments: object) -> None:
        """Do a step of a file. One that raises, which none should, ends the file instead of leaving it under way."""
        try:
            step(transfer, *arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            _log.exception("a step of %s failed", transfer.key)
            with self.lock:
                transfer.fail(error)
                transfer.busy = False
                self.end(transfer, Outcome(transfer.request, error=error))
                self.settle(transfer)

    # What the steps say; they take the lock

    def opened(self, transfer: Transfer) -> None:
        """A file is open, or failed to open."""
        with self.lock:
            run = self._active.get(transfer)
            if run is not None and transfer.error is None:
                run.circuit.succeeded()
            self.settle(transfer)

    def busy_elsewhere(self, transfer: Transfer, seconds: float) -> None:
        """Another process has this file: look again later."""
        with self.lock:
            self._later.add(self.context.clock() + seconds, transfer)

    def url_came(self, transfer: Transfer, part: Part, target: Target, seconds: float) -> None:
        """A part can be put; to ask for its URL took so many seconds."""
        with self.lock:
            self._supply.answered(seconds)
            self._offer(Ready(transfer, part, target))

    def url_failed(self) -> None:
        """A part has no URL; the step says separately what becomes of it."""
        with self.lock:
            self._supply.answered(None)

    def part_sent(self, transfer: Transfer, sent: SentPart, seconds: float) -> None:
        """Storage has a part; to send it took so many seconds."""
        with self.lock:
            self._supply.sent(seconds)
            transfer.done(sent, self.context.clock())
            self.settle(transfer)

    def again(self, transfer: Transfer, part: Part, delay: float, target: Target | None) -> None:
        """Try a part again, with the same URL where there is one."""
        with self.lock:
            if transfer.error is not None or self.context.stop.stopping.is_set():
                transfer.give_back(part)
                self.settle(transfer)
            elif delay <= 0:
                self._retry(transfer, part, target)
            else:
                self._later.add(self.context.clock() + delay, transfer, part, target)

    def lost(self, transfer: Transfer, part: Part, error: Exception) -> None:
        """A part cannot be sent: the file has failed."""
        with self.lock:
            transfer.give_back(part)
            transfer.fail(error)
            self.settle(transfer)

    def settle(self, transfer: Transfer) -> None:
        """See what a file needs next, now that something about it has changed."""
        with self.lock:
            if transfer.ended:
                if transfer.is_idle:
                    self.endings.let_go(transfer)
                return
            now = self.context.clock()
            stopped = transfer.error is not None or self.context.stop.stopping.is_set()
            if transfer.is_idle and transfer.error is None and transfer.all_sent:
                transfer.busy = True
                self._call(Urgency.CLOSE, self.endings.finish, transfer)
            elif stopped and transfer.is_idle:
                transfer.fail(transfer.interruption())
                transfer.busy = True
                self._call(Urgency.CLOSE, self.endings.give_up, transfer)
            elif not stopped and not transfer.reporting and not transfer.all_sent and transfer.checkpoints.due(now):
                transfer.reporting = True
                self._call(Urgency.REPORT, self.endings.report, transfer)
            self.pump()

    def end(self, transfer: Transfer, outcome: Outcome) -> None:
        """A file has ended."""
        with self.lock:
            if transfer.ended:
                return
            transfer.ended = True
            run = self._active.pop(transfer)
            if outcome.error is not None:
                run.circuit.failed(outcome.error)
                self._admission.end_if_broken(run)
            run.end(outcome)
            self.pump()

    def begin_anew(self, transfer: Transfer) -> bool:
        """Open a file anew whose upload was given up; return False if that was done before."""
        with self.lock:
            if transfer.anew:
                return False
            transfer.ended = True
            run = self._active.pop(transfer)
            request = attrs.evolve(transfer.request, resume_id=None)
            begun = Transfer(request, transfer.size or 0, self.context.clock(), anew=True)
            self._active[begun] = run
            self._call(Urgency.OPEN, self.beginnings.open, begun)
            return True

    def _offer(self, ready: Ready) -> None:
        if ready.transfer.error is not None or self.context.stop.stopping.is_set():
            ready.transfer.give_back(ready.part)
            self.settle(ready.transfer)
            return
        self._supply.add(ready)
        self._staff()

    def _retry(self, transfer: Transfer, part: Part, target: Target | None) -> None:
        if target is not None and target.expires > self.context.clock():
            self._offer(Ready(transfer, part, target))
        else:
            self._ask_for_url(transfer, part)

    def _ask_for_url(self, transfer: Transfer, part: Part) -> None:
        self._supply.asking()
        self._call(Urgency.PART_URL, self.puts.fetch_url, transfer, part)

    # Threads

    def _put_parts(self) -> None:
        while True:
            with self._work:
                while not self._closed and (not self._supply or self._sending >= self.concurrency.limit):
                    self._work.wait()
                if self._closed:
                    self._workers -= 1
                    return
                ready = self._supply.take()
                if ready.target.expires <= self.context.clock():
                    self._retry(ready.transfer, ready.part, None)
                    continue
                self._sending += 1
                self.pump()  # the next URL is asked for while this part goes out
            try:
                self._step(self.puts.put, ready.transfer, ready.part, ready.target)
            finally:
                with self.lock:
                    self._sending -= 1
                    self.pump()
                    self._work.notify()

    def _tick(self) -> None:
        while not self._over.wait(TICK):
            self._look()

    def _look(self) -> None:
        if self.context.stop.notice():
            self._stop()
        self.context.announcer.flush()
        now = self.context.clock()
        with self.lock:
            if self.concurrency.tick(self._sending):
                self.pump()
            self.context.rate = self.concurrency.rate
            for due in self._later.due(now):
                if due.part is None:
                    self._call(Urgency.OPEN, self.beginnings.open, due.transfer)
                else:
                    self._retry(due.transfer, due.part, due.target)
            for transfer in list(self._active):
                if self._file_deadline is not None and now - transfer.started > self._file_deadline:
                    transfer.fail(transfer.lateness(self._file_deadline))
                self.settle(transfer)

    def _stop(self) -> None:
        """Give everything back that is not in flight."""
        with self.lock:
            for ready in self._supply.drain():
                ready.transfer.give_back(ready.part)
            for due in self._later.drain():
                if due.part is not None:
                    due.transfer.give_back(due.part)
                else:
                    due.transfer.busy = False
            for run in self._admission.runs:
                for request in run.drain():
                    run.under_way += 1
                    run.end(Outcome(request, error=Interrupted(f"{request.key} was not begun.", "Run the same again.")))
            for transfer in list(self._active):
                self.settle(transfer)
