"""How many part URLs are asked for ahead, and what waits for a later moment."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.destination import Destination
from cavatica_upload.engine.later import Later
from cavatica_upload.engine.supply import AT_FIRST, MOST, Ready, Supply
from cavatica_upload.engine.transfer import Transfer
from cavatica_upload.plan import Part
from cavatica_upload.request import UploadRequest
from cavatica_upload.storage.put import Target

TRANSFER = Transfer(UploadRequest(source=Path("file"), destination=Destination(project="a/b")), 1, 0.0)
PART = Part(1, 0, 1)
READY = Ready(TRANSFER, PART, Target("PUT", "https://storage.example/1"))


def supply(call: float, part: float) -> Supply:
    """A supply that has seen calls and parts take so many seconds."""
    known = Supply()
    for _ in range(5):
        known.asking()
        known.answered(call)
        known.sent(part)
    return known


def test_each_worker_has_one_url_ahead_where_parts_take_longer_than_calls() -> None:
    """Four workers that are all busy find four URLs ready, and those without a part one more each."""
    assert supply(call=0.05, part=3.0).missing(4, busy=4) == 4
    assert supply(call=0.05, part=3.0).missing(4, busy=1) == 7


def test_fast_workers_have_as_many_ahead_as_they_use_up_in_a_call() -> None:
    """Where two parts and a half go out while a call is answered, three URLs are ahead for each worker."""
    assert supply(call=0.05, part=0.02).missing(4, busy=4) == 12


def test_urls_do_not_lie_about() -> None:
    """However fast parts are, there are never more than a few URLs ahead for a worker."""
    assert supply(call=60.0, part=0.0).missing(4, busy=4) == 4 * MOST


def test_a_call_that_waited_for_the_budget_does_not_count() -> None:
    """One call of minutes, among others that are answered at once, asks for no more URLs ahead."""
    known = supply(call=0.05, part=3.0)
    known.asking()
    known.answered(240.0)
    assert known.missing(4, busy=4) == 4


def test_two_urls_ahead_until_it_is_known_how_long_parts_take() -> None:
    """At first nothing is known, and workers that are done with their first part must not wait for a call."""
    known = Supply()
    known.asking()
    known.answered(0.05)
    assert known.missing(4, busy=4) == 4 * AT_FIRST


def test_what_is_ready_or_on_its_way_is_not_asked_for_again() -> None:
    """A URL counts from when it is asked for until its part is taken, and one that did not come does not."""
    known = supply(call=0.05, part=3.0)
    known.asking()
    assert known.missing(4, busy=4) == 3
    known.answered(0.05)
    known.add(READY)
    assert (known.missing(4, busy=4), len(known)) == (3, 1)
    assert known.take() is READY
    known.asking()
    known.answered(None)
    assert (known.missing(4, busy=4), len(known)) == (4, 0)


def test_all_that_is_ready_can_be_taken_back() -> None:
    """After a drain nothing is ready."""
    known = Supply()
    known.add(READY)
    assert known.drain() == [READY]
    assert len(known) == 0


@given(st.lists(st.floats(0, 1000)), st.floats(0, 1000))
def test_later_gives_what_is_due_and_only_that_in_order(moments: list[float], now: float) -> None:
    """What is due comes in the order of its moments, the rest stays."""
    later = Later()
    for moment in moments:
        later.add(moment, TRANSFER, PART)
    assert [due.moment for due in later.due(now)] == sorted(moment for moment in moments if moment <= now)
    assert sorted(due.moment for due in later.drain()) == sorted(moment for moment in moments if moment > now)
    assert later.drain() == []


def test_later_keeps_what_it_was_given() -> None:
    """A part comes back with its file and its URL."""
    later = Later()
    later.add(1.0, TRANSFER, PART, READY.target)
    later.add(0.0, TRANSFER)
    file, part = later.due(2.0)
    assert (file.transfer, file.part, file.target) == (TRANSFER, None, None)
    assert (part.transfer, part.part, part.target) == (TRANSFER, PART, READY.target)
