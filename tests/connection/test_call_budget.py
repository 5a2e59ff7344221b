"""The budget of calls as its users meet it: threads, processes, shares, waits."""

import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cavatica_mock import MockServer
from cavatica_upload.api import Api
from cavatica_upload.budget import calls as budget_module
from cavatica_upload.budget import shared_window
from cavatica_upload.budget.calls import CallBudget
from cavatica_upload.connection import connect
from cavatica_upload.errors import Interrupted
from cavatica_upload.events import RateLimitWait

NOW = 1_800_000_000.0


def headers(limit: int, remaining: int, resets_in: float = 300) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(int(NOW + resets_in)),
    }


def spent(budget: CallBudget) -> int:
    """Return how many calls can be taken before one has to wait."""
    count = 0
    while not budget.try_acquire()[1]:
        count += 1
    return count


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., CallBudget]:
    store = tmp_path / "state" / "budget.db" if request.param == "file" else None

    def budget(**options: object) -> CallBudget:
        options.setdefault("clock", lambda: NOW)
        return CallBudget(store, "key", **options)  # type: ignore[arg-type]

    return budget


def test_unknown_is_unlimited(make: Callable[..., CallBudget]) -> None:
    """Before the server has said anything, and where it says nothing, calls are not held up."""
    budget = make()
    assert budget.limit is None
    assert budget.remaining is None
    for _ in range(2000):
        budget.observe({}, budget.acquire())
    assert budget.limit is None


def test_spent_to_the_reserve(make: Callable[..., CallBudget]) -> None:
    """What the server has left can be taken at once, but for the reserve."""
    budget = make(reserve=0.02)
    budget.observe(headers(100, 90))
    assert (budget.limit, budget.remaining) == (100, 90)
    assert spent(budget) == 88


def test_share(make: Callable[..., CallBudget]) -> None:
    """A share of a quarter takes a quarter of the limit in a window, and the next quarter after the reset."""
    clock = [NOW]
    budget = make(share=0.25, clock=lambda: clock[0])
    budget.observe(headers(100, 100, 30))
    assert spent(budget) == 25
    clock[0] += 40
    assert spent(budget) == 25


@pytest.mark.parametrize("wrong", [{"share": 0}, {"share": 1.5}, {"reserve": 1}, {"reserve": -0.1}])
def test_fractions(wrong: dict[str, float]) -> None:
    """Share and reserve are fractions."""
    with pytest.raises(ValueError, match="fraction"):
        CallBudget(**wrong)  # type: ignore[arg-type]


def test_wait_is_told_and_cancelled(make: Callable[..., CallBudget]) -> None:
    """A listener is told of a wait once, and the wait ends as soon as it is cancelled."""
    told: list[RateLimitWait] = []
    cancel = threading.Event()

    def listener(wait: RateLimitWait) -> None:
        told.append(wait)
        cancel.set()

    budget = make(listener=listener)
    budget.observe(headers(10, 0, 60))
    with pytest.raises(Interrupted, match="rate limit"):
        budget.acquire(cancel)
    assert len(told) == 1
    assert 60 <= told[0].seconds <= 62
    assert told[0].reset == NOW + told[0].seconds


def test_wait_ends_at_the_reset(make: Callable[..., CallBudget], monkeypatch: pytest.MonkeyPatch) -> None:
    """After the reset the call goes through by itself."""
    monkeypatch.setattr(budget_module, "LOOK_AGAIN", 0.01)
    clock = [NOW]

    def listener(wait: RateLimitWait) -> None:
        clock[0] += wait.seconds

    budget = make(listener=listener, clock=lambda: clock[0])
    budget.observe(headers(10, 0, 0))
    budget.acquire()
    assert budget.remaining == 9


def test_given_back(make: Callable[..., CallBudget]) -> None:
    """A call that never reached the server is not counted, by no share either."""
    budget = make(share=0.5)
    budget.observe(headers(10, 10))
    for _ in range(50):
        budget.give_back(budget.acquire())
    assert spent(budget) == 5


def test_refusal_ends_the_window(make: Callable[..., CallBudget]) -> None:
    """After a 429 nothing goes out until the reset, whatever was believed."""
    budget = make()
    budget.observe(headers(100, 100))
    budget.observe({**headers(100, 0, 120)}, budget.acquire(), refused=True)
    assert budget.remaining == 0
    assert budget.try_acquire()[1] > 119


def test_threads_share(make: Callable[..., CallBudget]) -> None:
    """Threads together take what is there, and not one call more."""
    budget = make()
    budget.observe(headers(300, 300))
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(spent(budget))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 297


def _take_all(path: Path, start: "threading.Barrier", results: "multiprocessing.Queue[int]") -> None:
    budget = CallBudget(path, "key", clock=lambda: NOW)
    start.wait(60)
    results.put(spent(budget))
    budget.close()


def test_processes_share(tmp_path: Path) -> None:
    """Processes together take what is there; what one learns, all know; another token is not touched."""
    path = tmp_path / "budget.db"
    first = CallBudget(path, "key", clock=lambda: NOW)
    other = CallBudget(path, "another key", clock=lambda: NOW)
    first.observe(headers(3000, 3000))
    other.observe(headers(50, 50))
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    start = context.Barrier(3)
    processes = [context.Process(target=_take_all, args=(path, start, results)) for _ in range(3)]
    for process in processes:
        process.start()
    counts = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
    assert sum(counts) == 2970
    assert first.remaining == 30
    assert other.remaining == 50
    first.close()
    other.close()


def test_token_not_in_the_file(tmp_path: Path) -> None:
    """The file names a token by a hash: the token is nowhere in it."""
    token = "0123456789abcdef0123456789abcdef"
    budget = CallBudget(tmp_path / "budget.db", CallBudget.key_for("https://host/v2", token))
    budget.observe(headers(10, 10))
    budget.close()
    assert all(token.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert CallBudget.key_for("https://host/v2", token) != CallBudget.key_for("https://other/v2", token)


@pytest.mark.parametrize("trouble", ["garbage", "directory", "old columns"])
def test_unusable_file(trouble: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the file cannot be used, the budget goes on in this process alone, and says so once."""
    path = tmp_path / "budget.db"
    if trouble == "garbage":
        path.write_bytes(b"not a database" * 500)
    elif trouble == "directory":
        path.mkdir()
    else:
        database = sqlite3.connect(path)
        database.execute(f"CREATE TABLE {shared_window._TABLE} (key TEXT)")
        database.close()
    budget = CallBudget(path, "key", clock=lambda: NOW)
    budget.observe(headers(10, 5))
    assert spent(budget) == 4
    assert caplog.text.count("not shared") == 1


def test_eighty_parts_in_a_hundred_calls() -> None:
    """With 100 calls in 30 s, the 82 calls of 80 parts go through without a wait and without a 429."""
    waits: list[RateLimitWait] = []
    budget = CallBudget(listener=waits.append)
    with MockServer(rate_limit=(100, 30)) as mock, connect(mock.token, mock.base_url, budget=budget) as client:
        api = Api(client)
        threads = [threading.Thread(target=lambda: [list(api.list_uploads()) for _ in range(9)]) for _ in range(9)]
        list(api.list_uploads())
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mock.calls["listUploads"] == 82
    assert waits == []
    assert budget.remaining == 18


def test_more_calls_than_a_window_has() -> None:
    """More calls than a window allows wait for its end, and the server refuses none of them."""
    waits: list[RateLimitWait] = []
    retries: list[object] = []
    budget = CallBudget(listener=waits.append)
    with (
        MockServer(rate_limit=(10, 1)) as mock,
        connect(mock.token, mock.base_url, budget=budget, on_retry=retries.append) as client,
    ):
        for _ in range(14):
            list(Api(client).list_uploads())
        assert mock.calls["listUploads"] == 14
    assert len(waits) >= 1
    assert retries == []


def two_on_a_file(tmp_path: Path, limit: int) -> tuple[CallBudget, CallBudget]:
    """Two budgets that share a file as two processes do, and know of a fresh window."""
    one, other = (CallBudget(tmp_path / "budget.db", "key", clock=lambda: NOW) for _ in range(2))
    one.observe(headers(limit, limit))
    return one, other


def test_several_are_taken_at_a_time_where_there_are_plenty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many calls and their answers are few transactions, and the calls are counted all the same."""
    one, other = two_on_a_file(tmp_path, 1000)
    transactions = []
    write = shared_window.SharedWindow._update_file
    monkeypatch.setattr(
        shared_window.SharedWindow, "_update_file", lambda *given: (transactions.append(1), write(*given))[1]
    )
    for count in range(1, 65):
        one.observe(headers(1000, 1000 - count), one.acquire())
    assert len(transactions) == 64 // budget_module.AT_A_TIME
    assert one.remaining == other.remaining == 1000 - 64


def test_what_is_put_by_is_taken_for_others_until_it_is_put_back(tmp_path: Path) -> None:
    """Nobody else takes a call that was put by, and after close() it is there for everybody."""
    one, other = two_on_a_file(tmp_path, 1000)
    one.acquire()
    assert one.remaining == 999
    assert other.remaining == 1000 - budget_module.AT_A_TIME
    one.close()
    assert other.remaining == 999


def test_one_at_a_time_where_few_are_left(tmp_path: Path) -> None:
    """With less than plenty every call is known to all at once."""
    one, other = two_on_a_file(tmp_path, budget_module.PLENTY)
    for count in range(1, 10):
        one.observe({}, one.acquire())
        assert other.remaining == budget_module.PLENTY - count


def test_an_answer_that_others_must_know_is_not_put_off(tmp_path: Path) -> None:
    """That few calls are left, or none, is told at once, however many were believed to be left."""
    one, other = two_on_a_file(tmp_path, 1000)
    one.observe(headers(1000, 150), one.acquire())
    assert (other.remaining or 0) <= 150
    one.observe(headers(1000, 0), one.acquire(), refused=True)
    assert other.remaining == 0


def test_what_was_put_by_ends_with_its_window() -> None:
    """A call put by is not handed out when its window is over: it is taken from the new one."""
    now = [NOW]
    budget = CallBudget(clock=lambda: now[0])
    budget.observe(headers(1000, 1000))
    before = budget.acquire()
    now[0] += 400
    assert budget.acquire() == before + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_takes_its_own_calls(tmp_path: Path) -> None:
    """What a parent had put by when it was forked is handed out by the parent alone."""
    one, other = two_on_a_file(tmp_path, 1000)
    one.acquire()
    child = os.fork()
    if child == 0:
        one.acquire()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert other.remaining == 1000 - 2 * budget_module.AT_A_TIME
