"""The rules of the call budget, against a model of the platform that counts calls in windows."""

from email.utils import formatdate

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavatica_upload.budget.ratelimit import MARGIN, Reading, read_rate_limit
from cavatica_upload.budget.window import Window, give_back, reserve_of, rolled, settle, take

RESERVE = 0.01


class Platform:
    """Counts calls in fixed windows, and says so in whole seconds of its own clock."""

    def __init__(self, limit: int, length: float, phase: float, skew: float) -> None:
        self.limit, self.length, self.phase, self.skew = limit, length, phase, skew
        self.window = -1
        self.used = 0
        self.refused = 0

    def ask(self, now: float, cost: int = 1) -> tuple[bool, dict[str, str]]:
        window = int((now - self.phase) // self.length)
        if window != self.window:
            self.window, self.used = window, 0
        granted = self.used + cost <= self.limit
        if granted:
            self.used += cost
        else:
            self.refused += 1
        reset = self.phase + (window + 1) * self.length + self.skew
        return granted, {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.limit - self.used),
            "X-RateLimit-Reset": str(int(reset)),
            "Date": formatdate(int(now + self.skew), usegmt=True),
        }


@attrs.frozen
class Flight:
    number: int
    refused: bool
    headers: dict[str, str]


@settings(max_examples=150)
@given(
    limit=st.integers(1, 40),
    length=st.integers(10, 600),
    phase=st.floats(0, 600),
    skew=st.sampled_from([0.0, 3600.0, -3600.0, 0.7]),
    steps=st.lists(st.tuples(st.sampled_from("tttta"), st.floats(0, 3), st.integers(0, 50)), min_size=20, max_size=120),
)
def test_never_refused(limit: int, length: int, phase: float, skew: float, steps: list[tuple[str, float, int]]) -> None:
    """Once the limit is known, no call is refused, however answers overtake each other, half the limit in flight."""
    platform = Platform(limit, float(length), phase, skew)
    now = 1_800_000_000.0
    _, headers = platform.ask(now)
    window = settle(Window(), now, None, read_rate_limit(headers, now))
    flights: list[Flight] = []
    for what, pause, which in steps:
        now += pause
        if what == "t" and len(flights) <= limit // 2:
            window, wait = take(window, now, RESERVE)
            if not wait:
                granted, headers = platform.ask(now)
                flights.append(Flight(window.number, not granted, headers))
            elif not flights:
                now += wait
        elif flights:
            flight = flights.pop(which % len(flights))
            window = settle(window, now, flight.number, read_rate_limit(flight.headers, now), flight.refused)
        assert window.limit == limit
        assert 0 <= window.left <= limit
        assert window.ends <= now + 2 * length + 2 * MARGIN + 310
    assert platform.refused == 0


@given(limit=st.integers(3, 2000), length=st.integers(10, 600), elapsed=st.floats(0, 0.9), lag=st.integers(1, 32))
def test_a_window_can_be_used(limit: int, length: int, elapsed: float, lag: int) -> None:
    """All of a window but its reserve can be used without a wait, with many calls in flight."""
    start = 1_800_000_000.0
    platform = Platform(limit, float(length), start, 0.0)
    now = start + elapsed * length
    window, flights, used = Window(), [], 0
    window, wait = take(window, now, RESERVE)
    while not wait:
        granted, headers = platform.ask(now)
        assert granted
        used += 1
        flights.append((window.number, headers))
        if used == 1 or len(flights) >= lag:  # the first answer is waited for, as that of the start of an upload is
            number, headers = flights.pop(0)
            window = settle(window, now, number, read_rate_limit(headers, now))
        window, wait = take(window, now, RESERVE)
    assert used == limit - reserve_of(limit, RESERVE)
    assert start + length < now + wait <= start + length + MARGIN + 1


@given(limit=st.integers(1, 1000), fraction=st.floats(0, 0.99))
def test_reserve_leaves_something(limit: int, fraction: float) -> None:
    """However small the limit, at least one call can be made."""
    assert 0 <= reserve_of(limit, fraction) < limit


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
def test_clock_set_while_running(step: float) -> None:
    """A clock that is set by hours neither stops the calls nor is waited out."""
    now = 1_800_000_000.0
    window = settle(Window(), now, None, Reading(100, 0, int(now) + 300, 300.0))
    assert take(window, now, RESERVE)[1] > 290
    window, wait = take(window, now + step, RESERVE)
    assert wait == 0
    refused = settle(window, now + step, window.number, Reading(100, 0, int(now) + 300, 299.0), refused=True)
    assert 299 < take(refused, now + step, RESERVE)[1] <= 301


def test_others_use_the_token_too() -> None:
    """What others took from the window is learned from the next answer."""
    now = 1_800_000_000.0
    window = settle(Window(), now, None, Reading(1000, 999, int(now) + 300, 300.0))
    window, _ = take(window, now, RESERVE)
    window = settle(window, now, window.number, Reading(1000, 10, int(now) + 300, 300.0))
    assert take(window, now, RESERVE)[1] > 290


def test_late_answer_says_nothing() -> None:
    """An answer of the last window that arrives in the next one does not make the next one look spent."""
    now = 1_800_000_000.0
    window = settle(Window(), now, None, Reading(100, 1, int(now) + 10, 10.0))
    later = now + 12
    window = settle(rolled(window, later), later, 0, Reading(100, 0, int(now) + 10, 0.0))
    assert window.left == 100
    assert window.ends > later + 9


def test_unlimited() -> None:
    """A limit of -1, or no headers at all, is no limit."""
    assert read_rate_limit({}, 0) is None
    reading = read_rate_limit({"X-RateLimit-Limit": "-1", "X-RateLimit-Remaining": "9223372036854775807"}, 0)
    assert reading == Reading(limit=None, remaining=0)
    window = settle(Window(), 0, None, Reading(10, 0, 300, 300.0))
    assert take(window, 1, 0)[1] > 0
    assert take(settle(window, 1, None, reading), 1, 0)[1] == 0


@given(
    st.dictionaries(
        st.sampled_from(["X-RateLimit-Limit", "x-ratelimit-remaining", "X-RATELIMIT-RESET", "date"]),
        st.one_of(st.integers().map(str), st.text(max_size=12), st.just("Sun, 22 Nov 2026 10:00:00 GMT")),
    ),
    st.floats(0, 4e9),
)
def test_any_headers(headers: dict[str, str], now: float) -> None:
    """No header can break the reading, nor the window that learns from it."""
    window = settle(Window(), now, None, read_rate_limit(headers, now), refused=True)
    _, wait = take(window, now, RESERVE)
    assert 0 <= wait < 4000


def test_call_that_never_arrived() -> None:
    """A call that did not reach the server can be made again in the same window."""
    now = 1_800_000_000.0
    window = settle(Window(), now, None, Reading(10, 2, int(now) + 300, 300.0))
    taken, _ = take(window, now, RESERVE)
    assert taken.left == 1
    assert give_back(taken, now, taken.number).left == 2
    assert give_back(taken, now, taken.number - 1).left == 1, "that of another window is not"


def test_limit_that_comes_late() -> None:
    """Calls made while the server announced no limit are not held against the limit that it announces later."""
    now = 1_800_000_000.0
    window = Window()
    for _ in range(5000):
        window, wait = take(window, now, RESERVE)
        assert wait == 0
        window = settle(window, now, window.number, None)
    window, _ = take(window, now, RESERVE)
    window = settle(window, now, window.number, Reading(100, 99, int(now) + 300, 300.0))
    assert window.left == 99


def test_calls_in_flight_at_the_end_of_a_window() -> None:
    """Calls under way when a window ends may be counted in the next one, where they are not free."""
    now = 1_800_000_000.0
    window = settle(Window(), now, None, Reading(10, 10, int(now) + 10, 10.0))
    for _ in range(3):
        window, _ = take(window, now, RESERVE)
    window = rolled(window, now + 20)
    assert window.left == 7
    assert rolled(window, now + 2000).left == 10, "those of a process that died are forgotten a window later"
