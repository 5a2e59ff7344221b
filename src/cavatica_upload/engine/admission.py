"""Which file is begun next, and which one's part is sent next. Plain rules; the engine's lock is held."""

from collections.abc import Callable, Collection, Iterable, Iterator

from cavatica_upload.engine.concurrency import Concurrency
from cavatica_upload.engine.run import Run
from cavatica_upload.engine.transfer import Transfer
from cavatica_upload.request import Outcome, UploadRequest

MOST_FILES = 64  # open at once
SMALL_PACE = 0.5  # seconds between small files that slip in beside big ones, so that these keep most of the calls


class Admission:
    """Begins no more files than keep the workers busy: the biggest first, small ones now and then beside them."""

    def __init__(self, concurrency: Concurrency, clock: Callable[[], float]) -> None:
        self.runs: list[Run] = []
        self._concurrency = concurrency
        self._clock = clock
        self._small_next = 0.0

    def next_files(self, active: Collection[Transfer]) -> Iterator[tuple[UploadRequest, int, Run]]:
        """Yield the requests to begin now, with their sizes, beside the files that are `active`."""
        enough = 2 * self._concurrency.limit
        waiting = sum(transfer.left if transfer.opened else 1 for transfer in active)
        room = MOST_FILES - len(active)
        for run in self.runs:
            while run.has_waiting and waiting < enough and room > 0 and not self.end_if_broken(run):
                yield *run.take(), run
                waiting += 1
                room -= 1
            if run.has_small and waiting >= enough and room > 0 and self._clock() >= self._small_next:
                self._small_next = self._clock() + SMALL_PACE
                if not self.end_if_broken(run):
                    yield *run.take(smallest=True), run
                    room -= 1

    @staticmethod
    def end_if_broken(run: Run) -> bool:
        """End what waits of a run whose circuit is broken, unsent, and return whether it is."""
        error = run.circuit.broken_by
        if error is None:
            return False
        for request in run.drain():
            run.under_way += 1
            run.end(Outcome(request, error=error))
        return True


def next_transfer(active: Iterable[Transfer]) -> Transfer | None:
    """Return the file whose part is sent next: a small one, as only few come in beside big ones, else the biggest."""
    best: Transfer | None = None
    for transfer in active:
        if not transfer.has_part:
            continue
        if transfer.is_small:
            return transfer
        if best is None or (transfer.size or 0) > (best.size or 0):
            best = transfer
    return best
