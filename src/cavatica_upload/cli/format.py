"""Formats sizes, times, names and commands for people, without control characters."""

import os
import shlex
import unicodedata
from collections.abc import Sequence

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """Return text that can be printed on one line: control and bidirectional characters are escaped.

    File names may hold any bytes but a slash and a zero byte, and some of them control a terminal.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char == " " or unicodedata.category(char) not in _UNPRINTABLE else _escaped(char) for char in text
    )


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def time_text(seconds: float) -> str:
    """Write a span of time: `4.2 s`, `58 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def count_text(count: int, noun: str) -> str:
    """Write a count with its noun: `1 file`, `250,000 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def command_line(words: Sequence[str]) -> str:
    """Return `cavatica` and its arguments as a command that a shell takes when it is pasted.

    It never holds a token, since no option takes one.
    """
    return " ".join(["cavatica", *map(_shell_word, words)])


def _shell_word(word: str) -> str:
    """Quote a word; bytes that a terminal does not show are written as `$'\\303'`, which bash, zsh and ksh read."""
    if visible(word) == word:
        return shlex.quote(word)
    signs = {ord("'"): "\\'", ord("\\"): "\\\\"}
    return (
        "$'"
        + "".join(signs.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in os.fsencode(word))
        + "'"
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table whose columns are aligned.

    Columns that do not fit into `width` go on, indented, on further lines of the row; the last one may be of any width.
    """
    shown = [list(headers), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(_cells(row[column]) for row in shown) for column in range(len(headers))]
    groups: list[list[int]] = [[]]
    for column in range(len(headers)):
        indent = 2 if len(groups) > 1 else 0
        taken = sum(widths[before] + 2 for before in groups[-1])
        if groups[-1] and indent + taken + widths[column] > width:
            groups.append([])
        groups[-1].append(column)
    return [
        ("  " if at else "")
        + "  ".join(row[column] + " " * (widths[column] - _cells(row[column])) for column in group).rstrip()
        for row in shown
        for at, group in enumerate(groups)
    ]


def _cells(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese and Japanese characters take two each."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
