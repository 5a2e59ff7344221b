"""Sample sheets: local paths become paths on the platform, so that a workflow there can read the sheet.

A platform path is `vs:///Projects/<name of the project's root folder>/<folders>/<name>`. No API page describes it: the
vendor's own `sbmanifest` writes it into sheets for Nextflow apps (sbpack, noncwl/manifest.py), so it is inferred here.
"""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from cavatica_upload.api import Api
from cavatica_upload.batch.manifest import TableError, delimiter_of, read_rows, table_text
from cavatica_upload.destination import Destination
from cavatica_upload.disk import check_writable, write_whole
from cavatica_upload.errors import UnexpectedAnswer, UsageError, reason_of
from cavatica_upload.receipt import Receipt
from cavatica_upload.sources import is_url

_DEEPEST = 100  # folders inside each other: a circle of them has an end


class Sheet:
    """A table of samples, CSV or TSV, whose copy with platform paths (or IDs) is written to `out`.

    `sources` are the files of the run, as paths or URLs. Raises UsageError if the sheet cannot be read, if it names
    none of them, or if `out` cannot be written.
    """

    def __init__(self, path: Path, out: Path, style: Literal["path", "id"], sources: Iterable[str]) -> None:
        if not os.path.isdir(out.parent):  # noqa: PTH112 - never raises
            raise UsageError(f"--sheet-out {out} cannot be written: its folder does not exist.", "Create the folder.")
        try:
            check_writable(out)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--sheet-out {out} cannot be written: {reason_of(error)}.", "Choose another path."
            ) from error
        try:
            text = table_text(path, "sheet")
            self._delimiter = delimiter_of(path, text)
            self._rows = [row for _, row in read_rows(text, self._delimiter)]
        except TableError as error:
            raise UsageError(f"The sheet {path} cannot be used. {error}", "Check --sheet.") from error
        if os.path.exists(out) and out.samefile(path):  # noqa: PTH110 - never raises
            raise UsageError(f"--sheet-out {out} is the sheet itself.", "Choose another path.")
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        self._folder = path.parent
        self._style = style
        self._files: dict[str, tuple[Destination, Receipt]] = {}
        self.out = out
        if self._find([str(out)]):
            raise UsageError(f"--sheet-out {out} is a file that the sheet names.", "Choose another path.")
        self._found = self._find(sources)  # now: a file may be moved after its upload
        self._named = set(self._found.values())
        if not self._named:
            raise UsageError(
                f"No cell of {path} names a file of this run.",
                "Paths in a sheet are relative to the folder of the sheet, or to the current folder; its cells are "
                "separated by commas in a .csv, by tabs in a .tsv.",
            )

    def add(self, source: str, folder: Destination, receipt: Receipt) -> None:
        """Note where a file is on the platform."""
        if source in self._named:
            self._files[source] = folder, receipt

    @property
    def missing(self) -> int:
        """The number of files of the sheet that were not added."""
        return len(self._named) - len(self._files)

    def write(self, api: Api) -> int:
        """Write the sheet, and return the number of its files. Raises UsageError, and the errors of the API."""
        paths = PlatformPaths(api)
        places = {
            source: receipt.file_id if self._style == "id" else f"{paths.of(folder)}/{receipt.name}"
            for source, (folder, receipt) in self._files.items()
        }
        try:
            write_whole(self.out, self._text(places))
        except OSError as error:
            raise UsageError(f"The sheet could not be written: {reason_of(error)}.") from error
        return len(places)

    def _find(self, sources: Iterable[str]) -> dict[str, str]:
        """Return the source that each text names, by text: a cell, or a piece of one that holds several files with `;`.

        A relative path in a cell is looked for in the current folder and in that of the sheet.
        """
        keys = {_key(source): source for source in sources}
        found: dict[str, str] = {}

        def find(text: str) -> bool:
            name = text.strip()
            for candidate in (name, os.path.join(self._folder, name)) if name else ():  # noqa: PTH118 - may be a URL
                source = keys.get(_key(candidate))
                if source is not None:
                    found[text] = source
                    return True
            return False

        for row in self._rows:
            for cell in row:
                if not find(cell) and ";" in cell:
                    for piece in cell.split(";"):
                        find(piece)
        return found

    def _text(self, places: Mapping[str, str]) -> str:
        """Return the text of the sheet with the places of the sources instead of their names."""

        def place(text: str) -> str:
            return places[self._found[text]] if text in self._found else text

        written = io.StringIO(newline="")
        rows = [
            [place(cell) if cell in self._found else ";".join(map(place, cell.split(";"))) for cell in row]
            for row in self._rows
        ]
        csv.writer(written, delimiter=self._delimiter, lineterminator=self._line_end).writerows(rows)
        return written.getvalue()


def _key(source: str) -> str:
    """Return a URL as it is, a path without links; in a folder that was removed, a relative path stays as it is."""
    try:
        return source if is_url(source) else os.path.realpath(source)
    except OSError:
        return source


class PlatformPaths:
    """Finds the platform paths of folders. Each project and folder is requested once."""

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
            root = self._root(destination)
            return f"vs:///Projects/{_known(self._api.get_file(root).name, destination)}"
        if destination.place is not None and not destination.place.startswith("folder "):  # owner/name/folders
            owner, name, folders = destination.place.split("/", 2)
            return f"{self.of(Destination(project=f'{owner}/{name}'))}/{folders}"
        folder = self._api.get_file(destination.parent)
        project = Destination(project=_known(folder.project, destination))
        if destination.parent == self._root(project):
            return self.of(project)
        name = _known(folder.name if depth < _DEEPEST else None, destination)
        return f"{self.of(Destination(parent=folder.parent) if folder.parent else project, depth + 1)}/{name}"

    def _root(self, destination: Destination) -> str:
        return _known(self._api.get_project(str(destination.project)).root_folder, destination)


def _known(value: str | None, destination: Destination) -> str:
    if value is None:
        raise UnexpectedAnswer(
            f"The platform did not say what the path of {destination} is.",
            "Use --sheet-style id, or rewrite the sheet with the vendor's sbmanifest.",
        )
    return value
