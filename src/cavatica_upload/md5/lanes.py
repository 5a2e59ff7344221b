"""MD5 of several parts side by side, by compiled code (lanes.c) if it was built.

The threads that send parts share the hashing; it has no thread of its own. A thread that adds a block continues to
send. The thread that finds enough blocks waiting takes one of each digest and hashes them side by side. So the lanes
are filled by as many digests as are busy, a single digest waits for no other, and nothing has to be stopped at exit.
One thread hashes at a time: a second would split the lanes, and one hashes gigabytes a second.
"""

import ctypes
import struct
import threading
import weakref
from collections import deque
from hashlib import md5
from pathlib import Path

BLOCK = 64
"""Bytes in a block of MD5 (RFC 1321)."""

PATH = Path(__file__).with_name("liblanes.so")
"""Where the build puts the library, on every system; no Python module has this name."""

ENOUGH = 3
"""If so many blocks of a digest wait, its thread hashes, or waits for the thread that hashes. By then the other digests
have blocks, too. More blocks would be smaller, because all share the memory, and each costs switches of threads."""
AGAIN = 2
"""Waiting blocks of a digest at which its thread continues."""

_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)


class Job(ctypes.Structure):
    """An unfinished MD5: its state, the next bytes and the number of blocks in them. The C code changes all three."""

    _fields_ = (("state", ctypes.c_uint32 * 4), ("data", ctypes.c_char_p), ("blocks", ctypes.c_size_t))

    def __init__(self) -> None:
        super().__init__(_START)

    def give(self, data: bytes) -> None:
        """Set the whole blocks of `data` as the next; `data` is kept alive until other data is given."""
        self.data = data
        self.blocks = len(data) // BLOCK

    def hexdigest(self) -> str:
        """Return the state as hexadecimal digits."""
        return struct.pack("<4I", *self.state).hex()


def last_blocks(tail: bytes, size: int) -> bytes:
    """Return the end of a message of `size` bytes: the bytes after its last whole block, padding, length."""
    return tail + b"\x80" + bytes(-(size + 9) % BLOCK) + struct.pack("<Q", size * 8 & 0xFFFFFFFFFFFFFFFF)


class Library:
    """lanes.c, compiled. Raises OSError or AttributeError if `path` is not this library."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._advance = library.md5_advance
        self._advance.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
        self._advance.restype = None
        library.md5_lanes.argtypes = ()
        library.md5_lanes.restype = ctypes.c_size_t
        self.lanes: int = library.md5_lanes()
        """How many MD5s this machine computes side by side."""

    def advance(self, jobs: list[Job], lanes: int = 0) -> None:
        """Hash all blocks of all jobs, `lanes` side by side (0: the fastest number), without the lock of Python."""
        pointers = (ctypes.c_void_p * len(jobs))(*map(ctypes.addressof, jobs))
        self._advance(pointers, len(jobs), lanes)

    def is_right(self) -> bool:
        """Return whether it agrees with hashlib at every width; a wrong library would fail every upload."""
        messages = [bytes([number]) * (number * 23) for number in range(self.lanes)]
        expected = [md5(message, usedforsecurity=False).hexdigest() for message in messages]
        for lanes in (1, 4, 8, 16):
            jobs = [Job() for _ in messages]
            for job, message in zip(jobs, messages, strict=True):
                job.give(last_blocks(message, len(message)))
            self.advance(jobs, lanes)
            if [job.hexdigest() for job in jobs] != expected:
                return False
        return True


def load(path: Path = PATH) -> Library | None:
    """Return the library, or None if it was not built, is of another machine, or computes wrong MD5s."""
    try:
        library = Library(path)
    except (OSError, AttributeError):
        return None
    return library if library.is_right() else None


class LaneDigest:
    """The MD5 of one part, hashed beside those of others."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._size = 0
        self._tail = b""
        self.job = Job()
        self.waiting: deque[bytes] = deque()  # with the one that is being hashed; guarded by the pool's lock
        self.woken = threading.Condition(pool.lock)

    def update(self, block: bytes) -> None:
        """Add the next block of the part; it may be hashed later."""
        data = self._tail + block if self._tail else block
        whole = len(data) - len(data) % BLOCK
        self._tail = data[whole:]
        self._size += len(block)
        if whole:
            self._pool.put(self, data)

    def hexdigest(self) -> str:
        """Return the MD5 of all blocks so far; more may follow."""
        self._pool.settle(self)
        job = Job.from_buffer_copy(self.job)
        job.give(last_blocks(self._tail, self._size))
        self._pool.library.advance([job])
        return job.hexdigest()


class Pool:
    """The digests that have blocks to hash, at most `lanes` of them side by side (0: the fastest number)."""

    def __init__(self, library: Library, lanes: int = 0) -> None:
        self.library = library
        self.lock = threading.Lock()
        self._lanes = lanes or library.lanes
        self._hashing = False
        # Digests with blocks that nobody hashes yet, the longest waiting first. Weak references, so that the digest of
        # an attempt that failed is freed with its blocks.
        self._ready: dict[int, weakref.ref[LaneDigest]] = {}
        self._sleepers: dict[LaneDigest, int] = {}  # digests whose threads sleep until so few blocks wait

    def put(self, digest: LaneDigest, data: bytes) -> None:
        """Add the whole blocks of `data` to a digest. Hashes if enough blocks wait, sleeps if too many do."""
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
            self._ready[id(digest)] = weakref.ref(digest)  # may replace a freed digest that had the same id

    def _sleep(self, digest: LaneDigest, until: int) -> None:
        self._sleepers[digest] = until
        try:
            digest.woken.wait()
        finally:
            self._sleepers.pop(digest, None)

    def _wake_next(self) -> None:
        """Let a sleeping thread hash, if nobody does."""
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
                if not member.job.blocks:  # if not, an interrupt came first, and the block still waits
                    member.waiting.popleft()
                member.job.give(b"")
                self._offer(member)
                if len(member.waiting) <= self._sleepers.get(member, -1):
                    del self._sleepers[member]
                    member.woken.notify()
