"""The plan of the parts of a file, the URL of a part, and the limits of the platform: no disk and no network here."""

from collections.abc import Iterator, Mapping
from datetime import datetime

import attrs

from cavatica_upload.errors import SizeMismatch, UsageError

MIB = 1024 * 1024
GIB = 1024 * MIB
TIB = 1024 * GIB
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

MAX_PARTS = 10_000  # constant of the platform's own clients
MAX_PART_SIZE = 5 * GIB  # likewise, and S3's
MAX_FILE_SIZE = 5 * TIB  # likewise, and S3's

ONE_PART = 64 * MIB  # up to here a file is one part: three calls
SMALLEST = 32 * MIB  # below this the platform may answer with a part size of its own (sevenbridges-java)
LARGEST = 512 * MIB  # a failed part costs its bytes again, so larger only if necessary
LARGEST_FOR_CALLS = GIB  # if the API calls would limit the speed of many machines together
STEP = 8 * MIB
AIMED_PARTS = 400
STREAM = 128 * MIB  # of unknown size: 10,000 parts are 1.2 TiB

WINDOW_CALLS = 1000  # docs.cavatica.org, API rate limit: 1000 requests in five minutes
WINDOW_SECONDS = 300
CALLS_PER_SECOND = WINDOW_CALLS / WINDOW_SECONDS
PARTS_PER_REPORT = 32


@attrs.frozen
class Part:
    """The bytes `offset` to `offset + size` of a file; `number` counts from 1."""

    number: int
    offset: int
    size: int


@attrs.frozen(kw_only=True)
class PartUrl:
    """Where and how to put the bytes of a part.

    `success_codes` is empty if the platform named none: then any 2xx is success. `expires` is None if it did not
    say until when the URL is valid.
    """

    url: str = attrs.field(repr=False)
    method: str = "PUT"
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    success_codes: tuple[int, ...] = ()
    report_headers: tuple[str, ...] = ("ETag",)
    expires: datetime | None = None


@attrs.frozen
class Plan:
    """A file of `size` bytes in parts of `part_size`; the last one may be smaller. An empty file is one empty part.

    Raises UsageError if there would be more than 10,000 parts, or if a number is invalid.
    """

    size: int
    part_size: int = attrs.field()

    @part_size.validator
    def _check(self, _attribute: object, part_size: int) -> None:
        if self.size < 0 or part_size < 1:
            raise UsageError(f"A file of {self.size} bytes cannot have parts of {part_size} bytes.")
        if self.count > MAX_PARTS:
            raise UsageError(
                f"A file of {self.size:,} bytes has {self.count:,} parts of {count_text(part_size, 'byte')}, "
                f"and {MAX_PARTS:,} are allowed.",
                f"Use a part size of at least {_round_up(_divide_up(self.size, MAX_PARTS), MIB) // MIB} MiB.",
            )

    @property
    def count(self) -> int:
        """The number of parts, at least one."""
        return max(1, _divide_up(self.size, self.part_size))

    def part(self, number: int) -> Part:
        """Return the part with this number; raises IndexError if there is none."""
        if not 1 <= number <= self.count:
            raise IndexError(f"part {number} of {self.count}")
        offset = (number - 1) * self.part_size
        return Part(number, offset, min(self.part_size, self.size - offset))

    def __iter__(self) -> Iterator[Part]:
        return (self.part(number) for number in range(1, self.count + 1))


def count_text(count: int, noun: str) -> str:
    """Return a count with its noun: `1 part`, `250,000 files`."""
    return f"{count:,} {plural(count, noun, f'{noun}s')}"


def plural(count: int, one: str, more: str) -> str:
    """Return the word that agrees with a count: `plural(2, "has", "have")` is `have`."""
    return one if count == 1 else more


def size_text(count: float) -> str:
    """Return bytes in binary units with about three digits: `812 B`, `1.50 MiB`, `37.2 GiB`."""
    value, unit = float(count), 0
    while abs(value) >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    if unit == 0:
        return f"{count:.0f} B"
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


def calls_for(parts: int) -> int:
    """Return the most API calls for sending `parts` parts: a start, a URL for each part, reports, a completion."""
    return parts + 2 + max(0, parts - 1) // PARTS_PER_REPORT


def least_seconds(calls: int, share: float = 1.0) -> float:
    """Return the fewest seconds for `calls` API calls under the rate limit."""
    return max(0, calls - 1) // max(1, int(WINDOW_CALLS * share)) * float(WINDOW_SECONDS)


def part_size_for(
    size: int | None,
    requested: int | None = None,
    *,
    rate: float | None = None,
    calls_per_second: float = CALLS_PER_SECOND,
) -> int:
    """Return the part size to request, in bytes, for a file of `size` bytes (None: not known yet).

    The server may answer with another size, which is then used. The rules:

    1. A `requested` size is used if it gives at most 10,000 parts.
    2. A file of up to 64 MiB is one part.
    3. Otherwise the part size is the largest of
       - 32 MiB,
       - size / 400 up to 512 MiB, so that progress, retries and reports are fine enough,
       - size / 10,000, the platform's limit,
       - rate / calls_per_second, at most 1 GiB, because each part costs an API call (`rate`: the expected bytes per
         second, None if not known);
       rounded up to a multiple of 8 MiB.
    4. A stream of unknown size has parts of 128 MiB, or more if the rate limit needs it.

    Raises UsageError for a file above 5 TiB, or a requested size that is not possible or too small for the file.
    """
    if size is not None and not 0 <= size <= MAX_FILE_SIZE:
        raise UsageError(
            f"The platform accepts files of up to 5 TiB, and this one has {size:,} bytes.", "Split the file."
        )
    if requested is not None:
        if not 1 <= requested <= MAX_PART_SIZE:
            raise UsageError(
                f"A part of {requested:,} bytes is not possible.", "Use a part size between 5 MiB and 5 GiB."
            )
        if size is not None:
            Plan(size, requested)
        return requested
    needed = 0 if rate is None or calls_per_second <= 0 else int(min(rate / calls_per_second, LARGEST_FOR_CALLS))
    if size is None:
        return _round_up(max(STREAM, needed), STEP)
    if size <= ONE_PART:
        return ONE_PART
    usual = min(LARGEST, max(SMALLEST, _divide_up(size, AIMED_PARTS)))
    return _round_up(max(usual, _divide_up(size, MAX_PARTS), needed), STEP)


def plan_for_answer(size: int, part_size: int) -> Plan:
    """Return the plan for the server's part size; raises SizeMismatch if the file would need too many parts."""
    try:
        return Plan(size, part_size)
    except UsageError as error:
        raise SizeMismatch(
            f"The server chose parts of {count_text(part_size, 'byte')}, which cannot hold this file: {error.message}",
            "Use another part size.",
            expected=size,
            got=part_size * MAX_PARTS,
        ) from error


def _divide_up(number: int, by: int) -> int:
    return -(-number // by)


def _round_up(number: int, step: int) -> int:
    return _divide_up(number, step) * step
