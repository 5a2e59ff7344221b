"""Tables as people and spreadsheets write them: CSV or TSV, in UTF-8 or UTF-16."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from cavatica_upload.config import read_text
from cavatica_upload.errors import reason_of

_DELIMITERS: Mapping[str, str] = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_MISPLACED_QUOTE = "there is text after a closing quote; a quote inside a quoted cell is written twice"
_CSV_ERRORS: Mapping[str, str] = {
    "unexpected end of data": "a quoted cell begins here and never ends",
    "',' expected after '\"'": _MISPLACED_QUOTE,
    "'\t' expected after '\"'": _MISPLACED_QUOTE,
    "field larger than field limit (131072)": "a cell has more than 131,072 characters; is a quote missing?",
}


class TableError(Exception):
    """What is wrong with a file, as a sentence that begins with its line."""


def table_text(path: Path) -> str:
    """Return the text of a file: UTF-8, with or without a mark in front, or UTF-16 with one (Excel writes both).

    Raises TableError.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise TableError(f"It cannot be read: {reason_of(error)}.") from error
    except UnicodeDecodeError as error:
        raise _not_text(error.object[: error.start].decode(error.encoding, "ignore")) from error
    before, zero, _ = text.partition("\0")
    if zero:
        raise _not_text(before)
    return text


def _not_text(before: str) -> TableError:
    return TableError(f"Line {before.count(chr(10)) + 1}: this is not UTF-8 text; save the file as “CSV UTF-8”.")


def delimiter_of(path: Path, text: str) -> str:
    """Return what separates the cells, by the suffix of the file; if that says nothing, by its first line."""
    first = text.partition("\n")[0]
    return _DELIMITERS.get(path.suffix.lower(), "\t" if "\t" in first and "," not in first else ",")


def read_rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows, each with the number of its first line (a quoted cell may hold line ends). Raises TableError."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(f"Line {line}: {_CSV_ERRORS.get(str(error), str(error))}.") from error
