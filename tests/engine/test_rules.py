"""The engine's rules by themselves: no sockets, no threads, a clock in the hand."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.clock import ServerClock
from cavatica_upload.engine.announcer import Announcer
from cavatica_upload.engine.checkpoints import EVERY_SECONDS, Checkpoints
from cavatica_upload.engine.circuit import Circuit
from cavatica_upload.engine.concurrency import MOST, REST_WINDOWS, START, START_SIDE_BY_SIDE, Concurrency
from cavatica_upload.engine.tries import ATTEMPTS, LONGEST_DELAY, WRONG_ANSWERS, Tries, full_jitter
from cavatica_upload.errors import (
    BadRequest,
    CertificateUntrusted,
    Conflict,
    ConnectionFailed,
    EtagMismatch,
    Forbidden,
    MissingHeader,
    NotFound,
    PartNotReserved,
    PartRefused,
    ServerError,
    SourceError,
    StorageError,
    Unauthorized,
    UrlExpired,
)
from cavatica_upload.events import BytesSent, Event, Notice
from cavatica_upload.journal.records import SentPart
from cavatica_upload.plan import MIB
from cavatica_upload.storage import etags
from cavatica_upload.storage.throttle import Throttle


class Hand:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += seconds


# Concurrency


def grow(
    rate: Callable[[int], float], windows: int, fixed: int | None = None, busy_cores: float = 0
) -> tuple[Concurrency, list[int]]:
    """Run windows of half a second in which `rate(limit)` bytes a second go out; return the limits.

    Of the machine's two cores this process keeps `busy_cores` busy.
    """
    hand = Hand()
    concurrency = Concurrency(fixed, clock=hand, cpu=lambda: hand() * busy_cores, cores=2)
    limits = []
    for _ in range(windows):
        concurrency.sent(0)  # a window begins with its first bytes
        hand.turn(0.5)
        concurrency.sent(max(int(rate(concurrency.limit) * 0.5), 20 * MIB))
        concurrency.tick(concurrency.limit)
        limits.append(concurrency.limit)
    return concurrency, limits


def test_more_connections_where_they_are_scarce() -> None:
    """With every connection capped the limit doubles up to 32, within three windows."""
    _, limits = grow(lambda limit: limit * 40 * MIB, 4)
    assert limits == [8, 16, 32, 32]


def test_no_more_connections_where_they_bring_nothing() -> None:
    """On a link that is full the limit goes back to where it was, and rests there."""
    _, limits = grow(lambda _limit: 500 * MIB, 6)
    assert limits == [8, START, START, START, START, START]


def test_no_more_connections_where_the_processors_are_busy() -> None:
    """While this process fills more than half of the machine nothing is tried, whatever more parts might bring."""
    _, limits = grow(lambda limit: limit * 40 * MIB, 4, busy_cores=1.2)
    assert limits == [START] * 4
    _, limits = grow(lambda limit: limit * 40 * MIB, 4, busy_cores=0.8)
    assert limits == [8, 16, 32, 32]


def test_a_level_is_doubted_again_after_a_while() -> None:
    """A network that has become faster is noticed."""
    _, limits = grow(lambda _limit: 500 * MIB, REST_WINDOWS + 4)
    assert limits[-1] != START or limits[-2] != START


def test_errors_shrink_the_limit_but_not_below_one() -> None:
    """Each error takes three tenths, and one part at least stays in flight."""
    concurrency = Concurrency(start=START_SIDE_BY_SIDE, clock=Hand(), cpu=float)
    limits = []
    for _ in range(6):
        concurrency.failed()
        limits.append(concurrency.limit)
    assert limits == [5, 3, 2, 1, 1, 1]


def test_fixed_limit_stays() -> None:
    """A limit that was set is not touched by throughput nor by errors."""
    concurrency, limits = grow(lambda limit: limit * 40 * MIB, 5, fixed=7)
    concurrency.failed()
    assert {*limits, concurrency.limit} == {7}
    with pytest.raises(ValueError, match="at least one"):
        Concurrency(0)


def test_window_in_which_the_limit_was_not_reached_says_nothing() -> None:
    """With fewer parts in flight than allowed the limit is left alone."""
    hand = Hand()
    concurrency = Concurrency(clock=hand, cpu=float)
    concurrency.sent(0)
    hand.turn(1)
    concurrency.sent(100 * MIB)
    assert not concurrency.tick(START - 1)
    assert concurrency.limit == START


def test_wait_before_the_first_bytes_is_no_low_rate() -> None:
    """A window begins with its first bytes: the calls before them do not make the next window look better."""
    hand = Hand()
    concurrency = Concurrency(clock=hand, cpu=float)
    hand.turn(60)
    concurrency.sent(0)
    hand.turn(1)
    concurrency.sent(100 * MIB)
    concurrency.tick(START)
    assert concurrency.rate == 100 * MIB


@given(st.lists(st.tuples(st.sampled_from(["fail", "sent", "tick"]), st.floats(0, 5), st.integers(0, 10**9))))
def test_limit_stays_between_one_and_thirty_two(steps: list[tuple[str, float, int]]) -> None:
    """Whatever happens, the limit is from 1 to 32."""
    hand = Hand()
    concurrency = Concurrency(clock=hand, cpu=float)
    for step, seconds, count in steps:
        hand.turn(seconds)
        if step == "fail":
            concurrency.failed()
        elif step == "sent":
            concurrency.sent(count)
        else:
            concurrency.tick(concurrency.limit)
        assert 1 <= concurrency.limit <= MOST


# Checkpoints


@given(st.lists(st.floats(0, 200), min_size=1, max_size=300))
def test_reports_are_never_more_than_one_in_thirty_two(pauses: list[float]) -> None:
    """However slowly parts come, N parts cost at most N/32 reports, rounded up, and none is lost or told twice."""
    hand = Hand()
    checkpoints = Checkpoints()
    reports, told = 0, []
    for number, pause in enumerate(pauses, start=1):
        hand.turn(pause)
        checkpoints.add(SentPart(number, 1, None, {}), hand())
        if checkpoints.due(hand()):
            reports += 1
            told += [part.number for part in checkpoints.take()]
    assert reports <= -(-len(pauses) // 32)
    told += [part.number for part in checkpoints.take()]
    assert told == list(range(1, len(pauses) + 1))


def test_report_is_due_after_a_minute() -> None:
    """One part alone is reported when it is a minute old."""
    checkpoints = Checkpoints()
    checkpoints.add(SentPart(1, 1, None, {}), 0.0)
    assert not checkpoints.due(EVERY_SECONDS - 1)
    assert checkpoints.due(EVERY_SECONDS)


# Tries


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (StorageError("reset"), ATTEMPTS),
        (PartRefused("slow down", status=503), ATTEMPTS),
        (PartRefused("too many", status=429), ATTEMPTS),
        (ServerError("api", status=500), ATTEMPTS),
        (ConnectionFailed("no network"), ATTEMPTS),
        (PartNotReserved("reserve", status=409, code=8008), ATTEMPTS),
        (EtagMismatch("damaged"), WRONG_ANSWERS),
        (MissingHeader("no ETag", header="ETag"), WRONG_ANSWERS),
        (PartRefused("bad request", status=400), WRONG_ANSWERS),
        (UrlExpired("expired", status=403), WRONG_ANSWERS + 1),
        (SourceError("cut short"), 1),
        (CertificateUntrusted("unknown authority"), 1),
        (Unauthorized("token", status=401), 1),
        (BadRequest("bad", status=400), 1),
        (Conflict("other", status=409), 1),
        (ValueError("a bug"), 1),
    ],
)
def test_every_error_is_tried_a_bounded_number_of_times(error: Exception, tries: int) -> None:
    """Trouble that may pass is tried eight times, wrong answers four times, the rest once."""
    so_far = Tries(started=0.0)
    count = 1
    while so_far.after(error, lambda _failures: 0.0) is not None:
        count += 1
    assert count == tries


def test_first_refused_url_is_no_failure() -> None:
    """A URL that has expired is asked for anew at once; a second time it is trouble."""
    tries = Tries(started=0.0)
    first = tries.after(UrlExpired("expired", status=403), lambda failures: float(failures))
    second = tries.after(UrlExpired("expired", status=403), lambda failures: float(failures))
    assert first is not None
    assert second is not None
    assert (first.delay, first.new_url, second.delay, second.new_url) == (0.0, True, 1.0, True)


@given(st.integers(1, 1000))
def test_delays_are_bounded(failures: int) -> None:
    """However many failures, a delay is between nothing and a minute."""
    assert 0 <= full_jitter(failures) <= min(LONGEST_DELAY, 0.5 * 2 ** min(failures - 1, 20))


# The rest


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_throttle_keeps_the_rate(blocks: list[int]) -> None:
    """The bytes that were let through never exceed the rate, but for the quarter of a second it may be ahead."""
    hand = Hand()
    throttle = Throttle(1e6, clock=hand, wait=hand.turn)
    began = hand()
    sent = 0
    for block in blocks:
        throttle.take(block)
        assert sent <= (hand() - began + 0.25) * 1e6 + 1
        sent += block


def test_throttle_needs_a_rate() -> None:
    """A rate of nothing is refused."""
    with pytest.raises(ValueError, match="more than 0"):
        Throttle(0)


@pytest.mark.parametrize("error", [Unauthorized("token", status=401), CertificateUntrusted("unknown authority")])
def test_what_holds_for_every_file_breaks_the_circuit_at_once(error: Exception) -> None:
    """A refused token and a certificate that cannot be verified end the run."""
    circuit = Circuit()
    circuit.failed(error)
    assert circuit.broken_by is error


def test_circuit() -> None:
    """Missing rights break it after three files in a row, a file's own trouble never."""
    circuit = Circuit()
    for _ in range(2):
        circuit.failed(Forbidden("no", status=403))
    circuit.succeeded()
    circuit.failed(NotFound("no project", status=404, code=3002))
    circuit.failed(NotFound("no such file", status=404, code=5002))
    circuit.failed(SourceError("missing"))
    assert circuit.broken_by is None
    circuit.failed(Forbidden("no", status=403))
    assert circuit.broken_by is None
    circuit.failed(Forbidden("no", status=403))
    assert isinstance(circuit.broken_by, Forbidden)


def test_server_clock_is_believed() -> None:
    """How long a URL lives is told by the server's clock, not by ours."""
    hand = Hand()
    clock = ServerClock(now=hand)
    hand.now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC).timestamp()
    for wrong in (None, "", "yesterday", "Thu, 99 Jan 2026 13:00:00 GMT"):
        clock.observe(wrong)
    assert not clock.known
    clock.observe("Thu, 01 Jan 2026 13:00:00 GMT")
    assert clock.seconds_until(datetime(2026, 1, 1, 13, 10, 0, tzinfo=UTC)) == pytest.approx(600, abs=1)
    assert clock.seconds_until(datetime(2026, 1, 1, 13, 10, 0)) == pytest.approx(600, abs=1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("etag", "bare"),
    [
        ('"D41D8CD98F00B204E9800998ECF8427E"', "d41d8cd98f00b204e9800998ecf8427e"),
        ('W/"d41d8cd98f00b204e9800998ecf8427e"', "d41d8cd98f00b204e9800998ecf8427e"),
        (" d41d8cd98f00b204e9800998ecf8427e ", "d41d8cd98f00b204e9800998ecf8427e"),
        ('"abc-2"', "abc-2"),
        ('"', '"'),
    ],
)
def test_etags_are_compared_bare(etag: str, bare: str) -> None:
    """Quotes, a weak mark and the case of an MD5 make no difference."""
    assert etags.bare(etag) == bare
    assert etags.same(etag, bare)
    assert etags.is_md5(etag) == (len(bare) == 32)
    assert not etags.same(None, None)


def test_bytes_are_told_in_sums_before_what_follows_them() -> None:
    """Listeners hear of bytes in sums, and always before the event that came after them."""
    heard: list[Event] = []
    announcer = Announcer([heard.append])
    for count in (5, 6, -1):
        announcer.count("a", count)
    announcer.count("b", 3)
    announcer.count("b", -3)
    announcer.tell(Notice("a", "hello"))
    announcer.flush()
    assert heard == [BytesSent("a", 10), Notice("a", "hello")]
