"""The rules of retries, with invented clocks and answers."""

import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.api.operations import FREE, ONLY_ONCE, SAFE_TO_REPEAT, Operation, contract_operations, recognise
from cavatica_upload.api.policy import MOST_RATE_LIMITED, CallAttempts, Policy, Retry
from cavatica_upload.api.responses import Answer as Accepted
from cavatica_upload.errors import (
    CavaticaError,
    ConnectionFailed,
    RateLimited,
    ServerError,
    UnexpectedAnswer,
    UploadGone,
)
from cavatica_upload.http.exchange import TransportFailure
from cavatica_upload.timing import Timing
from tests.clock import Clock

MARGIN, FIRST_PAUSE, LONGEST_PAUSE = Timing().reset_margin, Timing().first_backoff, Timing().longest_backoff

READ = recognise("GET", "/upload/multipart/u1")
START = recognise("POST", "/upload/multipart")
REPORT = recognise("POST", "/upload/multipart/u1")
COMPLETE = recognise("POST", "/upload/multipart/u1/complete")
ABORT = recognise("DELETE", "/upload/multipart/u1")
EVERY = [READ, START, REPORT, COMPLETE, ABORT]


class Answer(NamedTuple):
    """What the transport passes on of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def attempts_of(operation: Operation, policy: Policy | None = None, clock: Clock | None = None) -> CallAttempts:
    clock = clock or Clock()
    return CallAttempts(operation, policy or Policy(), clock=clock, wall=clock, uniform=lambda _, high: high)


def failure(status: int, code: int | None, headers: dict[str, str] | None = None) -> Answer:
    body = {"status": status, "message": "No."} | ({} if code is None else {"code": code})
    return Answer(status, headers or {}, json.dumps(body).encode())


def test_names_of_operations() -> None:
    """Paths are recognised as operations of the document."""
    assert [operation.name for operation in EVERY] == [
        "getUpload",
        "startUpload",
        "reportUploadedParts",
        "completeUpload",
        "abortUpload",
    ]
    assert recognise("GET", "/upload/multipart/u1/part/7").name == "getPartUrl"
    assert recognise("GET", "/rate_limit").name in FREE
    assert recognise("PATCH", "/elsewhere").name == "PATCH /elsewhere"
    assert not recognise("PATCH", "/elsewhere").repeatable


def test_every_change_has_a_reason() -> None:
    """Every operation other than GET has a reason in the table why it may be repeated or not."""
    changing = {operation.name for operation in contract_operations() if operation.method != "GET"}
    assert changing == SAFE_TO_REPEAT.keys() | ONLY_ONCE.keys()
    assert not SAFE_TO_REPEAT.keys() & ONLY_ONCE.keys()


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: operation.name)
@pytest.mark.parametrize(
    ("what", "repeats"),
    [
        (TransportFailure("refused", maybe_acted=False), "always"),
        (TransportFailure("reset", maybe_acted=True), "if harmless"),
        (TransportFailure("certificate", maybe_acted=False, permanent=True), "never"),
        (failure(429, 1000), "always"),
        (failure(503, 0), "always"),
        (failure(503, 8000), "always"),
        (failure(503, 90005), "always"),
        (failure(409, 8008), "always"),
        (failure(500, 90009), "if harmless"),
        (failure(503, 90004), "if harmless"),
        (failure(520, None), "if harmless"),
        (Answer(502, {}, b"<html>"), "if harmless"),
        (Answer(200, {}, b'{"upload_id": "u'), "if needed"),
        (Answer(200, {}, b"text"), "if needed"),
        (Answer(299, {}, b"{}"), "taken"),
        (failure(501, 90010), "never"),
        (failure(400, 8013), "never"),
        (failure(401, 90001), "never"),
        (failure(403, 8001), "never"),
        (failure(404, 8003), "never"),
        (failure(409, 8007), "never"),
        (Answer(302, {"location": "https://elsewhere.example/"}, b""), "never"),
    ],
    ids=str,
)
def test_table(operation: Operation, what: Answer | TransportFailure, repeats: str) -> None:
    """A failure is repeated always, never, or only if that does no harm; a success without the needed JSON is a
    failure.
    """
    one = attempts_of(operation)
    decision = one.answered(*what) if isinstance(what, Answer) else one.failed(what)
    if repeats == "taken" or (repeats == "if needed" and operation not in (READ, START)):
        assert isinstance(decision, Accepted)
        return
    repeats = repeats.replace("needed", "harmless")
    expected = repeats == "always" or (repeats == "if harmless" and operation.repeatable)
    assert isinstance(decision, Retry if expected else CavaticaError)
    if isinstance(decision, CavaticaError):
        assert decision.maybe_acted == (repeats == "if harmless" and operation in (START, COMPLETE))


def test_a_page_in_the_place_of_an_answer() -> None:
    """An HTML page with a success comes from a proxy: the call is repeated if that does no harm."""
    page = Answer(200, {}, b"<html>")
    assert all(isinstance(attempts_of(operation).answered(*page), Retry) for operation in (READ, REPORT, ABORT))
    assert isinstance(attempts_of(START).answered(*page), CavaticaError)
    assert isinstance(attempts_of(COMPLETE).answered(*page), Accepted)


def test_empty_success() -> None:
    """The answer to a report may be empty; an empty answer to a read is retried."""
    assert isinstance(attempts_of(REPORT).answered(*Answer(204, {}, b"")), Accepted)
    assert isinstance(attempts_of(REPORT).answered(*Answer(200, {}, b"  ")), Accepted)
    assert isinstance(attempts_of(READ).answered(*Answer(200, {}, b"")), Retry)


def test_abort_done_by_the_lost_one() -> None:
    """404 for a repeated abort is a success; for a first one it is UploadGone."""
    first = attempts_of(ABORT).answered(*failure(404, 8003))
    assert isinstance(first, CavaticaError)
    assert isinstance(first, UploadGone)
    lost = attempts_of(ABORT)
    lost.failed(TransportFailure("reset", maybe_acted=True))
    done = lost.answered(*failure(404, 8003))
    assert isinstance(done, Accepted)
    assert done.status == 204
    refused = attempts_of(ABORT)
    refused.failed(TransportFailure("refused", maybe_acted=False))
    assert isinstance(refused.answered(*failure(404, 8003)), CavaticaError)
    elsewhere = attempts_of(ABORT)
    elsewhere.failed(TransportFailure("reset", maybe_acted=True))
    assert isinstance(elsewhere.answered(*failure(404, None)), CavaticaError), (
        "a 404 without a code is not the platform's"
    )


def test_pauses_double() -> None:
    """The longest pause doubles from half a second to a minute."""
    one = attempts_of(READ, Policy(attempts=11, deadline=1e9))
    decisions = [one.failed(TransportFailure("refused", maybe_acted=False)) for _ in range(11)]
    pauses = [decision.delay for decision in decisions if isinstance(decision, Retry)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert isinstance(decisions[-1], CavaticaError)
    assert isinstance(decisions[-1], ConnectionFailed)


def test_maintenance_waits_long() -> None:
    """Maintenance is retried until the deadline, not for a number of attempts."""
    clock = Clock()
    one = attempts_of(START, Policy(attempts=3, deadline=600), clock)
    attempts = 0
    while isinstance(decision := one.answered(*failure(503, 0)), Retry):
        attempts += 1
        clock.now += decision.delay
        assert decision.delay >= LONGEST_PAUSE / 2
    assert 9 <= attempts <= 20
    assert isinstance(decision, CavaticaError)
    assert isinstance(decision, ServerError)
    assert decision.maintenance


DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


def test_retry_after() -> None:
    """Retry-After is followed in both its forms, although the platform does not document it."""
    seconds = attempts_of(READ).answered(*failure(503, 8000, {"Retry-After": "7"}))
    moment = attempts_of(READ).answered(
        *failure(503, 8000, {"Retry-After": "Sun, 22 Nov 2026 10:00:07 GMT", "Date": DATE})
    )
    decimal = attempts_of(READ).answered(*failure(503, 8000, {"Retry-After": "7.0"}))
    for decision in (seconds, moment, decimal):
        assert isinstance(decision, Retry)
        assert decision.delay == 7


@pytest.mark.parametrize("said", ["99999999", "1e9", "-5", "Thu, 01 Jan 2099 00:00:00 GMT", "soon", "\u0663"])
@pytest.mark.parametrize("code", [0, 8000, None])
def test_impossible_retry_after(said: str, code: int | None) -> None:
    """An impossible Retry-After neither ends nor delays a call."""
    decision = attempts_of(READ).answered(*failure(503, code, {"Retry-After": said, "Date": DATE}))
    assert isinstance(decision, Retry)
    assert decision.delay <= LONGEST_PAUSE


def test_rate_limit_is_no_attempt() -> None:
    """A wait for the rate limit counts neither as an attempt nor for the deadline, and still ends."""
    clock = Clock()
    one = attempts_of(START, Policy(attempts=1, deadline=10), clock)
    for refusals in range(1, MOST_RATE_LIMITED + 1):
        assert one.answered(*failure(429, 1000), refusals) == Retry(0.0, "the rate limit is reached", rate_limited=True)
        clock.now += 300
        one.extend_deadline(300)
    last = one.answered(*failure(429, 1000), MOST_RATE_LIMITED + 1)
    assert isinstance(last, CavaticaError)
    assert isinstance(last, RateLimited)


def test_refused_while_others_are_not() -> None:
    """A call does not fail for 429s while the server accepts others, nor before `retry_for` is over."""
    clock = Clock()
    one = attempts_of(START, Policy(retry_for=60), clock)
    assert all(isinstance(one.answered(*failure(429, 1000), 100), Retry) for _ in range(100))
    clock.now += 3600
    assert all(isinstance(one.answered(*failure(429, 1000), 1), Retry) for _ in range(100))
    assert isinstance(one.answered(*failure(429, 1000), 100), RateLimited)


FAILURES = st.one_of(
    st.builds(TransportFailure, reason=st.just("reset"), maybe_acted=st.booleans(), permanent=st.booleans()),
    st.builds(
        failure,
        st.sampled_from([400, 401, 403, 404, 408, 409, 429, 500, 502, 503, 520, 599]),
        st.sampled_from([None, 0, 1000, 8000, 8003, 8007, 8008, 90004, 90005]),
        st.dictionaries(
            st.sampled_from(["Date", "X-RateLimit-Reset", "Retry-After", "X-RateLimit-Limit"]),
            st.one_of(st.integers().map(str), st.text(max_size=10), st.just(DATE)),
        ),
    ),
    st.builds(Answer, st.sampled_from([200, 201, 202, 299, 302]), st.just({}), st.binary(max_size=5)),
)


@given(
    operation=st.sampled_from(EVERY),
    attempts=st.integers(1, 8),
    deadline=st.floats(0.1, 2000),
    failures=st.lists(FAILURES, min_size=30, max_size=30),
    each=st.floats(0, 70),
)
def test_every_call_ends(
    operation: Operation, attempts: int, deadline: float, failures: list[Answer | TransportFailure], each: float
) -> None:
    """Every call ends within its deadline and attempts, and repeats nothing that may do harm."""
    clock = Clock()
    one = CallAttempts(operation, Policy(attempts, deadline), clock=clock, wall=clock)
    began, excused, counted, refusals, acted = clock.now, 0.0, 0, 0, False
    for what in failures:
        clock.now += each
        if isinstance(what, Answer):
            refusals = refusals + 1 if what.status == 429 else 0
            decision = one.answered(*what, refusals)
        else:
            decision = one.failed(what)
        if not isinstance(decision, Retry):
            break
        acted = acted or (isinstance(what, TransportFailure) and what.maybe_acted)
        assert not (acted and not operation.repeatable)
        clock.now += decision.delay
        if decision.rate_limited:
            clock.now, excused = clock.now + 300, excused + 300
            one.extend_deadline(300)
        else:
            maintenance = isinstance(what, Answer) and what.status == 503 and b'"code": 0' in what.body
            counted += not maintenance
            assert clock.now - began - excused <= deadline
    else:
        assert counted < attempts
    assert counted <= attempts


def test_error_of_a_garbled_success() -> None:
    """A success whose body is a web page is UnexpectedAnswer, which says that the server may have acted."""
    decision = attempts_of(START).answered(*Answer(200, {}, b"<html>Welcome to the hotel</html>"))
    assert isinstance(decision, CavaticaError)
    assert isinstance(decision, UnexpectedAnswer)
    assert decision.maybe_acted


def test_first_pause() -> None:
    """The first pause is random up to half a second, so that clients do not retry together."""
    drawn = [drawn_pause() for _ in range(200)]
    assert 0 <= min(drawn) < FIRST_PAUSE / 4
    assert FIRST_PAUSE * 3 / 4 < max(drawn) <= FIRST_PAUSE


def drawn_pause() -> float:
    decision = CallAttempts(READ, Policy()).failed(TransportFailure("refused", maybe_acted=False))
    assert isinstance(decision, Retry)
    return decision.delay
