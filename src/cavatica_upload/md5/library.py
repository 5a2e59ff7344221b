"""The compiled half of the package: MD5 over several messages at once (lanes.c), loaded where it was built."""

import ctypes
import struct
from hashlib import md5
from pathlib import Path

BLOCK = 64
"""MD5 takes its message in blocks of so many bytes (RFC 1321)."""

PATH = Path(__file__).with_name("liblanes.so")
"""Where the build leaves the library, on every system; a Python module cannot have this name by mistake."""

_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)


class Job(ctypes.Structure):
    """An MD5 under way: its state, the bytes to take next and how many blocks of them. The C code changes all three."""

    _fields_ = (("state", ctypes.c_uint32 * 4), ("data", ctypes.c_char_p), ("blocks", ctypes.c_size_t))

    def __init__(self) -> None:
        super().__init__(_START)

    def give(self, data: bytes) -> None:
        """Make the whole blocks of `data` the next to be taken; it is kept alive until `drop`."""
        self.data = data
        self.blocks = len(data) // BLOCK

    def drop(self) -> None:
        """Let go of the data."""
        self.data = b""
        self.blocks = 0

    def copy(self) -> "Job":
        """Another MD5 that goes on from here."""
        other = Job()
        other.state = self.state
        return other

    def hexdigest(self) -> str:
        """The state as MD5s are written."""
        return struct.pack("<4I", *self.state).hex()


def last_blocks(tail: bytes, size: int) -> bytes:
    """The end of a message of `size` bytes as MD5 wants it: the bytes after its last whole block, padding, length."""
    return tail + b"\x80" + bytes(-(size + 9) % BLOCK) + struct.pack("<Q", size * 8 & 0xFFFFFFFFFFFFFFFF)


class Library:
    """lanes.c, compiled. Raises OSError or AttributeError where `path` is no such thing."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._advance = library.md5_advance
        self._advance.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
        self._advance.restype = None
        library.md5_lanes.argtypes = ()
        library.md5_lanes.restype = ctypes.c_size_t
        self.lanes: int = library.md5_lanes()
        """How many MD5s this machine takes at once."""

    def advance(self, jobs: list[Job], lanes: int = 0) -> None:
        """Take all blocks of all jobs, so many at once (0: as many as pay). Other Python threads run meanwhile."""
        pointers = (ctypes.c_void_p * len(jobs))(*map(ctypes.addressof, jobs))
        self._advance(pointers, len(jobs), lanes)

    def is_right(self) -> bool:
        """Whether it agrees with hashlib at every width; a wrong library would fail every upload."""
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
    """The library, or None where it was not built, is of another machine, or gives wrong answers."""
    try:
        library = Library(path)
    except (OSError, AttributeError):
        return None
    return library if library.is_right() else None
