"""Lists of files with their metadata: CSV as the platform's own uploader takes it, TSV, and JSON lines.

In CSV and TSV the first row names the columns. The first column is the path of a file, relative to the manifest;
every other column is a metadata field. An empty cell is no value (docs.cavatica.org, Format of a manifest file).
The first column is called `path`, `file`, `file name` or the like: a table without a first row of names would lose
its first file.

In JSON lines each line is an object with `path`, and optionally `name`, `metadata` (an object) and `tags` (a list).
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import attrs

from cavatica_upload.config import read_text
from cavatica_upload.destination import metadata_problems, tag_problems
from cavatica_upload.errors import UsageError, reason_of
from cavatica_upload.sources import is_url

_JSON_LINES = (".jsonl", ".ndjson", ".json")
_DELIMITERS: Mapping[str, str] = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_MISPLACED_QUOTE = "there is text after a closing quote; a quote inside a quoted cell is written twice"
_CSV_ERRORS: Mapping[str, str] = {
    "unexpected end of data": "a quoted cell begins here and never ends",
    "',' expected after '\"'": _MISPLACED_QUOTE,
    "'\t' expected after '\"'": _MISPLACED_QUOTE,
    "field larger than field limit (131072)": "a cell has more than 131,072 characters; is a quote missing?",
}


@attrs.frozen
class ManifestRow:
    """One file: `source` is its path, already joined to the manifest's folder, or a URL; `line` counts from 1.

    `folder` is the folder of a path below the manifest's own, as `a/b`, and `""` for any other path.
    """

    line: int
    source: str
    folder: str = ""
    name: str | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    tags: tuple[str, ...] = ()


class ManifestError(UsageError):
    """The manifest cannot be used; `problems` has a sentence for each thing wrong, beginning with its line."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
        super().__init__(
            f"The manifest {path} has {count}; nothing was uploaded.", "Correct it, then run the command again."
        )
        self.problems = tuple(problems)


def read_manifest(path: Path) -> list[ManifestRow]:
    """Return the rows of a manifest. The suffix of the file says its format; without a known one it is a table.

    Raises ManifestError with every problem, not only the first.
    """
    problems: list[str] = []
    try:
        text = table_text(path)
    except TableError as error:
        raise ManifestError(path, [str(error)]) from error
    if path.suffix.lower() in _JSON_LINES:
        rows = list(_json_rows(text, path.parent, problems))
    else:
        rows = list(_table_rows(text, delimiter_of(path, text), path.parent, problems))
    if not rows and not problems:
        problems.append("It lists no file.")
    _check(rows, problems)
    if problems:
        raise ManifestError(path, problems)
    return rows


def _table_rows(text: str, delimiter: str, folder: Path, problems: list[str]) -> Iterator[ManifestRow]:
    records = _records(text, delimiter, problems)
    line, header = next(records, (1, []))
    if header:
        problems.extend(f"Line {line}: {wrong}" for wrong in _wrong_first_column(header[0], folder))
    fields = _fields(line, header, delimiter, problems)
    for line, record in records:
        extra = [cell for cell in record[len(header) :] if cell]
        if len(record) < len(header) or extra:
            cells = "1 cell" if len(record) == 1 else f"{len(record)} cells"
            problems.append(f"Line {line}: {cells}, but the first row has {len(header)}.")
            continue
        if not record[0]:
            problems.append(f"Line {line}: the first cell, the path of the file, is empty.")
            continue
        nameless = [n for n, cell in enumerate(record[1 : len(header)], 2) if cell and not header[n - 1].strip()]
        if nameless:
            problems.append(f"Line {line}: cell {nameless[0]} has a value, but its column has no name.")
            continue
        metadata = {field: record[number - 1] for number, field in fields.items() if record[number - 1]}
        yield ManifestRow(line, _source(record[0], folder), _folder(record[0]), metadata=metadata)


_FIRST_COLUMN = re.compile(r"(?:full|local|input|source|upload)?(?:file|path)(?:name|path)?s?|name|source|input")
"""Names of the first column, without case, spaces, “_” and “-”. The platform's own manifests call it “File name”."""


def _wrong_first_column(cell: str, folder: Path) -> Iterator[str]:
    """Yield a sentence if the first cell of the first row is not a name for a column of paths, such as a path."""
    if _FIRST_COLUMN.fullmatch(re.sub(r"[\s_-]", "", cell).lower()):
        return
    if is_url(cell) or "/" in cell or _exists(folder / cell):
        yield (
            f"{cell!r} is a path, but the first row names the columns, so this file would not be uploaded. "
            "Add a row above it: “path” and the names of the metadata fields."
        )
    else:
        yield (
            f"the first column is called {cell!r}, and should be called “path”, “file” or “file name”: "
            "the first row names the columns, and the first column holds the paths."
        )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _records(text: str, delimiter: str, problems: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty; after a broken quote the cells are not known."""
    try:
        yield from (row for row in read_rows(text, delimiter) if any(cell.strip() for cell in row[1]))
    except TableError as error:
        problems.append(str(error))


def _fields(line: int, header: Sequence[str], delimiter: str, problems: list[str]) -> dict[int, str]:
    """Return the metadata field of each column that has one; columns count from 1, and the first is the path."""
    if len(header) == 1:
        other = next((mark for mark in (";", "\t", ",") if mark in header[0] and mark != delimiter), None)
        if other:
            shown = {";": "a semicolon", "\t": "a tab", ",": "a comma"}
            problems.append(
                f"Line {line}: there is only one column, and {shown[other]} in it; "
                f"separate the cells of this file by {shown[delimiter]}."
            )
    fields: dict[int, str] = {}
    seen = {cell.strip() for cell in header[:1]}
    for number, cell in enumerate(header[1:], 2):
        name = cell.strip()
        if not name:
            continue
        if name in seen:
            problems.append(f"Line {line}: two columns are called {name!r}.")
        seen.add(name)
        wrong = list(metadata_problems({name: ""}))
        problems.extend(f"Line {line}, column {number}: {sentence}" for sentence in wrong)
        if not wrong:  # else each row would say so again
            fields[number] = name
    return fields


_JSON_KEYS = ("path", "name", "metadata", "tags")


def _json_rows(text: str, folder: Path, problems: list[str]) -> Iterator[ManifestRow]:
    for line, entry in enumerate(text.split("\n"), 1):
        if not entry.strip():
            continue
        try:
            value = _read_json(entry)
        except RecursionError:
            problems.append(f"Line {line}: this is nested too deeply.")
            continue
        except ValueError as error:
            reason = getattr(error, "msg", str(error))
            problems.append(f"Line {line}: this is not JSON ({reason}); each line is an object of its own.")
            continue
        wrong = _wrong_json(value)
        if wrong:
            problems.append(f"Line {line}: {wrong}")
            continue
        metadata = {key: entry for key, entry in (value.get("metadata") or {}).items() if entry is not None}
        tags = tuple(value.get("tags") or ())
        path = value["path"]
        yield ManifestRow(line, _source(path, folder), _folder(path), value.get("name"), _as_text(metadata), tags)


class _Number(str):
    """A number, as it is written in the file: 1.10 is not 1.1."""

    __slots__ = ()


def _read_json(text: str) -> Any:
    """Raises ValueError also for what JSON lacks (NaN, Infinity), and for a key that is there twice."""
    return json.loads(
        text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant, object_pairs_hook=_object
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, _Number)


def _wrong_json(value: object) -> str | None:
    if not isinstance(value, dict):
        return "this is not an object; each line is one, such as {“path”: “a.bam”}."
    if not _is_text(value.get("path")) or not value["path"]:
        return "there is no text under “path”."
    unknown = [key for key in value if key not in _JSON_KEYS]
    if unknown:
        return f"the key {unknown[0]!r} is unknown; metadata fields go inside “metadata”."
    if value.get("name") is not None and not (_is_text(value["name"]) and value["name"]):
        return "“name” must be text."
    if not isinstance(value.get("metadata"), dict | None):
        return "“metadata” must be an object."
    tags = value.get("tags")
    if tags is not None and not (isinstance(tags, list) and all(_is_text(tag) for tag in tags)):
        return "“tags” must be a list of texts."
    return None


def _as_text(metadata: Mapping[str, Any]) -> Mapping[str, str]:
    """Write truth values as in the file, as numbers are; leave other values to the checks."""
    return {key: json.dumps(value) if isinstance(value, bool) else value for key, value in metadata.items()}


def _source(cell: str, folder: Path) -> str:
    return cell if is_url(cell) else str(folder / cell)


def _folder(cell: str) -> str:
    path = PurePath(cell).parent
    return "" if is_url(cell) or path.is_absolute() or ".." in path.parts else "/".join(path.parts)


def _check(rows: Sequence[ManifestRow], problems: list[str]) -> None:
    lines: dict[str, int] = {}
    for row in rows:
        first = lines.setdefault(row.source, row.line)
        if first != row.line:
            problems.append(f"Line {row.line}: {row.source} is already in line {first}.")
        problems.extend(f"Line {row.line}: {wrong}" for wrong in metadata_problems(row.metadata))
        problems.extend(f"Line {row.line}: {wrong}" for wrong in tag_problems(row.tags))


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
