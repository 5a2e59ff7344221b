"""A mock, files to upload to it, and uploaders that keep their state in one folder."""

import random
from collections import Counter
from contextlib import ExitStack
from hashlib import md5
from pathlib import Path
from typing import Any, Self

from cavatica_mock import MockServer
from cavatica_upload import Event, Receipt, Uploader
from cavatica_upload.events import BytesSent
from cavatica_upload.timing import Timing

PROJECT = "me/study"
KIB = 1024
PART = 64 * KIB
QUICK = Timing(
    first_backoff=0.0005,
    longest_backoff=0.01,
    reset_margin=0.01,
    tick=0.005,
    busy=0.01,
    small_file=0.01,
    describing=0.0,
    stream_end=0.01,
    dropping=0.1,
    final_calls=60.0,
    closing=600.0,
)
"""Pauses are a thousandth of what they are; how they are drawn is tested by itself. A slow machine has time to stop."""


class Rig:
    """The fixture of most tests of the engine."""

    def __init__(self, mock: MockServer, folder: Path) -> None:
        self.mock = mock
        self.folder = folder
        self.state = folder / "state"
        self.events: list[Event] = []
        self.options: dict[str, Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def file(self, size: int, name: str = "sample.bam", seed: int = 1) -> Path:
        """Write a file of bytes that are the same in every run."""
        path = self.folder / name
        path.write_bytes(random.Random(seed).randbytes(size))
        return path

    def uploader(self, **options: Any) -> Uploader:
        """Make an uploader that is closed at the end of the test."""
        given = {
            "token": self.mock.token,
            "endpoint": self.mock.base_url,
            "state_dir": self.state,
            "listeners": [self.events.append],
            "retry_for": 0,
            "stop_within": 60,
            "timing": QUICK,
        }
        uploader = Uploader(**{**given, **self.options, **options})
        self._stack.callback(uploader.close)
        return uploader

    def upload(self, source: Any, *, uploader: dict[str, Any] | None = None, **options: Any) -> Receipt:
        """Upload one file with an uploader of its own."""
        with self.uploader(**(uploader or {})) as made:
            receipt = made.upload(source, PROJECT, **{"part_size": PART, **options})
        assert receipt is not None
        return receipt

    def stored(self, receipt: Receipt) -> bytes:
        """The bytes of an uploaded file."""
        return self.mock.file_bytes(receipt.file_id)

    def assert_whole(self, receipt: Receipt, path: Path) -> None:
        """Check that the file on the server is the file on disk, and that the receipt says so."""
        content = path.read_bytes()
        assert self.stored(receipt) == content
        assert receipt.verified
        assert receipt.size == len(content)
        assert [part.md5 for part in receipt.parts] == [
            md5(content[start : start + receipt.part_size]).hexdigest()
            for start in range(0, max(1, len(content)), receipt.part_size)
        ]

    def told(self, kind: type) -> list[Any]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    def bytes_told(self) -> int:
        """The sum of the bytes in events."""
        return sum(event.count for event in self.told(BytesSent))

    @property
    def calls(self) -> Counter[str]:
        """API calls by operation."""
        return self.mock.calls

    @property
    def api_calls(self) -> int:
        """The number of API calls, without the puts to storage."""
        return sum(count for operation, count in self.mock.calls.items() if operation != "putPart")
