"""What is sent again: the rules, with invented clocks and answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.api.contract import contract_operations
from cavatica_upload.api.operations import ONLY_ONCE, SAFE_TO_REPEAT, Operation, recognise
from cavatica_upload.budget.ratelimit import LONGEST_WINDOW, MARGIN
from cavatica_upload.errors import ConnectionFailed, RateLimited, ServerError, UnexpectedAnswer, UploadGone
from cavatica_upload.http.retry import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MOST_RATE_LIMITED,
    Again,
    Answer,
    Exchange,
    GiveUp,
    Lost,
    Policy,
    Take,
)

READ = recognise("GET", "/upload/multipart/u1")
START = recognise("POST", "/upload/multipart")
REPORT = recognise("POST", "/upload/multipart/u1")
COMPLETE = recognise("POST", "/upload/multipart/u1/complete")
ABORT = recognise("DELETE", "/upload/multipart/u1")
EVERY = [READ, START, REPORT, COMPLETE, ABORT]


class Clock:
    """Seconds that go on when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def exchange(operation: Operation, policy: Policy | None = None, clock: Clock | None = None) -> Exchange:
    clock = clock or Clock()
    return Exchange(operation, policy or Policy(), clock=clock, wall=clock, uniform=lambda _, high: high)


def failure(status: int, code: int | None, headers: dict[str, str] | None = None) -> Answer:
    body = {"status": status, "message": "No."} | ({} if code is None else {"code": code})
    return Answer(status, headers or {}, json.dumps(body).encode())


def test_names_of_operations() -> None:
    """Paths are recognised as the operations that the generated functions are named after."""
    assert [operation.name for operation in EVERY] == [
        "getUpload",
        "startUpload",
        "reportUploadedParts",
        "completeUpload",
        "abortUpload",
    ]
    assert recognise("GET", "/upload/multipart/u1/part/7").name == "getPartUrl"
    assert recognise("GET", "/rate_limit").free
    assert recognise("PATCH", "/elsewhere").name == "PATCH /elsewhere"
    assert not recognise("PATCH", "/elsewhere").repeatable


def test_every_change_has_a_reason() -> None:
    """Every operation of the document that is no GET says in the table why it may be repeated, or why not."""
    changing = {operation.name for operation in contract_operations() if operation.method != "GET"}
    assert changing == SAFE_TO_REPEAT.keys() | ONLY_ONCE.keys()
    assert not SAFE_TO_REPEAT.keys() & ONLY_ONCE.keys()


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: operation.name)
@pytest.mark.parametrize(
    ("what", "repeats"),
    [
        (Lost("refused", maybe_acted=False), "always"),
        (Lost("reset", maybe_acted=True), "if harmless"),
        (Lost("certificate", maybe_acted=False, hopeless=True), "never"),
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
def test_table(operation: Operation, what: Answer | Lost, repeats: str) -> None:
    """A failure is repeated always, never, or only where a second time does no harm; a success without the JSON that
    is needed is a failure.
    """
    one = exchange(operation)
    verdict = one.answered(what) if isinstance(what, Answer) else one.lost(what)
    if repeats == "taken" or (repeats == "if needed" and operation not in (READ, START)):
        assert verdict == Take()
        return
    repeats = repeats.replace("needed", "harmless")
    expected = repeats == "always" or (repeats == "if harmless" and operation.repeatable)
    assert isinstance(verdict, Again if expected else GiveUp)
    if isinstance(verdict, GiveUp):
        assert verdict.error.maybe_acted == (repeats == "if harmless" and operation in (START, COMPLETE))


def test_a_page_in_the_place_of_an_answer() -> None:
    """A page of HTML with a success is a proxy's: asked again where that does no harm, and else left to the caller."""
    page = Answer(200, {}, b"<html>")
    assert all(isinstance(exchange(operation).answered(page), Again) for operation in (READ, REPORT, ABORT))
    assert isinstance(exchange(START).answered(page), GiveUp)
    assert exchange(COMPLETE).answered(page) == Take()


def test_empty_success() -> None:
    """A report may be answered with nothing; a read may not, and is tried again."""
    assert isinstance(exchange(REPORT).answered(Answer(204, {}, b"")), Take)
    assert isinstance(exchange(REPORT).answered(Answer(200, {}, b"  ")), Take)
    assert isinstance(exchange(READ).answered(Answer(200, {}, b"")), Again)


def test_abort_done_by_the_lost_one() -> None:
    """404 on the repetition of an abort whose answer was lost is success; on the first attempt it is UploadGone."""
    first = exchange(ABORT).answered(failure(404, 8003))
    assert isinstance(first, GiveUp)
    assert isinstance(first.error, UploadGone)
    lost = exchange(ABORT)
    lost.lost(Lost("reset", maybe_acted=True))
    assert lost.answered(failure(404, 8003)) == Take(instead=204)
    refused = exchange(ABORT)
    refused.lost(Lost("refused", maybe_acted=False))
    assert isinstance(refused.answered(failure(404, 8003)), GiveUp)
    elsewhere = exchange(ABORT)
    elsewhere.lost(Lost("reset", maybe_acted=True))
    assert isinstance(elsewhere.answered(failure(404, None)), GiveUp), "a 404 without a code is not the platform's"


def test_pauses_double() -> None:
    """The longest pause doubles from half a second to a minute."""
    one = exchange(READ, Policy(attempts=11, deadline=1e9))
    verdicts = [one.lost(Lost("refused", maybe_acted=False)) for _ in range(11)]
    pauses = [verdict.delay for verdict in verdicts if isinstance(verdict, Again)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert isinstance(verdicts[-1], GiveUp)
    assert isinstance(verdicts[-1].error, ConnectionFailed)


def test_maintenance_waits_long() -> None:
    """Maintenance is waited out until the deadline, not for a handful of attempts."""
    clock = Clock()
    one = exchange(START, Policy(attempts=3, deadline=600), clock)
    attempts = 0
    while isinstance(verdict := one.answered(failure(503, 0)), Again):
        attempts += 1
        clock.now += verdict.delay
        assert verdict.delay >= LONGEST_PAUSE / 2
    assert 9 <= attempts <= 20
    assert isinstance(verdict, GiveUp)
    assert isinstance(verdict.error, ServerError)
    assert verdict.error.maintenance


DATE = "Sun, 22 Nov 2026 10:00:00 GMT"
AT = 1795341600  # the same in epoch seconds


@pytest.mark.parametrize("wrong", [-3600.0, 0.0, 3600.0, 1e9])
def test_reset_with_a_wrong_clock(wrong: float) -> None:
    """The wait for a reset is taken from the server's own clock: an hour's error of ours changes nothing."""
    clock = Clock()
    clock.now = AT + wrong
    verdict = exchange(START, clock=clock).answered(
        failure(429, 1000, {"Date": DATE, "X-RateLimit-Reset": str(AT + 120)})
    )
    assert isinstance(verdict, Again)
    assert verdict.rate_limited
    assert 120 + MARGIN <= verdict.delay <= 120 + MARGIN + 1


@pytest.mark.parametrize("reset", [AT - 5000, AT + 30, AT + 100_000, (AT + 30) * 1000, 0])
@pytest.mark.parametrize("date", [DATE, "nonsense", None])
def test_reset_is_never_an_hour_away(reset: int, date: str | None) -> None:
    """Whatever the headers say, the wait is neither nothing nor longer than a window can be."""
    clock = Clock()
    clock.now = AT - 3600
    headers = {"x-ratelimit-reset": str(reset)} | ({} if date is None else {"date": date})
    verdict = exchange(READ, clock=clock).answered(failure(429, 1000, headers))
    assert isinstance(verdict, Again)
    assert MARGIN <= verdict.delay <= LONGEST_WINDOW + MARGIN + 1
    if date != DATE:
        assert verdict.delay <= 310 + MARGIN + 1


def test_retry_after() -> None:
    """Retry-After is honoured in both its forms, although the platform does not document it."""
    seconds = exchange(READ).answered(failure(429, None, {"Retry-After": "7"}))
    moment = exchange(READ).answered(failure(429, None, {"Retry-After": "Sun, 22 Nov 2026 10:00:07 GMT", "Date": DATE}))
    for verdict in (seconds, moment):
        assert isinstance(verdict, Again)
        assert 7 <= verdict.delay <= 7 + MARGIN + 1


def test_rate_limit_is_no_attempt() -> None:
    """Waiting for the rate limit uses up neither attempts nor the deadline, and still ends."""
    clock = Clock()
    one = exchange(START, Policy(attempts=1, deadline=10), clock)
    for _ in range(MOST_RATE_LIMITED):
        verdict = one.answered(failure(429, 1000, {"Date": DATE, "X-RateLimit-Reset": str(AT + 300)}))
        assert isinstance(verdict, Again)
        clock.now += verdict.delay
        one.excuse(verdict.delay)
    last = one.answered(failure(429, 1000))
    assert isinstance(last, GiveUp)
    assert isinstance(last.error, RateLimited)


FAILURES = st.one_of(
    st.builds(Lost, reason=st.just("reset"), maybe_acted=st.booleans(), hopeless=st.booleans()),
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
    operation: Operation, attempts: int, deadline: float, failures: list[Answer | Lost], each: float
) -> None:
    """Whatever happens, a call ends within its deadline and attempts, and never repeats what may harm."""
    clock = Clock()
    one = Exchange(operation, Policy(attempts, deadline), clock=clock, wall=clock)
    began, excused, counted, acted = clock.now, 0.0, 0, False
    for what in failures:
        clock.now += each
        verdict = one.answered(what) if isinstance(what, Answer) else one.lost(what)
        if not isinstance(verdict, Again):
            break
        acted = acted or (isinstance(what, Lost) and what.maybe_acted)
        assert not (acted and not operation.repeatable)
        assert 0 <= verdict.delay <= LONGEST_WINDOW + MARGIN + 1
        clock.now += verdict.delay
        if verdict.rate_limited:
            excused += verdict.delay
            one.excuse(verdict.delay)
        else:
            maintenance = isinstance(what, Answer) and what.status == 503 and b'"code": 0' in what.body
            counted += not maintenance
            assert verdict.delay <= LONGEST_PAUSE
            assert clock.now - began - excused <= deadline
    else:
        assert counted < attempts
    assert counted <= attempts


def test_error_of_a_garbled_success() -> None:
    """A success whose body is a web page is UnexpectedAnswer, which says that the server may have acted."""
    verdict = exchange(START).answered(Answer(200, {}, b"<html>Welcome to the hotel</html>"))
    assert isinstance(verdict, GiveUp)
    assert isinstance(verdict.error, UnexpectedAnswer)
    assert verdict.error.maybe_acted


def test_first_pause() -> None:
    """The first pause is drawn from nothing to half a second, so that clients do not come back together."""
    drawn = [exchange_drawn() for _ in range(200)]
    assert 0 <= min(drawn) < FIRST_PAUSE / 4
    assert FIRST_PAUSE * 3 / 4 < max(drawn) <= FIRST_PAUSE


def exchange_drawn() -> float:
    verdict = Exchange(READ, Policy()).lost(Lost("refused", maybe_acted=False))
    assert isinstance(verdict, Again)
    return verdict.delay
