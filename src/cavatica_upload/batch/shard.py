"""--shard: divides the files of a batch among machines, always in the same way and balanced by size."""

import heapq
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

import attrs

from cavatica_upload.errors import UsageError

if TYPE_CHECKING:
    from cavatica_upload.batch.files import Item

FILE_COST = 4 * 1024 * 1024
"""Bytes that are added to the size of each file, because even a small one needs three API calls."""
MOST_SHARDS = 100_000


@attrs.frozen
class Shard:
    """Share `index` (from 1) of `count` shares.

    Raises UsageError if the index is not one of the shares.
    """

    index: int
    count: int

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.count <= MOST_SHARDS or not 1 <= self.index <= self.count:
            raise UsageError(
                f"{self.index}/{self.count} is not a share of a batch.",
                "Give i/n with i from 1 to n: 1/4, 2/4, 3/4 and 4/4 are together the whole batch.",
            )

    @classmethod
    def parse(cls, text: str, environ: Mapping[str, str] = os.environ) -> Self:
        """Read `i/n`, such as `3/8`, or `slurm`: then the share is in the environment."""
        if text.strip().lower() == "slurm":
            return cls.of_slurm(environ)
        found = re.fullmatch(r"\s*([0-9]{1,6})\s*/\s*([0-9]{1,6})\s*", text)
        if not found:
            raise UsageError(f"{text!r} is not a share.", "Give i/n, such as 3/8, or the word slurm.")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of_slurm(cls, environ: Mapping[str, str]) -> Self:
        """Take the share from a Slurm array job: SLURM_ARRAY_TASK_ID among SLURM_ARRAY_TASK_COUNT.

        The IDs of an array may begin anywhere and have steps (`--array=0-30:10`), which Slurm gives in
        SLURM_ARRAY_TASK_MIN and SLURM_ARRAY_TASK_STEP (slurm.schedmd.com, Job Array Support). Without these two, the
        IDs are assumed to be 1 to COUNT, or 0 to COUNT-1 if the ID itself is 0.

        Raises UsageError outside an array job, and if the IDs cannot be counted (`--array=1,5,7`).
        """
        values = {name: environ.get(f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "COUNT", "MIN", "MAX", "STEP")}
        if not values["ID"] or not values["COUNT"]:
            raise UsageError(
                "This is not a task of a Slurm array job: SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT are not set.",
                "Submit with sbatch --array=1-8, or give the share as i/n.",
            )
        try:
            numbers = {name: int(value) for name, value in values.items() if value}
        except ValueError:
            raise UsageError("Slurm's array variables are not numbers.", "Give the share as i/n.") from None
        task, count = numbers["ID"], numbers["COUNT"]
        first = numbers.get("MIN", 0 if task == 0 else 1)
        step = max(1, numbers.get("STEP", 1))
        even = "MAX" not in numbers or (numbers["MAX"] - first) // step + 1 == count
        if not even or (task - first) % step or not 0 <= (task - first) // step < count:
            raise UsageError(
                f"Task {task} cannot be placed among the {count} tasks of this Slurm array.",
                "Use consecutive IDs, such as sbatch --array=1-8, or give the share as i/n.",
            )
        return cls((task - first) // step + 1, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def in_command(self, words: Sequence[str]) -> list[str]:
        """Return a command with the numbers of the share instead of “slurm”."""
        return [
            str(self) if previous == "--shard" else f"--shard={self}" if word.startswith("--shard=") else word
            for previous, word in zip(["", *words], words, strict=False)
        ]


def slurm_tasks(environ: Mapping[str, str] = os.environ) -> int:
    """Return the number of tasks of the Slurm array that this process is in, 0 outside of one."""
    try:
        return int(environ.get("SLURM_ARRAY_TASK_COUNT", ""))
    except ValueError:
        return 0


def partition(items: "Iterable[Item]", count: int) -> "list[list[Item]]":
    """Deal files into `count` shares of about the same weight; the order of the files does not matter.

    Longest first, each to the lightest share so far (of equal ones, the first); files of equal size go by their target,
    which is unique and the same on every machine. A file weighs its size in bytes and `FILE_COST`. The heaviest share
    weighs at most 4/3 of the best that is possible (R. L. Graham, 1969).
    """
    shares: list[list[Item]] = [[] for _ in range(count)]
    loads = [(0, number) for number in range(count)]
    for item in sorted(items, key=lambda item: (-item.known_size, item.target)):
        load, number = loads[0]
        shares[number].append(item)
        heapq.heapreplace(loads, (load + item.known_size + FILE_COST, number))
    return shares
