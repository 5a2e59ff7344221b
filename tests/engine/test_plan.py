import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.errors import SizeMismatch, UsageError
from cavatica_upload.plan import (
    GIB,
    MAX_FILE_SIZE,
    MAX_PART_SIZE,
    MAX_PARTS,
    MIB,
    TIB,
    Plan,
    part_size_for,
    plan_for_answer,
)

SIZES = st.one_of(
    st.integers(0, MAX_FILE_SIZE), st.integers(0, 1000), st.sampled_from([MAX_FILE_SIZE, 64 * MIB, 64 * MIB + 1])
)


@given(size=st.integers(0, 10**9), part_size=st.integers(10**5, 10**9))
def test_parts_tile_the_file(size: int, part_size: int) -> None:
    """The parts cover the file without a gap, numbered from 1."""
    plan = Plan(size, part_size)
    end = 0
    for number, part in enumerate(plan, start=1):
        assert (part.number, part.offset) == (number, end)
        assert part.size == part_size or (part.number == plan.count and part.size < part_size)
        assert part == plan.part(number)
        end += part.size
    assert end == size
    assert plan.count == number <= MAX_PARTS
    assert size == 0 or plan.part(plan.count).size > 0


@given(size=SIZES, rate=st.one_of(st.none(), st.floats(0, 1e11)), calls=st.floats(0, 100))
def test_planned_size_is_possible(size: int, rate: float | None, calls: float) -> None:
    """For any file, rate and budget there are at most 10,000 parts of at most 5 GiB, in steps of 8 MiB."""
    part_size = part_size_for(size, rate=rate, calls_per_second=calls)
    assert Plan(size, part_size).count <= MAX_PARTS
    assert 32 * MIB <= part_size <= MAX_PART_SIZE
    assert part_size % (8 * MIB) == 0
    largest = 512 * MIB if rate is None else GIB  # larger only for the budget of calls, or for 10,000 parts
    assert part_size <= largest or size / MAX_PARTS > 512 * MIB


@pytest.mark.parametrize(
    ("size", "part_size", "count"),
    [
        (0, 64 * MIB, 1),
        (1, 64 * MIB, 1),
        (64 * MIB, 64 * MIB, 1),
        (64 * MIB + 1, 32 * MIB, 3),
        (12 * GIB, 32 * MIB, 384),
        (100 * GIB, 256 * MIB, 400),
        (300 * 10**9, 512 * MIB, 559),
        (300 * GIB, 512 * MIB, 600),
        (TIB, 512 * MIB, 2048),
        (5 * TIB, 528 * MIB, 9930),
    ],
)
def test_planned_sizes(size: int, part_size: int, count: int) -> None:
    """The planned part sizes for files from 0 bytes to 5 TiB."""
    assert part_size_for(size) == part_size
    assert Plan(size, part_size).count == count


def test_budget_of_calls_makes_parts_larger() -> None:
    """At 1 GiB/s and 3.33 calls a second a part must be 307 MiB; rounded up that is 312."""
    assert part_size_for(10 * GIB, rate=GIB) == 312 * MIB
    assert part_size_for(10 * GIB, rate=10 * GIB) == GIB
    assert part_size_for(None, rate=GIB) == 312 * MIB
    assert part_size_for(None) == 128 * MIB


def test_requested_part_size_is_used_if_possible() -> None:
    """A requested part size is used if it is possible; if not, the error names a possible one."""
    assert part_size_for(GIB, 5 * MIB) == 5 * MIB
    assert part_size_for(None, 5 * MIB) == 5 * MIB
    with pytest.raises(UsageError, match="20,480 parts") as caught:
        part_size_for(100 * GIB, 5 * MIB)
    assert caught.value.hint == "Use a part size of at least 11 MiB."
    for wish in (0, -1, MAX_PART_SIZE + 1):
        with pytest.raises(UsageError, match="not possible"):
            part_size_for(GIB, wish)


def test_file_that_is_too_large() -> None:
    """A file above 5 TiB is refused."""
    with pytest.raises(UsageError, match="5 TiB"):
        part_size_for(MAX_FILE_SIZE + 1)


def test_answer_that_cannot_hold_the_file() -> None:
    """A part size of the server that makes too many parts is refused before anything is sent."""
    assert plan_for_answer(10, 3).count == 4
    with pytest.raises(SizeMismatch, match="chose parts of 1 byte,"):
        plan_for_answer(MAX_PARTS + 1, 1)


@pytest.mark.parametrize("number", [0, 5, -1])
def test_impossible_part_number(number: int) -> None:
    """A part number below 1 or above the number of parts is an error."""
    with pytest.raises(IndexError):
        Plan(10, 3).part(number)
