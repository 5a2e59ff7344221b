"""The engine's rules alone: no sockets, no threads, a clock of the test."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.engine.engine import CircuitBreaker
from cavatica_upload.engine.file_upload import REPORT_SECONDS, Checkpoints, FileUpload
from cavatica_upload.engine.send_part import ATTEMPTS, ATTEMPTS_AFTER_WRONG_ANSWERS, PartAttempts, needs_new_url
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
from cavatica_upload.events import BytesSent, Emitter, Event, Notice
from cavatica_upload.request import UploadRequest
from cavatica_upload.storage import Throttle, bare_etag, md5_in, same_etag
from cavatica_upload.timing import ServerClock, Timing
from tests.clock import Clock

# Checkpoints


@given(st.lists(st.floats(0, 200), min_size=1, max_size=300))
def test_reports_are_never_more_than_one_in_thirty_two(pauses: list[float]) -> None:
    """N parts cost at most ⌈N/32⌉ reports at any speed, even if some fail."""
    hand = Clock()
    checkpoints = Checkpoints(0, hand())
    reports = 0
    for pause in pauses:
        hand.turn(pause)
        checkpoints.add(hand())
        if checkpoints.due(hand()):
            reports += 1
            checkpoints.report(hand(), succeeded=reports % 3 > 0)
    assert reports <= -(-len(pauses) // 32)


def test_report_is_due_after_a_minute() -> None:
    """A single part is reported after a minute; if that fails, not again before 32 more were stored."""
    checkpoints = Checkpoints(0, 0.0)
    checkpoints.add(10.0)
    assert not checkpoints.due(9.0 + REPORT_SECONDS)
    assert checkpoints.due(10.0 + REPORT_SECONDS)
    checkpoints.report(80.0, succeeded=False)
    assert not checkpoints.due(80.0 + REPORT_SECONDS)


# Attempts


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (StorageError("reset"), ATTEMPTS),
        (PartRefused("slow down", status=503), ATTEMPTS),
        (PartRefused("too many", status=429), ATTEMPTS),
        (PartRefused("too slow", status=400, code="RequestTimeout"), ATTEMPTS),
        (ServerError("api", status=500), 1),  # a call of the API was tried several times already
        (ConnectionFailed("no network"), 1),
        (PartNotReserved("reserve", status=409, code=8008), 1),
        (EtagMismatch("damaged"), ATTEMPTS_AFTER_WRONG_ANSWERS),
        (MissingHeader("no ETag", header="ETag"), ATTEMPTS_AFTER_WRONG_ANSWERS),
        (PartRefused("bad request", status=400), ATTEMPTS_AFTER_WRONG_ANSWERS),
        (UrlExpired("expired", status=403), ATTEMPTS_AFTER_WRONG_ANSWERS + 1),
        (SourceError("cut short"), 1),
        (CertificateUntrusted("unknown authority"), 1),
        (Unauthorized("token", status=401), 1),
        (BadRequest("bad", status=400), 1),
        (Conflict("other", status=409), 1),
        (ValueError("a bug"), 1),
    ],
)
def test_every_error_is_tried_a_bounded_number_of_times(error: Exception, tries: int) -> None:
    """Passing failures of storage are retried eight times, wrong answers four times, others once."""
    so_far = PartAttempts(retry_for=0.0, deadline=float("inf"))
    count = 1
    while so_far.delay_after(error, 0.0, lambda _failures: 0.0) is not None:
        count += 1
    assert count == tries


def test_first_expired_url_is_no_failure() -> None:
    """The first time a URL has expired a new one is requested immediately; the second time is a failure."""
    attempts = PartAttempts(retry_for=0.0, deadline=float("inf"))
    error = UrlExpired("expired", status=403)
    assert needs_new_url(error)
    assert [attempts.delay_after(error, 0.0, float) for _ in range(2)] == [0.0, 1.0]


@given(st.integers(1, 1000))
def test_delays_are_bounded(failures: int) -> None:
    """A delay is between zero and a minute after any number of failures."""
    assert 0 <= Timing().backoff(failures) <= min(60.0, 0.5 * 2 ** min(failures - 1, 20))


# The rest


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_throttle_keeps_the_rate(blocks: list[int]) -> None:
    """The bytes let through never exceed the rate by more than a quarter of a second."""
    hand = Clock()
    throttle = Throttle(1e6, clock=hand, wait=hand.turn)
    began = hand()
    sent = 0
    for block in blocks:
        throttle.take(block)
        assert sent <= (hand() - began + 0.25) * 1e6 + 1
        sent += block


def test_throttle_needs_a_rate() -> None:
    """A rate of zero is refused."""
    with pytest.raises(ValueError, match="rate"):
        Throttle(0)


@pytest.mark.parametrize("error", [Unauthorized("token", status=401), CertificateUntrusted("unknown authority")])
def test_failure_of_every_file_ends_the_run(error: Exception) -> None:
    """A refused token and a certificate that cannot be verified end the run."""
    circuit = CircuitBreaker()
    circuit.failed(error)
    assert circuit.error is error


def test_circuit() -> None:
    """Missing permissions end the run after three files in a row, a failure of one file never."""
    circuit = CircuitBreaker()
    for _ in range(2):
        circuit.failed(Forbidden("no", status=403))
    circuit.succeeded()
    circuit.failed(NotFound("no project", status=404, code=3002))
    circuit.failed(NotFound("no such file", status=404, code=5002))
    circuit.failed(SourceError("missing"))
    assert circuit.error is None
    circuit.failed(Forbidden("no", status=403))
    assert circuit.error is None
    circuit.failed(Forbidden("no", status=403))
    assert isinstance(circuit.error, Forbidden)


def test_expiry_follows_the_server_clock() -> None:
    """The expiry of a URL is read from the server's clock."""
    hand = Clock()
    clock = ServerClock(now=hand)
    hand.now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC).timestamp()
    for wrong in (None, "", "yesterday", "Thu, 99 Jan 2026 13:00:00 GMT"):
        clock.observe(wrong)
    assert clock.skew is None
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
    """Quotes, a weak mark and the case of an MD5 do not matter in an ETag."""
    assert bare_etag(etag) == bare
    assert same_etag(etag, bare)
    assert md5_in(etag) == (bare if len(bare) == 32 else None)
    assert not same_etag(None, None)


def test_bytes_are_summed_before_the_next_event() -> None:
    """Listeners get bytes in sums, and always before the events that follow them."""
    heard: list[Event] = []
    emitter = Emitter([heard.append])
    for count in (5, 6, -1):
        emitter.add_bytes("a", count)
    emitter.add_bytes("b", 3)
    emitter.add_bytes("b", -3)
    emitter.emit(Notice("a", "hello"))
    emitter.flush()
    assert heard == [BytesSent("a", 10), Notice("a", "hello")]


# Files


class _StartsAgain(FileUpload):
    """A file whose thread gives its upload up as soon as another thread has seen it."""

    seen = False

    @property
    def upload(self) -> Any:
        if self.seen:
            return None
        self.seen = True
        return SimpleNamespace(left=7, sent={1: None}, plan=SimpleNamespace(count=2))

    @upload.setter
    def upload(self, _value: object) -> None:
        pass


def test_a_file_can_be_read_while_it_starts_again() -> None:
    """The engine may read the progress of a file at the moment when the file gives its upload up for a new one."""
    request = UploadRequest(source="a.bam", destination="owner/study")
    nothing = cast("Any", None)

    def file() -> FileUpload:
        return _StartsAgain(nothing, nothing, request, nothing, 9)

    assert file().left == 7
    assert "1 of 2 parts sent" in str(file().interruption())
