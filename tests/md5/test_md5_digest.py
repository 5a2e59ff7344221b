"""Digests of parts that several threads feed, compared with hashlib."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from hashlib import md5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from md5_support import LIBRARY, WIDTHS, pattern

from cavatica_upload import md5 as md5_package
from cavatica_upload.errors import UsageError
from cavatica_upload.md5 import (
    CHUNKS_TO_HASH,
    PATH,
    VARIABLE,
    Job,
    LaneDigest,
    Library,
    PartDigest,
    Pool,
    _pool,
    implementation,
    new_digest,
)

CHUNK = 4096
some_lanes = pytest.mark.parametrize("lanes", WIDTHS)
widest = pytest.mark.parametrize("lanes", WIDTHS[-1:])


@pytest.fixture(autouse=True)
def choose_anew() -> Iterator[None]:
    """Forget the chosen implementation after each test."""
    yield
    _pool.cache_clear()


def feed(part: PartDigest, chunks: list[bytes]) -> str:
    """Hash chunks as a worker does."""
    for chunk in chunks:
        part.update(chunk)
    return part.hexdigest()


def feed_at_once(parts: list[PartDigest], chunks: list[list[bytes]]) -> list[str | None]:
    """Hash each part in its own thread."""
    taken: list[str | None] = [None] * len(parts)

    def work(number: int) -> None:
        taken[number] = feed(parts[number], chunks[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


class Held(Library):
    """A library whose hashing waits until it is released."""

    def __init__(self) -> None:
        super().__init__(PATH)
        self.begun = threading.Event()
        self.go = threading.Event()

    def advance(self, jobs: list[Job], lanes: int = 0) -> None:
        self.begun.set()
        self.go.wait()
        super().advance(jobs, lanes)


@some_lanes
@settings(max_examples=40)
@given(
    parts=st.lists(
        st.lists(st.one_of(st.just(CHUNK), st.sampled_from([0, 1, 63, 64, 65, 128]), st.integers(0, 3 * CHUNK))),
        min_size=1,
        max_size=20,
    )
)
def test_any_split_over_threads(lanes: int, parts: list[list[int]]) -> None:
    """Any number of parts in chunks of any sizes, each fed by its own thread, have the MD5s of hashlib."""
    pool = Pool(LIBRARY, lanes)
    chunks = [[pattern(size, number) for size in sizes] for number, sizes in enumerate(parts)]
    taken = feed_at_once([LaneDigest(pool) for _ in parts], chunks)
    assert taken == [md5(b"".join(part)).hexdigest() for part in chunks]


@pytest.mark.parametrize("forced", ["hashlib", ""])
def test_implementation_follows_the_environment(forced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """new_digest() follows the environment, implementation() names the choice, and the MD5s are right."""
    monkeypatch.setenv(VARIABLE, forced)
    _pool.cache_clear()
    lanes = LIBRARY is not None and not forced
    assert implementation() == ("lanes" if lanes else "hashlib")
    assert isinstance(new_digest(), LaneDigest if lanes else type(md5()))
    chunks = [[pattern(CHUNK, number)] * 7 + [b"end"] for number in range(9)]
    taken = feed_at_once([new_digest() for _ in chunks], chunks)
    assert taken == [md5(b"".join(part)).hexdigest() for part in chunks]


def test_hashlib_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library hashlib is used, and CAVATICA_MD5=lanes is an error that says what to do."""
    monkeypatch.setattr(md5_package, "load", lambda: None)
    _pool.cache_clear()
    monkeypatch.delenv(VARIABLE, raising=False)
    assert feed(new_digest(), [b"ab", b"c"]) == md5(b"abc").hexdigest()
    _pool.cache_clear()
    monkeypatch.setenv(VARIABLE, "lanes")
    with pytest.raises(UsageError, match="were not built") as caught:
        new_digest()
    assert "compiler" in str(caught.value.hint)


def test_an_unknown_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown implementation is refused every time."""
    monkeypatch.setenv(VARIABLE, "sha1")
    _pool.cache_clear()
    for ask in (new_digest, implementation, new_digest):
        with pytest.raises(UsageError, match="'sha1'"):
            ask()


@widest
def test_update_after_hexdigest(lanes: int) -> None:
    """After hexdigest() more chunks may follow, and it returns the same if called twice."""
    part, known = LaneDigest(Pool(LIBRARY, lanes)), md5()
    for size in (0, 5, 64, 59, 1000, CHUNK):
        part.update(pattern(size))
        known.update(pattern(size))
        assert part.hexdigest() == part.hexdigest() == known.hexdigest()


@widest
def test_finishing_hashes_waiting_chunks_of_others(lanes: int) -> None:
    """A digest that is finished also hashes a waiting chunk of each other digest."""
    pool = Pool(LIBRARY, lanes)
    first, second = LaneDigest(pool), LaneDigest(pool)
    first.update(pattern(CHUNK, 1))
    second.update(pattern(CHUNK, 2))
    assert len(first.waiting) == 1
    second.hexdigest()
    assert not first.waiting
    assert first.hexdigest() == md5(pattern(CHUNK, 1)).hexdigest()


@some_lanes
def test_full_lanes_are_hashed(lanes: int) -> None:
    """If as many digests as lanes have a chunk each, all chunks are hashed."""
    pool = Pool(LIBRARY, lanes)
    parts = [LaneDigest(pool) for _ in range(lanes)]
    for part in parts:
        part.update(pattern(CHUNK))
    assert not any(part.waiting for part in parts)


@widest
def test_few_chunks_wait(lanes: int) -> None:
    """A digest keeps only a few chunks, so memory is bounded."""
    part = LaneDigest(Pool(LIBRARY, lanes))
    for _ in range(50):
        part.update(pattern(CHUNK))
        assert len(part.waiting) < CHUNKS_TO_HASH


@widest
def test_a_thread_waits_while_another_hashes(lanes: int) -> None:
    """While its batch is hashed, a digest accepts a few more chunks and then blocks its thread."""
    library = Held()
    pool = Pool(library, lanes)
    slow, other = LaneDigest(pool), LaneDigest(pool)
    other.update(pattern(CHUNK))
    returned = []

    def more() -> None:
        for number in range(20):
            other.update(pattern(CHUNK))
            returned.append(number)

    hasher = threading.Thread(target=feed, args=(slow, [pattern(CHUNK)] * CHUNKS_TO_HASH))
    hasher.start()
    assert library.begun.wait(60)
    feeder = threading.Thread(target=more)
    feeder.start()
    while len(other.waiting) <= CHUNKS_TO_HASH:
        assert feeder.is_alive()
    assert len(returned) == CHUNKS_TO_HASH - 1
    library.go.set()
    hasher.join()
    feeder.join()
    assert other.hexdigest() == md5(pattern(CHUNK) * 21).hexdigest()


@widest
def test_a_dropped_digest_is_freed(lanes: int) -> None:
    """A digest that is dropped is freed immediately, and the others continue."""
    pool = Pool(LIBRARY, lanes)
    gone = LaneDigest(pool)
    gone.update(pattern(CHUNK))
    seen = weakref.ref(gone)
    del gone
    gc.collect()
    assert seen() is None
    assert feed(LaneDigest(pool), [pattern(CHUNK)] * 9) == md5(pattern(CHUNK) * 9).hexdigest()


@widest
def test_an_idle_digest_does_not_block_others(lanes: int) -> None:
    """More idle digests than lanes do not block the others."""
    pool = Pool(LIBRARY, lanes)
    silent = [LaneDigest(pool) for _ in range(2 * lanes)]
    for part in silent:
        part.update(pattern(CHUNK, 3))
    chunks = [[pattern(CHUNK, number)] * 20 for number in range(4)]
    taken = feed_at_once([LaneDigest(pool) for _ in chunks], chunks)
    assert taken == [md5(b"".join(part)).hexdigest() for part in chunks]
    assert {part.hexdigest() for part in silent} == {md5(pattern(CHUNK, 3)).hexdigest()}


@widest
def test_an_interrupt_before_the_hashing(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the thread that is about to hash loses no chunk, and no other thread hangs."""
    library = Library(PATH)
    pool = Pool(library, lanes)
    mine, others = LaneDigest(pool), LaneDigest(pool)
    others.update(pattern(CHUNK, 1))
    mine.update(pattern(CHUNK, 2))

    def interrupted(jobs: list[Job], lanes: int = 0) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(library, "advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            mine.hexdigest()
    assert others.hexdigest() == md5(pattern(CHUNK, 1)).hexdigest()
    assert mine.hexdigest() == md5(pattern(CHUNK, 2)).hexdigest()


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new Python process."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, env=os.environ
    )


def test_a_forked_child_hashes_by_itself() -> None:
    """A child that is forked while the parent hashes computes MD5s."""
    done = run(
        "import hashlib, os\n"
        "from cavatica_upload.md5 import _pool, new_digest\n"
        "new_digest().update(bytes(9999))\n"
        "pool = _pool(os.getpid())\n"
        "if pool: pool.lock.acquire()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    part = new_digest()\n"
        "    for _ in range(9): part.update(bytes(640))\n"
        "    os._exit(7 if part.hexdigest() == hashlib.md5(bytes(9 * 640)).hexdigest() else 8)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert done.stdout.strip() == "7", done.stderr


def test_the_interpreter_ends_in_the_middle() -> None:
    """A process ends with its main thread, although other threads still hash."""
    done = run(
        "import threading\n"
        "from cavatica_upload.md5 import new_digest\n"
        "def work():\n"
        "    part = new_digest()\n"
        "    while True:\n"
        "        part.update(bytes(500_000))\n"
        "        begun.set()\n"
        "begun = threading.Event()\n"
        "for _ in range(6): threading.Thread(target=work, daemon=True).start()\n"
        "begun.wait()\n"
        "print('done')\n"
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
