"""The number of parts in flight, on simulated links: no sockets, no threads, a clock of the test."""

import queue
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.engine.concurrency import (
    LEAST_WITHOUT_ERRORS,
    MOST_PARTS,
    QUICK_LIMIT,
    RETEST_SECONDS,
    Concurrency,
    PartInFlight,
)
from cavatica_upload.engine.context import Stop
from cavatica_upload.engine.parts import FileParts, PartPool
from cavatica_upload.errors import Interrupted
from cavatica_upload.plan import MIB, Part
from cavatica_upload.storage import SentPart
from tests.clock import Clock

STEP = 0.05  # seconds
PART = 32 * MIB


@attrs.define
class Sending:
    """A part in flight."""

    in_flight: PartInFlight
    left: float
    latency: float


@attrs.define
class Link:
    """A link of `rate` bytes a second in total and `each` per connection; each part waits `latency` for its answer.

    The first `buffer` bytes of each connection are accepted immediately.
    """

    rate: float = float("inf")
    each: float = float("inf")
    latency: float = 0.0
    buffer: float = 0.0
    busy_cores: float = 0.0
    fixed: int | None = None
    concurrency: Concurrency = attrs.field(init=False)
    hand: Clock = attrs.field(factory=Clock, init=False)
    sending: list[Sending] = attrs.field(factory=list, init=False)
    stored: int = attrs.field(default=0, init=False)
    count: int = attrs.field(default=0, init=False)
    limits: list[int] = attrs.field(factory=list, init=False)
    unfinished: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.concurrency = Concurrency(self.fixed, clock=self.hand, cpu=lambda: self.hand() * self.busy_cores, cores=2)

    def run(self, seconds: float, size: int = PART, failing: bool = False) -> None:
        """Send parts of one size, as many in flight as allowed."""
        until = self.hand.now + seconds
        while self.hand.now < until:
            while len(self.sending) < self.concurrency.limit:
                self.count += 1
                latency = self.latency * (0.5 + self.count % 11 / 10)  # no two parts end at the same moment for long
                self.sending.append(Sending(self.concurrency.begin(size), size, latency))
            self.hand.now += STEP
            each = min(self.rate / len(self.sending), self.each)
            for part in list(self.sending):
                went = min(part.left, each * STEP)
                if part.left == part.in_flight.size:  # bytes in the buffers count as sent, and are not
                    self.concurrency.sent(part.in_flight, int(min(self.buffer, part.left)))
                part.left -= went
                if part.left > self.buffer:
                    self.concurrency.sent(part.in_flight, int(went))
                part.latency -= STEP if part.left <= 0 else 0
                if part.left <= 0 and part.latency <= 0:
                    self.sending.remove(part)
                    self.concurrency.end(part.in_flight, stored=not failing)
                    self.stored += 1
            self.unfinished = max(self.unfinished, sum(size - part.left for part in self.sending))
            self.limits.append(self.concurrency.limit)


@pytest.mark.parametrize("buffer", [0, 10 * MIB])
@pytest.mark.parametrize("rate", [1e6, 5e6, 15e6, 20e6])
def test_slow_link_loses_at_most_two_parts(rate: float, buffer: int) -> None:
    """On a slow link that one connection fills, at most two parts are in flight."""
    link = Link(rate=rate, buffer=buffer)
    link.run(RETEST_SECONDS)
    assert max(link.limits) == LEAST_WITHOUT_ERRORS
    assert link.unfinished <= 2 * PART
    assert link.stored >= rate * RETEST_SECONDS / PART - 2


def test_higher_levels_are_tried_rarely() -> None:
    """On a slow link a third part is tried for less than a tenth of ten minutes."""
    link = Link(rate=15e6, buffer=10 * MIB)
    link.run(600)
    assert max(link.limits) <= LEAST_WITHOUT_ERRORS + 1
    assert sum(limit > LEAST_WITHOUT_ERRORS for limit in link.limits) < len(link.limits) / 10


@pytest.mark.parametrize("each", [1e6, 5e6, 20e6])
def test_limit_rises_if_connections_are_limited(each: float) -> None:
    """If each connection is limited, the limit of parts rises to 32 at any rate."""
    link = Link(each=each)
    link.run(60 if each < 5e6 else 20)
    assert link.limits[-1] == MOST_PARTS


def test_capped_connections_are_many_within_two_parts() -> None:
    """At 40 MiB/s per connection, 32 parts are in flight before a second part of one connection could end."""
    link = Link(each=40 * MIB, latency=0.1)
    link.run(2 * PART / link.each)
    assert link.limits[-1] == MOST_PARTS


def test_file_on_capped_connections_takes_little_longer_than_with_all_from_the_start() -> None:
    """To start with one part costs at most two seconds for a file of 8 GiB."""
    link, full = Link(each=40 * MIB, latency=0.1), Link(each=40 * MIB, latency=0.1, fixed=MOST_PARTS)
    for each in (link, full):
        each.run(8.0)
    assert link.stored >= full.stored * 0.75


def test_small_files_on_a_link_of_long_latency_are_sent_side_by_side() -> None:
    """Parts that take little more than a round trip raise the limit quickly."""
    link = Link(rate=100e6, latency=0.1)
    link.run(1, size=MIB // 4)
    assert link.limits[-1] >= QUICK_LIMIT
    link.run(10, size=MIB // 4)
    assert link.limits[-1] == MOST_PARTS


@pytest.mark.parametrize("size", [0, 1])
def test_empty_files_are_sent_side_by_side(size: int) -> None:
    """Parts without bytes raise the limit too."""
    link = Link(rate=100e6, latency=0.1)
    link.run(10, size=size)
    assert link.limits[-1] == MOST_PARTS


def test_fast_link_is_filled_quickly() -> None:
    """Sixteen MiB within a tenth of a second raise the limit."""
    link = Link(rate=600e6)
    link.run(4 * STEP)
    assert link.limits[-1] == QUICK_LIMIT


def test_throttle_is_no_fast_link() -> None:
    """The first bytes that a throttle lets through do not raise the limit."""
    hand = Clock()
    concurrency = Concurrency(clock=hand)
    concurrency.sent(concurrency.begin(PART), 20 * MIB)
    assert concurrency.limit == 1


def test_small_parts_say_nothing_of_large_ones() -> None:
    """After many small files, the first large ones start with few parts in flight."""
    link = Link(rate=15e6)
    link.run(30, size=MIB // 4)
    assert link.concurrency.limit > LEAST_WITHOUT_ERRORS
    link.sending.clear()
    link.concurrency.begin(PART)
    assert link.concurrency.limit == LEAST_WITHOUT_ERRORS


def test_no_more_connections_on_busy_processors() -> None:
    """If this process uses more than half of the CPU, no further parts are tried."""
    link = Link(each=100e6, busy_cores=1.2)
    link.run(20)
    assert max(link.limits) == QUICK_LIMIT


def test_errors_shrink_the_limit_but_not_below_one() -> None:
    """Each error lowers the limit by 30 %, to one part at least."""
    link = Link(each=20e6)
    link.run(20)
    limits = []
    for _ in range(10):
        link.concurrency.failed()
        limits.append(link.concurrency.limit)
    assert limits == [22, 15, 10, 7, 4, 2, 1, 1, 1, 1]


def test_limit_recovers_after_errors() -> None:
    """After errors, the limit of a link with long latency rises again."""
    link = Link(each=5e6)
    link.run(30)
    for _ in range(10):
        link.concurrency.failed()
    link.run(180)
    assert link.limits[-1] == MOST_PARTS


def test_fixed_limit_stays() -> None:
    """A fixed limit is changed neither by throughput nor by errors."""
    link = Link(each=40e6, fixed=7)
    link.run(10)
    link.concurrency.failed()
    assert {*link.limits, link.concurrency.limit} == {7}
    assert link.concurrency.rate == pytest.approx(7 * 40e6, rel=0.1)
    with pytest.raises(ValueError, match="at least one"):
        Concurrency(0)


STEPS = st.sampled_from(["begin", "fail", "sent", "end", "lost"])


@given(st.lists(st.tuples(STEPS, st.floats(0, 5), st.just(0) | st.integers(0, 10**9))))
def test_limit_stays_between_one_and_thirty_two(steps: list[tuple[str, float, int]]) -> None:
    """The limit is always from 1 to 32."""
    hand = Clock()
    concurrency = Concurrency(clock=hand, cpu=float)
    flights: list[PartInFlight] = []
    actions: dict[str, Callable[[int], object]] = {
        "begin": lambda count: flights.append(concurrency.begin(count)),
        "fail": lambda _count: concurrency.failed(),
        "sent": lambda count: concurrency.sent(flights[0], count) if flights else None,
        "end": lambda _count: concurrency.end(flights.pop(), stored=True) if flights else None,
        "lost": lambda _count: concurrency.end(flights.pop(), stored=False) if flights else None,
    }
    for step, seconds, count in steps:
        hand.now += seconds
        actions[step](count)
        assert 1 <= concurrency.limit <= MOST_PARTS


# The parts of files that have a thread


def file_of(parts: PartPool, send: Callable[[FileParts, Part], SentPart]) -> tuple[FileParts, queue.SimpleQueue[Any]]:
    """A file without an upload, and the results of its parts."""
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    upload: Any = SimpleNamespace(plan=None, parallel=True, part_size=1)
    return FileParts(upload, parts, send, results.put), results


def pool_of(limit: int) -> PartPool:
    context: Any = SimpleNamespace(stop=Stop())
    parts = PartPool(context, Concurrency())
    parts.fix(limit)
    return parts


def test_parts_that_are_held_follow_a_limit_that_shrinks() -> None:
    """After many small files, no more parts of a large one are held ahead than its lower limit allows."""
    parts = pool_of(8)
    held: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    ended = threading.Semaphore(0)
    now: set[int] = set()

    def send(_file: FileParts, part: Part) -> SentPart:
        now.add(part.number)
        held.put((part.number, len(now)))
        ended.acquire()
        now.remove(part.number)
        return SentPart(part.number, part.size, None, {})

    file, results = file_of(parts, send)
    parts.add(file, [Part(number, 0, 1) for number in range(1, 31)])
    assert sorted(held.get()[0] for _ in range(16)) == list(range(1, 17))
    assert held.empty()
    parts.fix(1)
    for _ in range(14):
        ended.release()
        results.get()
    later = []
    for _ in range(14):  # each time one ends, the next one begins
        ended.release()
        results.get()
        later.append(held.get())
    ended.release(2)
    assert [results.get() for _ in range(2)]
    assert sorted(number for number, _ in later) == list(range(17, 31))
    assert {count for _, count in later} == {2}
    parts.withdraw(file, drop=False)
    with pytest.raises(Interrupted), parts.slot(file):
        pass


def test_slots_go_to_those_who_wait_longest() -> None:
    """A worker that frees its slot and wants one again gets it after a worker that waits already."""
    parts = pool_of(1)
    first, _ = file_of(parts, lambda *_: SentPart(1, 1, None, {}))
    order: list[str] = []
    waits = threading.Event()

    class Other(FileParts):
        """A file whose thread says that it waits."""

        @property
        def withdrawn(self) -> bool:
            waits.set()
            return False

        @withdrawn.setter
        def withdrawn(self, value: bool) -> None:
            pass

    def other() -> None:
        with parts.slot(Other(first.upload, None, first.send, first.put)):
            order.append("other")

    thread = threading.Thread(target=other)
    with parts.slot(first):
        thread.start()
        waits.wait()
    with parts.slot(first):
        order.append("again")
    thread.join()
    assert order == ["other", "again"]


def test_a_system_without_more_threads_sends_with_those_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system allows only one thread for parts, it sends all parts of all files; if none, an error says so."""
    parts = pool_of(4)
    file, results = file_of(parts, lambda _file, part: SentPart(part.number, part.size, None, {}))
    start, allowed = threading.Thread.start, 1

    def few(thread: threading.Thread) -> None:
        nonlocal allowed
        if allowed <= 0:
            raise RuntimeError("can't start new thread")
        allowed -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    parts.add(file, [Part(number, 0, 1) for number in range(1, 31)])
    assert sorted(results.get().number for _ in range(30)) == list(range(1, 31))
    none = pool_of(1)
    with pytest.raises(RuntimeError, match="new thread"):
        none.add(file, [Part(1, 0, 1)])
    assert none.withdraw(file, drop=True) == 1
