"""Shards of a batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.batch.files import Item
from cavatica_upload.batch.shard import FILE_COST, Shard, partition, slurm_tasks
from cavatica_upload.errors import UsageError

FILES = st.dictionaries(st.text(min_size=1, max_size=8), st.integers(0, 2**40), max_size=60)


def deal(files: dict[str, int] | list[tuple[str, int]], count: int) -> list[list[tuple[str, int]]]:
    items = list(files.items()) if isinstance(files, dict) else files
    shares = partition([Item(name, name, size=size) for name, size in items], count)
    return [[(item.name, item.known_size) for item in share] for share in shares]


@given(FILES, st.integers(1, 12))
def test_partition_is_exact(files: dict[str, int], count: int) -> None:
    """Every file is in exactly one shard, and there are as many shards as requested."""
    shares = deal(files, count)
    assert len(shares) == count
    assert sorted(item for share in shares for item in share) == sorted(files.items())


@given(FILES, st.integers(1, 12), st.randoms())
def test_partition_does_not_depend_on_the_order(files: dict[str, int], count: int, random: object) -> None:
    """The shards do not depend on the order in which files are listed."""
    shuffled = list(files.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert deal(shuffled, count) == deal(files, count)


@given(FILES, st.integers(1, 12))
def test_partition_is_balanced(files: dict[str, int], count: int) -> None:
    """Two shards differ by at most the size of the largest file."""
    loads = [sum(size + FILE_COST for _, size in share) for share in deal(files, count)]
    heaviest = max((size + FILE_COST for size in files.values()), default=0)
    assert max(loads) - min(loads) <= heaviest


def test_the_known_bad_case_of_the_rule() -> None:
    """Graham's example for longest-first gives its known result, 4/3 of the optimum."""
    sizes = [5, 5, 4, 4, 3, 3, 3]
    scaled = {str(number): size * 10 * FILE_COST - FILE_COST for number, size in enumerate(sizes)}
    loads = [sum(size + FILE_COST for _, size in share) // (10 * FILE_COST) for share in deal(scaled, 3)]
    assert sorted(loads) == [8, 8, 11]


@pytest.mark.parametrize(("text", "shard"), [("1/1", Shard(1, 1)), (" 3 / 8 ", Shard(3, 8))])
def test_a_share_is_read(text: str, shard: Shard) -> None:
    """i/n is the i-th of n shards."""
    assert Shard.parse(text) == shard


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1/0", "a/b", "1", "-1/2", "1/2/3", "1/99999999"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """An impossible shard is an error, not an empty run."""
    with pytest.raises(UsageError):
        Shard.parse(text)


@given(st.integers(0, 50), st.integers(1, 5), st.integers(1, 20))
def test_a_slurm_array_is_covered(first: int, step: int, count: int) -> None:
    """The tasks of an array with any start and step get each shard once."""
    variables = {
        "SLURM_ARRAY_TASK_COUNT": str(count),
        "SLURM_ARRAY_TASK_MIN": str(first),
        "SLURM_ARRAY_TASK_MAX": str(first + (count - 1) * step),
        "SLURM_ARRAY_TASK_STEP": str(step),
    }
    ids = range(first, first + count * step, step)
    shards = [Shard.of_slurm(variables | {"SLURM_ARRAY_TASK_ID": str(task)}) for task in ids]
    assert shards == [Shard(index, count) for index in range(1, count + 1)]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"ID": "3"},
        {"ID": "x", "COUNT": "4"},
        {"ID": "5", "COUNT": "3", "MIN": "1", "MAX": "7", "STEP": "1"},  # --array=1,5,7
        {"ID": "9", "COUNT": "4"},
    ],
)
def test_an_array_that_cannot_be_counted_is_refused(variables: dict[str, str]) -> None:
    """An array without a valid count is refused, since files could be left out."""
    with pytest.raises(UsageError):
        Shard.of_slurm({f"SLURM_ARRAY_TASK_{name}": value for name, value in variables.items()})


def test_an_array_without_bounds_counts_from_one_or_zero() -> None:
    """If Slurm sets only ID and count, tasks are numbered from one or zero."""
    assert Shard.of_slurm({"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "4"}) == Shard(4, 4)
    assert Shard.of_slurm({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "4"}) == Shard(1, 4)


@pytest.mark.parametrize(("count", "tasks"), [("4", 4), ("", 0), ("x", 0), ("9" * 5000, 0)])
def test_whatever_the_environment_says_is_a_number_of_tasks(count: str, tasks: int) -> None:
    """A variable that is not a number from Slurm stops no upload."""
    assert slurm_tasks({"SLURM_ARRAY_TASK_COUNT": count}) == tasks
