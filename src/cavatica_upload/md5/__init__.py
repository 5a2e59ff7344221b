"""MD5 of parts, computed from the bytes as they are sent: by hashlib, or side by side by compiled code (lanes.c).

MD5 cannot use more than a fraction of a processor: each step needs the result of the step before. But the steps of
several MD5s are independent, and SIMD instructions do the same step of up to 16 of them, one in each lane.

There are no threads for this. A thread that sends a part adds each chunk of it to the digest of the part (`LaneDigest`)
and continues to send. When three chunks of its digest wait, it hashes: it takes one chunk of each digest that has one
(`Pool`), and the compiled code computes all of these side by side (`Library`). So the lanes are filled by as many
digests as are busy, a single digest waits for no other, and nothing has to be stopped at exit.

Only one thread hashes at a time: two would share the digests, and so half of the lanes would be empty. A thread that
would hash meanwhile continues until too many of its chunks wait, which keeps memory small, and then sleeps.
"""

import ctypes
import functools
import os
import struct
import threading
import weakref
from collections import deque
from hashlib import md5
from pathlib import Path
from typing import Protocol

from cavatica_upload.errors import UsageError

VARIABLE = "CAVATICA_MD5"
"""The environment variable that chooses an implementation, `hashlib` or `lanes`; read when the first is needed."""

BLOCK = 64  # bytes in a block of MD5 (RFC 1321)

PATH = Path(__file__).with_name("liblanes.so")
"""Where the build puts the library, on every system; no Python module has this name."""

CHUNKS_TO_HASH = 3
"""If this many chunks of a digest wait, its thread hashes. By then the other digests have chunks, too. More would have
to be smaller, as all share the memory, and each chunk costs switches of threads."""
CHUNKS_TO_CONTINUE = 2  # a thread that sleeps continues when this many chunks of its digest are left

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
        self.lanes: int = library.md5_lanes()  # how many MD5s this machine computes side by side

    def advance(self, jobs: list[Job], lanes: int = 0) -> None:
        """Hash all blocks of all jobs, `lanes` side by side (0: the fastest number), without the lock of Python."""
        pointers = (ctypes.c_void_p * len(jobs))(*map(ctypes.addressof, jobs))
        self._advance(pointers, len(jobs), lanes)

    def is_correct(self) -> bool:
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
    """Return the library, None if it was not built, is for another machine, or computes wrong MD5s."""
    try:
        library = Library(path)
    except (OSError, AttributeError):
        return None
    return library if library.is_correct() else None


class LaneDigest:
    """The MD5 of one part, hashed beside those of others."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._size = 0
        self._tail = b""
        self.job = Job()
        self.waiting: deque[bytes] = deque()  # chunks, with the one that is being hashed; guarded by the pool's lock
        self.woken = threading.Condition(pool.lock)

    def update(self, chunk: bytes) -> None:
        """Add the next bytes of the part; they may be hashed later."""
        data = self._tail + chunk if self._tail else chunk
        whole = len(data) - len(data) % BLOCK
        self._tail = data[whole:]
        self._size += len(chunk)
        if whole:
            self._pool.add(self, data)

    def hexdigest(self) -> str:
        """Return the MD5 of all bytes so far; more may follow."""
        self._pool.finish(self)
        job = Job.from_buffer_copy(self.job)
        job.give(last_blocks(self._tail, self._size))
        self._pool.library.advance([job])
        return job.hexdigest()


class Pool:
    """The digests that have chunks to hash, at most `lanes` of them side by side (0: the fastest number)."""

    def __init__(self, library: Library, lanes: int = 0) -> None:
        self.library = library
        self.lock = threading.Lock()
        self._lanes = lanes or library.lanes
        self._hashing = False  # whether a thread hashes now
        # Digests with chunks that no thread hashes yet, the longest waiting first. Weak references, so that the digest
        # of an attempt that failed is freed with its chunks.
        self._ready: dict[int, weakref.ref[LaneDigest]] = {}
        self._sleeping: dict[LaneDigest, int] = {}  # digests whose threads sleep, until at most this many chunks wait

    def add(self, digest: LaneDigest, chunk: bytes) -> None:
        """Add a chunk to a digest. Hashes if enough chunks wait, sleeps if too many do."""
        with self.lock:
            digest.waiting.append(chunk)
            self._mark_ready(digest)
            try:
                while True:
                    count = len(digest.waiting)
                    enough = count >= CHUNKS_TO_HASH or (count > 0 and len(self._ready) >= self._lanes)
                    if enough and not self._hashing:
                        self._hash(digest)
                    elif count > CHUNKS_TO_HASH:
                        self._sleep(digest, CHUNKS_TO_CONTINUE)
                    else:
                        return
            finally:
                self._wake_one()

    def finish(self, digest: LaneDigest) -> None:
        """Return when all chunks of a digest are hashed."""
        with self.lock:
            try:
                while digest.waiting:
                    if self._hashing:
                        self._sleep(digest, 0)
                    else:
                        self._hash(digest)
            finally:
                self._wake_one()

    # The lock is held

    def _mark_ready(self, digest: LaneDigest) -> None:
        if digest.waiting and not digest.job.blocks:
            self._ready[id(digest)] = weakref.ref(digest)  # may replace a freed digest that had the same id

    def _hash(self, digest: LaneDigest) -> None:
        """Hash a chunk of this digest and of as many others as fit; the lock is free meanwhile."""
        batch = self._take_batch(digest)
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
                self._end_of_hashing(member)

    def _take_batch(self, digest: LaneDigest) -> list[LaneDigest]:
        """Return this digest and others that are ready, at most one for each lane; they are then not ready."""
        batch = [digest]
        del self._ready[id(digest)]
        while self._ready and len(batch) < self._lanes:
            other = self._ready.pop(next(iter(self._ready)))()
            if other is not None:
                batch.append(other)
        return batch

    def _end_of_hashing(self, digest: LaneDigest) -> None:
        """Drop the chunk that was hashed, and wake the thread of the digest if few enough are left."""
        if not digest.job.blocks:  # if some are left, an interrupt came first, and the chunk still waits
            digest.waiting.popleft()
        digest.job.give(b"")
        self._mark_ready(digest)
        if len(digest.waiting) <= self._sleeping.get(digest, -1):
            del self._sleeping[digest]
            digest.woken.notify()

    def _sleep(self, digest: LaneDigest, until: int) -> None:
        """Sleep until at most `until` chunks of the digest wait, or its thread should hash."""
        self._sleeping[digest] = until
        try:
            digest.woken.wait()
        finally:
            self._sleeping.pop(digest, None)

    def _wake_one(self) -> None:
        """Let a sleeping thread hash, if no thread does."""
        if not self._hashing and self._sleeping:
            next(iter(self._sleeping)).woken.notify()


class PartDigest(Protocol):
    """The MD5 of one part; used by one thread at a time."""

    def update(self, chunk: bytes, /) -> None:
        """Add the next bytes of the part. May return before they are hashed; they are kept until then."""

    def hexdigest(self) -> str:
        """Return the MD5 of all bytes so far, 32 lower-case hexadecimal digits. Waits until they are hashed."""


def new_digest() -> PartDigest:
    """Return a new digest. Raises UsageError if the implementation that CAVATICA_MD5 names is not available."""
    pool = _pool(os.getpid())
    return LaneDigest(pool) if pool is not None else md5(usedforsecurity=False)


def implementation() -> str:
    """Return which implementation this process uses: `lanes` or `hashlib`. Raises UsageError as `new_digest` does."""
    return "lanes" if _pool(os.getpid()) is not None else "hashlib"


@functools.cache  # by process: a forked child has no threads that would finish what the pool started
def _pool(_process: int) -> Pool | None:
    forced = os.environ.get(VARIABLE, "")
    if forced not in ("", "hashlib", "lanes"):
        raise UsageError(f"{VARIABLE} is {forced!r}.", "Set it to hashlib or lanes, or unset it.")
    library = load() if forced != "hashlib" else None
    if library is None and forced == "lanes":
        raise UsageError(
            f"{VARIABLE} is lanes, which were not built for this machine.",
            "Install a C compiler and then this program again, or unset it.",
        )
    return Pool(library) if library is not None else None
