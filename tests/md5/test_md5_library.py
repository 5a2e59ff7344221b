"""The compiled MD5, compared with hashlib."""

import _ctypes
from hashlib import md5
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from md5_support import COMPILER, LIBRARY, WIDTHS, pattern

from cavatica_upload.md5 import BLOCK, Job, Library, last_blocks, load


def hashed(library: Library, messages: list[bytes], lanes: int) -> list[str]:
    """The MD5s of whole messages, computed together."""
    jobs = [Job() for _ in messages]
    for job, message in zip(jobs, messages, strict=True):
        job.give(last_blocks(message, len(message)))
    library.advance(jobs, lanes)
    return [job.hexdigest() for job in jobs]


def expected(messages: list[bytes]) -> list[str]:
    """The MD5s of hashlib."""
    return [md5(message).hexdigest() for message in messages]


def test_library_is_built_if_there_is_a_compiler() -> None:
    """If the machine has a C compiler, the library is built and gives right MD5s."""
    assert (LIBRARY is not None) == (COMPILER is not None), "run make install"


@pytest.mark.parametrize("lanes", WIDTHS)
def test_every_length_around_a_block(lanes: int) -> None:
    """All lengths from zero to over three blocks, hashed together, have the MD5s of hashlib."""
    messages = [pattern(size, size) for size in range(3 * BLOCK + 2)]
    assert hashed(LIBRARY, messages, lanes) == expected(messages)


@pytest.mark.parametrize("lanes", WIDTHS)
@given(sizes=st.lists(st.integers(0, 40 * BLOCK), max_size=20))
def test_unequal_messages(lanes: int, sizes: list[int]) -> None:
    """Any number of messages of any lengths have the MD5s of hashlib."""
    messages = [pattern(size, number) for number, size in enumerate(sizes)]
    assert hashed(LIBRARY, messages, lanes) == expected(messages)


@pytest.mark.parametrize("lanes", WIDTHS)
def test_every_number_of_lanes_in_use(lanes: int) -> None:
    """From one message to more than the number of lanes, each MD5 is right."""
    for count in range(1, 2 * lanes + 2):
        messages = [pattern(10 * BLOCK + number, number) for number in range(count)]
        assert hashed(LIBRARY, messages, lanes) == expected(messages)


@given(size=st.integers(0, 1000))
def test_padding(size: int) -> None:
    """A padded message has whole blocks, at most one more than its length field needs."""
    padded = last_blocks(bytes(size), size)
    assert len(padded) % BLOCK == 0
    assert size + 9 <= len(padded) < size + 9 + BLOCK


def test_a_length_beyond_64_bits_of_bits() -> None:
    """The length in the padding is modulo 2**64 bits, as in RFC 1321."""
    assert last_blocks(b"", 1 << 61)[-8:] == bytes(8)


@pytest.mark.parametrize("lanes", WIDTHS[-1:])
def test_a_library_with_a_wrong_md5_is_not_used(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that gives one wrong MD5 at one width is not used."""
    right = Library.advance

    def wrong(self: Library, jobs: list[Job], width: int = 0) -> None:
        right(self, jobs, width)
        if width == lanes:
            jobs[-1].state[3] ^= 1

    assert load() is not None
    monkeypatch.setattr(Library, "advance", wrong)
    assert load() is None


def test_nothing_to_load(tmp_path: Path) -> None:
    """Without a library, or with a wrong one, hashlib is used."""
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"\x7fELF and no more")
    assert load(tmp_path / "none.so") is None
    assert load(broken) is None
    assert load(Path(_ctypes.__file__)) is None
