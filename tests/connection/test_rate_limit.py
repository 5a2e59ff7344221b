"""The rate limit: what the server says is followed, other users of the token are counted, impossible headers are
ignored.
"""

import asyncio
import threading
import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import QUICK, TOKEN, UPLOAD, Loopback, answer

from cavatica_client.api.uploads import get_upload
from cavatica_mock import Fault, MockServer
from cavatica_upload.api.client import Api, connect
from cavatica_upload.api.rate_limit import LONGEST_WINDOW, RateLimiter, Reading, read_headers
from cavatica_upload.errors import Interrupted, UsageError
from cavatica_upload.events import Event, RateLimitWait, Retrying
from cavatica_upload.http.connections import Connections
from cavatica_upload.timing import Timing
from tests.clock import Clock

NOW = 1_800_000_000.0
MARGIN = Timing().reset_margin


def headers(limit: int, remaining: int, resets_in: float = 300, now: float = NOW) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(int(now + resets_in)),
    }


def limiter(clock: Clock | None = None, **options: object) -> RateLimiter:
    clock = clock or Clock(NOW)
    return RateLimiter(clock=clock, wall=clock, **options)  # type: ignore[arg-type]


def spent(limit: RateLimiter) -> int:
    """Return how many calls can be made without a wait."""
    count = 0
    while not limit.try_acquire():
        count += 1
    return count


class Platform:
    """Counts calls in fixed windows, and reports them in whole seconds of its own clock."""

    def __init__(self, limit: int, length: float, phase: float, skew: float) -> None:
        self.limit, self.length, self.phase, self.skew = limit, length, phase, skew
        self.window = -1
        self.used = 0
        self.refused = 0

    def ask(self, now: float) -> tuple[bool, dict[str, str]]:
        window = int((now - self.phase) // self.length)
        if window != self.window:
            self.window, self.used = window, 0
        granted = self.used < self.limit
        self.used += granted
        self.refused += not granted
        reset = self.phase + (window + 1) * self.length + self.skew
        return granted, {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.limit - self.used),
            "X-RateLimit-Reset": str(int(reset)),
            "Date": formatdate(int(now + self.skew), usegmt=True),
        }


@settings(max_examples=150)
@given(
    limit=st.integers(1, 40),
    length=st.integers(10, 500),
    phase=st.floats(0, 600),
    skew=st.sampled_from([0.0, 3600.0, -3600.0, 0.7]),
    steps=st.lists(st.tuples(st.sampled_from("tttta"), st.floats(0, 3), st.integers(0, 50)), min_size=20, max_size=120),
)
def test_never_refused(limit: int, length: int, phase: float, skew: float, steps: list[tuple[str, float, int]]) -> None:
    """Once the limit is known, a single process is never refused, in whatever order answers arrive."""
    platform, clock = Platform(limit, float(length), phase, skew), Clock(NOW)
    limiting = limiter(clock)
    limiting.record(platform.ask(clock.now)[1], counted=False)
    flights: list[tuple[bool, dict[str, str]]] = []
    for what, pause, which in steps:
        clock.now += pause
        if what == "t" and len(flights) <= limit // 2:
            wait = limiting.try_acquire()
            assert wait <= length + 310 + 2 * MARGIN
            if not wait:
                flights.append(platform.ask(clock.now))
            elif not flights:
                clock.now += wait
        elif flights:
            granted, said = flights.pop(which % len(flights))
            limiting.record(said, refused=not granted)
        assert limiting.limit == limit
        assert 0 <= (limiting.remaining or 0) <= limit
    assert platform.refused == 0


@given(limit=st.integers(3, 2000), length=st.integers(10, 500), elapsed=st.floats(0, 0.9), lag=st.integers(1, 32))
def test_a_window_can_be_used(limit: int, length: int, elapsed: float, lag: int) -> None:
    """All calls of a window except the reserve can be made without a wait, with many in flight."""
    platform, clock = Platform(limit, float(length), NOW, 0.0), Clock(NOW)
    clock.now = NOW + elapsed * length
    limiting, flights, used = limiter(clock), [], 0
    while not (wait := limiting.try_acquire()):
        granted, said = platform.ask(clock.now)
        assert granted
        used += 1
        flights.append(said)
        if used == 1 or len(flights) >= lag:  # the first answer is waited for, like that of the start of an upload
            limiting.record(flights.pop(0))
    assert limit - used == min(-(-limit // 100), limit - 1)
    assert NOW + length < clock.now + wait <= NOW + length + MARGIN + 1


def test_unknown_is_unlimited() -> None:
    """If the server has announced no limit, calls do not wait."""
    limiting = limiter()
    assert (limiting.limit, limiting.remaining) == (None, None)
    for _ in range(2000):
        limiting.acquire()
        limiting.record({})
    assert limiting.limit is None


def test_spent_to_the_reserve() -> None:
    """The remaining calls except the reserve can be made without a wait."""
    limiting = limiter(reserve=0.02)
    limiting.record(headers(100, 90))
    assert (limiting.limit, limiting.remaining) == (100, 90)
    assert spent(limiting) == 88


def test_share() -> None:
    """A share of a quarter uses a quarter of the limit in each window."""
    clock = Clock(NOW)
    limiting = limiter(clock, share=0.25)
    limiting.record(headers(100, 100, 30), counted=False)
    assert spent(limiting) == 25
    for _ in range(25):
        limiting.record({})
    clock.now += 40
    assert spent(limiting) == 25


@pytest.mark.parametrize(
    "wrong", [{"share": 0}, {"share": 1.5}, {"share": "x"}, {"reserve": 1}, {"reserve": -0.1}, {"reserve": None}]
)
def test_fractions(wrong: dict[str, object]) -> None:
    """Share and reserve are between 0 and 1."""
    with pytest.raises(UsageError, match="fraction"):
        RateLimiter(**wrong)  # type: ignore[arg-type]


@given(limit=st.integers(1, 1000), fraction=st.floats(0, 0.99))
def test_reserve_leaves_something(limit: int, fraction: float) -> None:
    """With any limit at least one call can be made."""
    limiting = limiter(reserve=fraction)
    limiting.record(headers(limit, limit), counted=False)
    assert spent(limiting) >= 1


def test_threads_share() -> None:
    """Threads together make exactly the remaining calls."""
    limiting = limiter()
    limiting.record(headers(300, 300), counted=False)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(spent(limiting))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 297


def test_others_use_the_token_too() -> None:
    """Calls of other processes are learned from the next answer."""
    limiting = limiter()
    limiting.record(headers(1000, 999))
    limiting.acquire()
    limiting.record(headers(1000, 10))
    assert limiting.try_acquire() > 290


def test_late_answer_does_not_count() -> None:
    """A late answer of the last window does not count against the next one."""
    clock = Clock(NOW)
    limiting = limiter(clock)
    limiting.record(headers(100, 3, 10))
    limiting.acquire()
    clock.now += 12
    assert limiting.remaining == 99
    limiting.record({**headers(100, 0, 10), "Date": formatdate(NOW + 9, usegmt=True)})
    assert limiting.remaining == 99


def test_later_reset_starts_the_next_window() -> None:
    """An answer with a later reset starts the next window, and calls in flight count in it."""
    limiting = limiter()
    limiting.record(headers(100, 50, 100))
    for _ in range(4):
        limiting.acquire()
    limiting.record(headers(100, 99, 400))
    assert limiting.remaining == 96


def test_limit_that_comes_late() -> None:
    """Calls made before a limit was announced do not count against it."""
    limiting = limiter()
    for _ in range(5000):
        limiting.acquire()
        limiting.record({})
    limiting.acquire()
    limiting.record(headers(100, 99))
    assert limiting.remaining == 99


def test_given_back() -> None:
    """A call that never reached the server is not counted, in a share either."""
    limiting = limiter(share=0.5)
    limiting.record(headers(10, 10), counted=False)
    for _ in range(50):
        limiting.acquire()
        limiting.give_back()
    assert spent(limiting) == 5


def test_calls_in_flight_at_the_end_of_a_window() -> None:
    """Calls in flight at the end of a window count in the next one."""
    clock = Clock(NOW)
    limiting = limiter(clock)
    limiting.record(headers(10, 10, 10), counted=False)
    for _ in range(3):
        limiting.acquire()
    clock.now += 20
    assert limiting.remaining == 7


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        (headers(100, 0, 120), 120, 121),
        ({"Retry-After": "7"}, 7, 8),
        ({"Retry-After": formatdate(NOW + 7, usegmt=True)}, 7, 8),
        ({"Retry-After": "99999999999"}, 60, LONGEST_WINDOW + 1),
        ({"X-RateLimit-Reset": str(int(NOW + 1e8))}, 0, 303),
        ({}, 0, 303),
    ],
)
def test_refusal_stops_all_calls(said: dict[str, str], least: float, most: float, known: bool) -> None:
    """After a 429 no call is made until the reset, however late it is."""
    clock = Clock(NOW)
    limiting = limiter(clock)
    if known:
        limiting.record(headers(100, 100))
    limiting.acquire()
    limiting.record(said, refused=True)
    wait = limiting.try_acquire()
    assert least <= wait <= most
    clock.now += most
    assert limiting.try_acquire() == 0


@pytest.mark.parametrize("said", [{}, {"X-RateLimit-Reset": f"{NOW + 10:.0f}", "Date": formatdate(NOW + 13)}])
def test_window_that_ends_later_than_announced(said: dict[str, str]) -> None:
    """A 429 after the announced end of a window costs a moment, and not the next window."""
    clock = Clock(NOW)
    limiting = limiter(clock)
    limiting.record(headers(100, 0, 10))
    clock.now += 13
    assert limiting.try_acquire() == 0
    limiting.record(said, refused=True)
    assert limiting.try_acquire() <= Timing().first_backoff + MARGIN


@pytest.mark.parametrize("said", [{"Retry-After": "1"}, {"Retry-After": formatdate(NOW + 1, usegmt=True)}, {}])
def test_refused_burst(said: dict[str, str]) -> None:
    """If a gateway refuses many calls at once, that costs a moment, and the share of the window stays what it is."""
    clock = Clock(NOW)
    limiting = limiter(clock, share=0.25)
    limiting.record(headers(100, 100, 300), counted=False)
    for _ in range(10):
        limiting.acquire()
    for _ in range(10):
        limiting.record(said, refused=True)
    clock.now += max(1, Timing().first_backoff) + MARGIN
    assert spent(limiting) == 15


@pytest.mark.parametrize("said", [headers(100, 50, 250), headers(-1, 0, 250), headers(-1, 2**63 - 1, 250)])
def test_refused_though_calls_are_left(said: dict[str, str]) -> None:
    """A 429 that says that calls are left, or that there is no limit, does not wait for the end of a window."""
    limiting = limiter()
    limiting.acquire()
    limiting.record(said, refused=True)
    assert limiting.try_acquire() <= Timing().first_backoff + MARGIN


def test_refusals_in_a_row() -> None:
    """Without a hint, each refusal makes the next wait longer on average, up to the longest pause."""
    clock = Clock(NOW)
    limiting = limiter(clock)
    waits = []
    for _ in range(100):
        limiting.acquire()
        limiting.record({}, refused=True)
        waits.append(limiting.try_acquire())
        clock.now += waits[-1]
    assert max(waits[:3]) <= 4 * Timing().first_backoff + MARGIN
    assert 30 < max(waits) <= Timing().longest_backoff + MARGIN


DATE = "Sun, 22 Nov 2026 10:00:00 GMT"
AT = 1795341600  # the same in epoch seconds


def wait_after(said: dict[str, str], now: float) -> float:
    """Return the wait after a 429 with these headers."""
    limiting = limiter(Clock(now))
    limiting.acquire()
    limiting.record(said, refused=True)
    return limiting.try_acquire()


@pytest.mark.parametrize("wrong", [-3600.0, 0.0, 3600.0, 1e9])
def test_reset_with_a_wrong_clock(wrong: float) -> None:
    """The wait for a reset follows the server's clock, even if ours is wrong by an hour."""
    wait = wait_after({"Date": DATE, "X-RateLimit-Reset": str(AT + 120)}, AT + wrong)
    assert wait == pytest.approx(120 + MARGIN, abs=1e-3)


@pytest.mark.parametrize("reset", [AT - 5000, AT + 30, AT + 100_000, (AT + 30) * 1000, 0])
@pytest.mark.parametrize("date", [DATE, "nonsense", None])
def test_reset_is_never_an_hour_away(reset: int, date: str | None) -> None:
    """With any headers the wait is above zero and at most a window."""
    said = {"x-ratelimit-reset": str(reset)} | ({} if date is None else {"date": date})
    wait = wait_after(said, AT - 3600)
    assert MARGIN <= wait <= LONGEST_WINDOW
    if date != DATE:
        assert wait <= Timing().longest_backoff + MARGIN


@pytest.mark.parametrize("said", ["7", "7.0", "Sun, 22 Nov 2026 10:00:07 GMT"])
def test_retry_after(said: str) -> None:
    """Retry-After is followed in both its forms, although the platform does not document it."""
    assert wait_after({"Retry-After": said, "Date": DATE}, AT - 3600) == pytest.approx(7 + MARGIN, abs=1e-3)


CANNOT_BE_TRUE = {
    "limit 0": headers(0, 0),
    "limit -1": headers(-1, 0),
    "limit -7": headers(-7, 3),
    "no end": {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "0"},
    "reset in 2099": headers(1000, 0, 4_070_908_800 - NOW),
    "reset in an hour": headers(1000, 0, 3600),
    "reset long ago": headers(1000, 0, -3600),
    "reset 0": headers(1000, 0, -NOW),
    "reset of 30 digits": {**headers(1000, 0), "X-RateLimit-Reset": "9" * 30},
    "reset in words": {**headers(1000, 0), "X-RateLimit-Reset": "soon"},
    "limit in words": {**headers(1000, 0), "X-RateLimit-Limit": "many"},
    "remaining in words": {**headers(1000, 0), "X-RateLimit-Remaining": "few"},
    "two values": {**headers(1000, 0), "X-RateLimit-Reset": f"{NOW:.0f}, {NOW + 9:.0f}"},
    "date of another century": {**headers(1000, 0), "Date": "Sun, 22 Nov 1926 10:00:00 GMT"},
}


@pytest.mark.parametrize("said", CANNOT_BE_TRUE.values(), ids=CANNOT_BE_TRUE.keys())
def test_impossible_headers_block_no_call(said: dict[str, str]) -> None:
    """Answers with impossible headers block no call."""
    limiting = limiter()
    for _ in range(50):
        assert limiting.try_acquire() == 0
        limiting.record(said)


def test_limit_ends_with_its_window() -> None:
    """If only one answer had headers, the limit ends with its window."""
    clock = Clock(NOW)
    limiting = limiter(clock)
    limiting.record(headers(1, 0, 10))
    assert limiting.try_acquire() > 10
    clock.now += 12
    for _ in range(50):
        assert limiting.try_acquire() == 0
        limiting.record({})


@given(
    st.dictionaries(
        st.sampled_from(["X-RateLimit-Limit", "x-ratelimit-remaining", "X-RATELIMIT-RESET", "date", "Retry-After"]),
        st.one_of(st.integers().map(str), st.text(max_size=12), st.just("Sun, 22 Nov 2026 10:00:00 GMT")),
    ),
    st.floats(0, 4e9),
    st.booleans(),
)
def test_any_headers(said: dict[str, str], now: float, refused: bool) -> None:
    """Any headers can be read, and no wait is longer than a window."""
    clock = Clock(NOW)
    clock.now = now
    limiting = limiter(clock)
    for _ in range(2):
        limiting.record(said, refused=refused)
        assert 0 <= limiting.try_acquire() <= LONGEST_WINDOW + MARGIN


def test_numbers_with_a_decimal_point() -> None:
    """Numbers with a decimal point are read."""
    said = {f"{name}": f"{value}.0" for name, value in headers(1000, 7, 120).items() if name != "Date"}
    assert read_headers(said, NOW) == read_headers(headers(1000, 7, 120), NOW)


def test_reset_in_milliseconds() -> None:
    """A reset in milliseconds, as in an example of the documentation, is recognised."""
    said = {**headers(10, 5), "X-RateLimit-Reset": str(int(NOW + 30) * 1000)}
    assert read_headers(said, NOW) == Reading(10, 5, int(NOW + 30), 30.0)


def test_wait_is_reported_once_and_cancelled() -> None:
    """A wait of several threads is reported once, and ends when it is cancelled."""
    waits: list[float] = []
    cancel = threading.Event()

    def on_wait(seconds: float) -> None:
        waits.append(seconds)
        cancel.set()

    limiting = limiter()
    limiting.record(headers(10, 0, 60))
    for _ in range(3):
        with pytest.raises(Interrupted, match="rate limit"):
            limiting.acquire(cancel, on_wait)
    assert len(waits) == 1
    assert 60 <= waits[0] <= 62


def test_eighty_parts_in_a_hundred_calls() -> None:
    """With 100 calls in 5 minutes, the 82 calls of 80 parts are made without a wait and without a 429."""
    events: list[Event] = []
    with (
        MockServer(rate_limit=(100, 300)) as mock,
        connect(mock.token, mock.base_url, on_event=events.append) as client,
    ):
        threads = [threading.Thread(target=lambda: [list(client.list_uploads()) for _ in range(9)]) for _ in range(9)]
        list(client.list_uploads())
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mock.calls["listUploads"] == 82
        assert client.rate_limiter.remaining == 18
    assert events == []


def test_more_calls_than_a_window_has() -> None:
    """Calls above the limit wait for the next window, and none is refused."""
    clock, events = Clock(NOW), []

    def wait(event: Event) -> None:
        events.append(event)
        if isinstance(event, RateLimitWait):
            clock.turn(event.seconds)  # for server and client, which were in one window however long the calls took

    with (
        MockServer(rate_limit=(10, 1), clock=clock) as mock,
        connect(mock.token, mock.base_url, rate_limiter=limiter(clock, timing=QUICK), on_event=wait) as client,
    ):
        for _ in range(10):
            assert events == []  # one of ten is kept in reserve
            list(client.list_uploads())
        assert mock.calls["listUploads"] == 10
    assert [type(event) for event in events] == [RateLimitWait]


def test_calls_of_cancelled_tasks_are_over() -> None:
    """Calls of asyncio tasks that were cancelled do not count as calls in flight in the windows after."""
    clock, stalled = Clock(NOW), Fault("listUploads", "stall", after=1, times=None)

    async def give_up(mock: MockServer, api: Api) -> None:
        async with api:
            assert await anext(api.aio.list_uploads(), None) is None
            for number in range(2, 17):
                task = asyncio.ensure_future(anext(api.aio.list_uploads(), None))
                while mock.calls["listUploads"] < number:
                    await asyncio.sleep(0.001)
                task.cancel()
                await asyncio.wait([task])

    with (
        MockServer(rate_limit=(20, 300), clock=clock, faults=[stalled]) as mock,
        connect(mock.token, mock.base_url, rate_limiter=limiter(clock)) as api,
    ):
        asyncio.run(give_up(mock, api))
        assert api.rate_limiter.remaining == 4
        clock.turn(400)
        assert api.rate_limiter.remaining == 20


def test_calls_that_were_interrupted_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that Ctrl-C ended, in a notebook for example, are not in flight in the windows after."""
    clock = Clock(NOW)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with (
        MockServer(rate_limit=(20, 300), clock=clock) as mock,
        connect(mock.token, mock.base_url, rate_limiter=limiter(clock)) as api,
    ):
        assert list(api.list_uploads()) == []
        monkeypatch.setattr(Connections, "handle_request", interrupted)
        for _ in range(15):
            with pytest.raises(KeyboardInterrupt):
                list(api.list_uploads())
        clock.turn(400)
        assert api.rate_limiter.remaining == 20


def test_two_at_the_end_of_a_window() -> None:
    """Two independent clients of one token both finish, since a refusal is a wait and no failure."""
    events: list[Event] = []
    with MockServer(rate_limit=(10, 1)) as mock:

        def run() -> None:
            with connect(mock.token, mock.base_url, attempts=1, on_event=events.append) as client:
                for _ in range(12):
                    list(client.list_uploads())

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mock.calls["listUploads"] >= 24
    assert [event for event in events if isinstance(event, Retrying)] == []


@pytest.mark.parametrize("said", [headers(0, 0, now=time.time()), headers(1000, 0, 3e9, now=time.time())])
def test_client_continues_after_impossible_headers(said: dict[str, str]) -> None:
    """After answers with impossible headers a client continues, on real connections too."""
    events: list[Event] = []
    with (
        Loopback(answer(200, UPLOAD, headers=said)) as server,
        connect(TOKEN, server.url, timing=QUICK, on_event=events.append) as client,
    ):
        for _ in range(20):
            get_upload.sync("u1", client=client)
    assert events == []
