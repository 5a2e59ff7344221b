"""Shares the hashing of several digests among the threads that feed them.

There is no thread for it. A thread that brings a block leaves it here and goes on sending. The one that finds enough
blocks waiting takes one of each digest and hashes them side by side, so the lanes are filled by as many digests as are
busy, one digest alone waits for nobody, and nothing has to be stopped at exit. One thread hashes at a time: a second
would split the lanes, and one keeps up with gigabytes a second.
"""

import threading
import weakref
from collections import deque

from cavatica_upload.md5.library import BLOCK, Job, Library, last_blocks

ENOUGH = 3
"""So many blocks of one digest make a thread hash: by then the others have brought theirs. Measured with 8 threads, two
batches in three have all 8 lanes in use; at 2 it is one in four."""


class LaneDigest:
    """The MD5 of one part, hashed beside others."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._size = 0
        self._tail = b""
        self.job = Job()
        self.waiting: deque[bytes] = deque()  # with the one that is being hashed; guarded by the pool's lock

    def update(self, block: bytes) -> None:
        """Take the next block of the part; it may be hashed later."""
        data = self._tail + block if self._tail else block
        whole = len(data) - len(data) % BLOCK
        self._tail = data[whole:]
        self._size += len(block)
        if whole:
            self._pool.put(self, data)

    def hexdigest(self) -> str:
        """The MD5 of all blocks so far; more may follow."""
        self._pool.settle(self)
        job = self.job.copy()
        job.give(last_blocks(self._tail, self._size))
        self._pool.library.advance([job])
        return job.hexdigest()


class Pool:
    """The digests that have blocks to hash, at most so many side by side (0: as many as pay)."""

    def __init__(self, library: Library, lanes: int = 0) -> None:
        self.library = library
        self._lanes = lanes or library.lanes
        self._changed = threading.Condition(threading.Lock())
        self._hashing = False
        # Those with blocks that nobody hashes yet, the longest waiting first. Weak, so that a digest nobody asks any
        # more, of an attempt that failed, goes with its blocks.
        self._ready: dict[int, weakref.ref[LaneDigest]] = {}

    def put(self, digest: LaneDigest, data: bytes) -> None:
        """Add the whole blocks of `data` to a digest. Hashes where that is due, waits where too much is waiting."""
        with self._changed:
            digest.waiting.append(data)
            self._ready[id(digest)] = weakref.ref(digest)
        while batch := self._batch(digest, settle=False):
            self._hash(batch)

    def settle(self, digest: LaneDigest) -> None:
        """Return when all blocks of a digest are hashed."""
        while batch := self._batch(digest, settle=True):
            self._hash(batch)

    def _batch(self, digest: LaneDigest, *, settle: bool) -> list[LaneDigest]:
        """What the calling thread must hash now, its own digest with it; nothing where it may go on."""
        with self._changed:
            while True:
                crowded = len(self._ready) >= self._lanes
                if not self._hashing:
                    due = 1 if settle or crowded else ENOUGH
                    return self._take(digest) if len(digest.waiting) >= due else []
                if len(digest.waiting) <= (0 if settle else 1 if crowded else ENOUGH):
                    return []
                self._changed.wait()

    def _take(self, digest: LaneDigest) -> list[LaneDigest]:
        batch = [digest]
        del self._ready[id(digest)]
        while self._ready and len(batch) < self._lanes:
            other = self._ready.pop(next(iter(self._ready)))()
            if other is not None:
                batch.append(other)
        for member in batch:
            member.job.give(member.waiting[0])
        self._hashing = True
        return batch

    def _hash(self, batch: list[LaneDigest]) -> None:
        try:
            self.library.advance([member.job for member in batch], self._lanes)
        finally:
            with self._changed:
                for member in batch:
                    if not member.job.blocks:  # else an interrupt came first, and the block waits on
                        member.waiting.popleft()
                        member.job.drop()
                    if member.waiting:
                        self._ready[id(member)] = weakref.ref(member)
                self._hashing = False
                self._changed.notify_all()
