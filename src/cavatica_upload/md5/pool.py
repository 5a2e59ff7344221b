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
"""Blocks of one digest that make its thread hash, or wait for the one that hashes: by then the others have brought
theirs. All blocks share what memory there is, so more of them are smaller, and each costs changes of threads."""
AGAIN = 2
"""Blocks of a digest at which its waiting thread goes on."""


class LaneDigest:
    """The MD5 of one part, hashed beside others."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._size = 0
        self._tail = b""
        self.job = Job()
        self.waiting: deque[bytes] = deque()  # with the one that is being hashed; guarded by the pool's lock
        self.woken = threading.Condition(pool.lock)

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
        self.lock = threading.Lock()
        self._lanes = lanes or library.lanes
        self._hashing = False
        # Those with blocks that nobody hashes yet, the longest waiting first. Weak, so that a digest nobody asks any
        # more, of an attempt that failed, goes with its blocks.
        self._ready: dict[int, weakref.ref[LaneDigest]] = {}
        self._sleepers: dict[LaneDigest, int] = {}  # whose threads wait here, until so few of their blocks do

    def put(self, digest: LaneDigest, data: bytes) -> None:
        """Add the whole blocks of `data` to a digest. Hashes where that is due, waits where too much is waiting."""
        with self.lock:
            digest.waiting.append(data)
            self._offer(digest)
            try:
                while True:
                    count = len(digest.waiting)
                    if not self._hashing and (count >= ENOUGH or (count and len(self._ready) >= self._lanes)):
                        self._hash(digest)
                    elif count > ENOUGH:
                        self._sleep(digest, AGAIN)
                    else:
                        return
            finally:
                self._wake_next()

    def settle(self, digest: LaneDigest) -> None:
        """Return when all blocks of a digest are hashed."""
        with self.lock:
            try:
                while digest.waiting:
                    if self._hashing:
                        self._sleep(digest, 0)
                    else:
                        self._hash(digest)
            finally:
                self._wake_next()

    # The lock is held

    def _offer(self, digest: LaneDigest) -> None:
        if digest.waiting and not digest.job.blocks:
            self._ready[id(digest)] = weakref.ref(digest)  # in the place of a dead one, where the id was used before

    def _sleep(self, digest: LaneDigest, until: int) -> None:
        self._sleepers[digest] = until
        try:
            digest.woken.wait()
        finally:
            self._sleepers.pop(digest, None)

    def _wake_next(self) -> None:
        """Let another thread hash where this one leaves it and others wait for it."""
        if not self._hashing and self._sleepers:
            next(iter(self._sleepers)).woken.notify()

    def _hash(self, digest: LaneDigest) -> None:
        """Hash a block of this digest and of as many others as fit, without the lock."""
        batch = [digest]
        del self._ready[id(digest)]
        while self._ready and len(batch) < self._lanes:
            other = self._ready.pop(next(iter(self._ready)))()
            if other is not None:
                batch.append(other)
        for member in batch:
            member.job.give(member.waiting[0])
        self._hashing = True
        self.lock.release()
        try:
            self.library.advance([member.job for member in batch], self._lanes)
        finally:
            self.lock.acquire()
            self._hashing = False
            for member in batch:
                if not member.job.blocks:  # else an interrupt came first, and the block waits on
                    member.waiting.popleft()
                member.job.drop()
                self._offer(member)
                if len(member.waiting) <= self._sleepers.get(member, -1):
                    del self._sleepers[member]
                    member.woken.notify()
