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
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from cavatica_upload.batch.files import Item, Rules, collect
from cavatica_upload.config import read_text
from cavatica_upload.destination import Destination, metadata_problems, tag_problems
from cavatica_upload.errors import UsageError, reason_of
from cavatica_upload.plan import count_text
from cavatica_upload.request import IfExists, UploadRequest, path_text
from cavatica_upload.sources import is_url

_JSON_LINES = (".jsonl", ".ndjson", ".json")
_JSON_KEYS = ("path", "name", "metadata", "tags")
_FIRST_COLUMN = re.compile(r"(?:full|local|input|source|upload)?(?:file|path)(?:name|path)?s?|name|source|input")
"""Names of the first column, without case, spaces, “_” and “-”. The platform's own manifests call it “File name”."""
_DELIMITERS: Mapping[str, str] = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_DELIMITER_NAMES: Mapping[str, str] = {";": "a semicolon", "\t": "a tab", ",": "a comma"}
_MISPLACED_QUOTE = "there is text after a closing quote; a quote inside a quoted cell is written twice"
_CSV_ERRORS: Mapping[str, str] = {
    "unexpected end of data": "a quoted cell begins here and never ends",
    "',' expected after '\"'": _MISPLACED_QUOTE,
    "'\t' expected after '\"'": _MISPLACED_QUOTE,
    "field larger than field limit (131072)": "a cell has more than 131,072 characters; a quote may be missing",
}


def requests_for(
    *paths: str | os.PathLike[str],
    destination: Destination | str,
    manifest: str | os.PathLike[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    tags: Iterable[str] = (),
    if_exists: IfExists = "fail",
    part_size: int | None = None,
) -> list[UploadRequest]:
    """Return a request for each file in `paths`, in a folder in `paths`, and in a manifest.

    The folder “run-7” becomes a folder at the destination; of “run-7/” (with a slash) only the content is uploaded.
    The metadata of a manifest overrides `metadata`, and its tags are added to `tags`. Nothing is sent: pass the
    requests to `Uploader.upload_many`. Raises UsageError with a sentence for each problem.
    """
    common = UploadRequest(
        source="x",
        destination=destination,
        metadata=metadata or {},
        tags=tags,
        if_exists=if_exists,
        part_size=part_size,
    )
    try:
        rows = read_manifest(Path(path_text(manifest))) if manifest is not None else []
    except UsageError as error:
        text = " ".join((error.message, *error.problems))
        raise UsageError(text, error.hint, problems=error.problems) from error
    batch = collect([path_text(path) for path in paths], rows, Rules(recursive=True))
    problems = [*batch.problems, *(file.reason for file in batch.bad)]
    if problems:
        raise UsageError(" ".join(problems), "Nothing was uploaded.", problems=tuple(problems))
    return [item.request(common) for item in batch.items]


def read_manifest(path: Path) -> list[Item]:
    """Return the rows of a manifest. The suffix of the file says its format; without a known one it is a table.

    Paths are joined to the manifest's folder; a path below it has a `folder`, as `a/b`. There are no sizes yet, and a
    name is empty if the manifest has none.

    Raises UsageError, with every problem and not only the first, if it has some or cannot be read.
    """
    problems: list[str] = []
    rows: list[Item] = []
    read = _json_rows if path.suffix.lower() in _JSON_LINES else _table_rows
    try:
        rows.extend(read(path, table_text(path, "manifest"), problems))
    except TableError as error:
        problems.append(str(error))
    if not rows and not problems:
        problems.append("It lists no file.")
    lines: dict[str, int] = {}
    for row in rows:
        first = lines.setdefault(row.source, row.line)
        if first != row.line:
            problems.append(f"Line {row.line}: {row.source} is already in line {first}.")
        wrong = (*metadata_problems(row.metadata), *tag_problems(row.tags))
        problems.extend(f"Line {row.line}: {problem}" for problem in wrong)
    if problems:
        found = f"The manifest {path} has {count_text(len(problems), 'problem')}; nothing was uploaded."
        raise UsageError(found, "Correct it, then run the command again.", problems=tuple(problems))
    return rows


def _row(manifest: Path, line: int, path: str, name: str = "", **more: Any) -> Item:
    above = PurePath(path).parent
    if is_url(path):
        return Item(path, name, line=line, **more)
    folder = "" if above.is_absolute() or ".." in above.parts else "/".join(above.parts)
    return Item(str(manifest.parent / path), name, folder, line=line, **more)


def _table_rows(manifest: Path, text: str, problems: list[str]) -> Iterator[Item]:
    delimiter = delimiter_of(manifest, text)
    records = (row for row in read_rows(text, delimiter) if any(cell.strip() for cell in row[1]))
    line, header = next(records, (1, []))
    fields: dict[int, str] = {}  # by column, without those that have a problem: else each row would repeat it
    for column, name in enumerate(map(str.strip, header[1:]), 1):
        wrong = list(metadata_problems({name: ""})) if name else []
        problems.extend(f"Line {line}, column {column + 1}: {problem}" for problem in wrong)
        if name and not wrong:
            fields[column] = name
    if header:
        problems.extend(f"Line {line}: {problem}" for problem in _header_problems(manifest, header, delimiter))
    for line, record in records:
        cells = enumerate(zip(record, header, strict=False), 1)
        nameless = [number for number, (cell, name) in cells if number > 1 and cell and not name.strip()]
        if len(record) < len(header) or any(record[len(header) :]):
            problems.append(f"Line {line}: {count_text(len(record), 'cell')}, but the first row has {len(header)}.")
        elif not record[0]:
            problems.append(f"Line {line}: the first cell, the path of the file, is empty.")
        elif nameless:
            problems.append(f"Line {line}: cell {nameless[0]} has a value, but its column has no name.")
        else:
            metadata = {name: record[column] for column, name in fields.items() if record[column]}
            yield _row(manifest, line, record[0], metadata=metadata)


def _header_problems(manifest: Path, header: Sequence[str], delimiter: str) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong with the first row as a whole."""
    first = header[0]
    if not _FIRST_COLUMN.fullmatch(re.sub(r"[\s_-]", "", first).lower()):
        if is_url(first) or "/" in first or os.path.exists(manifest.parent / first):  # noqa: PTH110 - never raises
            yield (
                f"{first!r} is a path, but the first row names the columns, so this file would not be uploaded. "
                "Add a row above it: “path” and the names of the metadata fields."
            )
        else:
            yield (
                f"the first column is called {first!r}, and should be called “path”, “file” or “file name”: "
                "the first row names the columns, and the first column holds the paths."
            )
    other = next((mark for mark in ";\t," if mark in first and mark != delimiter), None)
    if len(header) == 1 and other:
        yield (
            f"there is only one column, and {_DELIMITER_NAMES[other]} in it; "
            f"separate the cells of this file by {_DELIMITER_NAMES[delimiter]}."
        )
    names = [cell.strip() for cell in header]
    for column, name in enumerate(names):
        if name and name in names[:column]:
            yield f"two columns are called {name!r}."


def _json_rows(manifest: Path, text: str, problems: list[str]) -> Iterator[Item]:
    for line, entry in enumerate(text.split("\n"), 1):
        if not entry.strip():
            continue
        try:
            value = json.loads(
                entry, parse_int=_Number, parse_float=_Number, parse_constant=_refuse, object_pairs_hook=_object
            )
            wrong = _wrong_json(value)
        except RecursionError:
            wrong = "this is nested too deeply."
        except ValueError as error:
            wrong = f"this is not JSON ({getattr(error, 'msg', error)}); each line is an object of its own."
        if wrong:
            problems.append(f"Line {line}: {wrong}")
            continue
        metadata = {
            # A truth value is text as it is in the file, as numbers are; metadata_problems() refuses other values.
            key: json.dumps(entry) if isinstance(entry, bool) else entry
            for key, entry in (value.get("metadata") or {}).items()
            if entry is not None
        }
        tags = tuple(value.get("tags") or ())
        yield _row(manifest, line, value["path"], name=value.get("name") or "", metadata=metadata, tags=tags)


class _Number(str):
    """A number, as it is written in the file: 1.10 is not 1.1."""

    __slots__ = ()


def _refuse(name: str) -> None:  # NaN, Infinity
    raise ValueError(f"{name} is no number in JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is there twice")
        found[key] = value
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, _Number)


def _wrong_json(value: object) -> str | None:
    """Return what is wrong with the object of a line, None if nothing is."""
    if not isinstance(value, dict):
        return 'this is not an object; each line is one, such as {"path": "a.bam"}.'
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


class TableError(Exception):
    """What is wrong with a file, as a sentence that begins with its line."""


def table_text(path: Path, what: str) -> str:
    """Return the text of a file: UTF-8, with or without a byte order mark, or UTF-16 with one (Excel writes both).

    `what` is its name in the UsageError that is raised if it cannot be read. Raises TableError if it is no text.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise UsageError(f"The {what} {path} cannot be read: {reason_of(error)}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        text = error.object[: error.start].decode(error.encoding, "ignore") + "\0"
    before, zero, _ = text.partition("\0")
    if zero:
        line = before.count("\n") + 1
        raise TableError(f"Line {line}: this is not UTF-8 text; save the file as “CSV UTF-8”.")
    return text


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
