"""Sample sheets: local paths become paths on the platform, so that a workflow there can read the sheet.

A platform path is `vs:///Projects/<name of the project's root folder>/<folders>/<name>`. No API page describes it: the
vendor's own `sbmanifest` writes it into sheets for Nextflow apps (sbpack, noncwl/manifest.py), so it is inferred here.
"""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from cavatica_upload.api import Api
from cavatica_upload.batch.manifest import TableError, delimiter_of, read_rows, table_text
from cavatica_upload.destination import Destination
from cavatica_upload.errors import UnexpectedAnswer, UsageError
from cavatica_upload.receipt import Receipt
from cavatica_upload.sources.remote import is_url

SheetStyle = Literal["path", "id"]

_DEEPEST = 100  # folders inside each other: a circle of them has an end


@attrs.frozen
class Sheet:
    """A table of samples: its rows of cells, and how to write them again."""

    path: Path
    rows: tuple[tuple[str, ...], ...]
    delimiter: str
    line_end: str

    @classmethod
    def read(cls, path: Path) -> "Sheet":
        """Read a sheet: CSV or TSV, as its suffix or its first line says. Raises UsageError."""
        try:
            text = table_text(path)
            delimiter = delimiter_of(path, text)
            rows = tuple(tuple(row) for _, row in read_rows(text, delimiter))
        except TableError as error:
            raise UsageError(f"The sheet {path} cannot be used. {error}", "Check --sheet.") from error
        return cls(path, rows, delimiter, "\r\n" if "\r\n" in text else "\n")

    def replace(self, places: Mapping[str, str]) -> tuple[str, set[str]]:
        """Return the text of the sheet with cells replaced, and the sources whose place was written.

        `places` are by source as it was uploaded, a path or a URL. A relative path in a cell is looked for in the
        current folder and in that of the sheet. A cell may hold several files with `;` between them.
        """
        sources = {_key(source): source for source in places}
        used: set[str] = set()

        def one(text: str) -> str:
            name = text.strip()
            for candidate in (name, os.path.join(self.path.parent, name)) if name else ():  # noqa: PTH118 - may be a URL
                source = sources.get(_key(candidate))
                if source is not None:
                    used.add(source)
                    return places[source]
            return text

        def cell(text: str) -> str:
            whole = one(text)
            return ";".join(one(piece) for piece in text.split(";")) if whole == text and ";" in text else whole

        written = io.StringIO(newline="")
        rows = [[cell(text) for text in row] for row in self.rows]
        csv.writer(written, delimiter=self.delimiter, lineterminator=self.line_end).writerows(rows)
        return written.getvalue(), used

    def named(self, sources: list[str]) -> set[str]:
        """Return those of the sources that the sheet names. Raises UsageError if it names none."""
        found = self.replace(dict.fromkeys(sources, ""))[1]
        if not found:
            raise UsageError(
                f"No cell of {self.path} names a file of this run.",
                "Paths in a sheet are relative to the folder of the sheet, or to the current folder; its cells are "
                "separated by commas in a .csv, by tabs in a .tsv.",
            )
        return found

    def for_platform(self, files: Mapping[str, tuple[Destination, Receipt]], style: SheetStyle, api: Api) -> str:
        """Return the text of the sheet with the paths (or the IDs) of uploaded files, which are given by source.

        Raises the errors of the API.
        """
        paths = PlatformPaths(api)
        places = {
            source: receipt.file_id if style == "id" else f"{paths.of(folder)}/{receipt.name}"
            for source, (folder, receipt) in files.items()
        }
        return self.replace(places)[0]


def _key(source: str) -> str:
    return source if is_url(source) else os.path.realpath(source)


class PlatformPaths:
    """Finds the platform paths of folders. Each project and folder is asked for once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._paths: dict[Destination, str] = {}

    def of(self, destination: Destination, depth: int = 0) -> str:
        """Return the platform path of a folder, without a slash at its end. Raises the errors of the API."""
        if destination not in self._paths:
            self._paths[destination] = self._find(destination, depth)
        return self._paths[destination]

    def _find(self, destination: Destination, depth: int) -> str:
        if destination.parent is None:
            root = self._root(destination.project or "")
            return f"vs:///Projects/{self._known(self._api.get_file(root).name, destination)}"
        if destination.place is not None:  # owner/name/folders
            owner, name, folders = destination.place.split("/", 2)
            return f"{self.of(Destination(project=f'{owner}/{name}'))}/{folders}"
        folder = self._api.get_file(destination.parent)
        project = self._known(folder.project, destination)
        if destination.parent == self._root(project):
            return self.of(Destination(project=project))
        name = self._known(folder.name if depth < _DEEPEST else None, destination)
        above = Destination(parent=folder.parent) if folder.parent else Destination(project=project)
        return f"{self.of(above, depth + 1)}/{name}"

    def _root(self, project: str) -> str:
        destination = Destination(project=project)
        return self._known(self._api.get_project(project).root_folder, destination)

    def _known(self, value: str | None, destination: Destination) -> str:
        if value is None:
            raise UnexpectedAnswer(
                f"The platform did not say what the path of {destination} is.",
                "Use --sheet-style id, or rewrite the sheet with the vendor's sbmanifest.",
            )
        return value
