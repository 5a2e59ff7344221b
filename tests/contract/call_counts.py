"""What was seen: calls by operation and status, and how many uploads began and ended."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

import attrs

from tests.contract import document

OTHER = "(no operation)"


@attrs.define
class CallCounts:
    """Counts of (operationId, status). Bytes to storage are counted apart: they are not calls."""

    seen: Counter[tuple[str, int]] = attrs.field(factory=Counter)
    puts: int = 0

    def add(self, operation: str | None, status: int) -> None:
        self.seen[operation or OTHER, status] += 1

    def update(self, other: "CallCounts") -> None:
        self.seen.update(other.seen)
        self.puts += other.puts

    @property
    def calls(self) -> int:
        return sum(self.seen.values())

    @property
    def lives(self) -> dict[str, int]:
        """How many uploads were started, completed and aborted."""
        return {
            "started": self.seen["startUpload", 200],
            "completed": self.seen["completeUpload", 201] + self.seen["completeUpload", 200],
            "aborted": self.seen["abortUpload", 204],
        }

    def statuses(self, operation: str) -> dict[int, int]:
        """The statuses of an operation with how often each was seen."""
        return {status: count for (name, status), count in sorted(self.seen.items()) if name == operation}

    def never_seen(self) -> list[tuple[str, int]]:
        """The declared statuses that no answer had."""
        return [
            (operation.id, status)
            for operation in document.operations().values()
            for status in sorted(operation.declared)
            if not self.seen[operation.id, status]
        ]

    def to_json(self) -> dict[str, Any]:
        return {"puts": self.puts, "seen": [[name, status, count] for (name, status), count in self.seen.items()]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(Counter({(name, status): count for name, status, count in data["seen"]}), data["puts"])

    @classmethod
    def of(cls, tallies: Iterable["CallCounts"]) -> Self:
        whole = cls()
        for counts in tallies:
            whole.update(counts)
        return whole
