"""What the sink knows: the uploads, what storage took of each part, and whether the outcome is whole."""

import hashlib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any


@lru_cache
def part_md5s(path: Path, part_size: int) -> list[str]:
    """The MD5 of every part of the file that will be uploaded, so that storage need not take it during the run."""
    size = path.stat().st_size

    def digest(start: int) -> str:
        md5 = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as file:
            file.seek(start)
            left = min(part_size, size - start)
            while left:
                block = file.read(min(left, 1 << 20))
                md5.update(block)
                left -= len(block)
        return md5.hexdigest()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(digest, range(0, max(size, 1), part_size)))


@dataclass
class Upload:
    """One upload: what was promised, what storage keeps, what was reported."""

    upload_id: str
    name: str
    project: str
    size: int
    part_size: int
    md5s: list[str]
    kept: dict[int, str] = field(default_factory=dict)  # part number -> MD5 of the bytes that storage keeps
    etags: dict[int, str] = field(default_factory=dict)  # part number -> the ETag storage has for them
    reported: dict[int, str] = field(default_factory=dict)
    state: str = "open"

    def length(self, number: int) -> int:
        """Bytes in a part."""
        return max(0, min(self.part_size, self.size - (number - 1) * self.part_size))

    def whole(self) -> bool:
        """Storage keeps exactly the file's bytes."""
        return all(self.kept.get(number) == md5 for number, md5 in enumerate(self.md5s, 1))

    def agreed(self) -> bool:
        """Every part was reported with the ETag storage has: what a real storage asks for before it completes."""
        numbers = range(1, len(self.md5s) + 1)
        return all(self.reported.get(number) and self.reported[number] == self.etags.get(number) for number in numbers)

    @property
    def file_id(self) -> str:
        """The id of the file that becomes of it."""
        return self.upload_id[:24]

    def described(self) -> dict[str, object]:
        """For the harness."""
        return {
            "id": self.upload_id,
            "state": self.state,
            "whole": self.whole(),
            "part_size": self.part_size,
            "parts": len(self.md5s),
        }


class Shelf:
    """The state that the API and the storage share; counters are reset between runs."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.lock = threading.Lock()
        self.uploads: dict[str, Upload] = {}
        self.reset()

    def reset(self) -> None:
        """Forget counts and uploads."""
        with self.lock:
            self.calls: Counter[str] = Counter()
            self.refused = 0  # API calls beyond the limit, counted among the calls too
            self.bytes_received = 0
            self.in_flight = 0
            self.max_in_flight = 0
            self.uploads.clear()

    def add(self, upload: Upload) -> None:
        """Keep an upload that was started."""
        with self.lock:
            self.uploads[upload.upload_id] = upload

    def called(self, operation: str, *, refused: bool) -> None:
        """Count an API call."""
        with self.lock:
            self.calls[operation] += 1
            self.refused += refused

    def take_reports(self, upload: Upload, reports: list[Any]) -> None:
        """Note what a client says that storage answered."""
        with self.lock:
            for report in reports:
                headers = report["response"]["headers"]
                etag = next((value for name, value in headers.items() if name.lower() == "etag"), None)
                upload.reported[report["part_number"]] = (etag or "").strip('"')

    def received(self, count: int) -> None:
        """Body bytes that storage has read."""
        with self.lock:
            self.bytes_received += count

    def enter(self) -> None:
        """A put begins."""
        with self.lock:
            self.calls["putPart"] += 1
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def leave(self) -> None:
        """A put ended."""
        with self.lock:
            self.in_flight -= 1

    def stats(self) -> dict[str, object]:
        """What the harness asks for after, and sometimes during, a run."""
        with self.lock:
            return {
                "calls": dict(self.calls),
                "api_calls": sum(self.calls.values()) - self.calls["putPart"],
                "refused": self.refused,
                "bytes_received": self.bytes_received,
                "in_flight": self.in_flight,
                "max_in_flight": self.max_in_flight,
                "uploads": [upload.described() for upload in self.uploads.values()],
            }
