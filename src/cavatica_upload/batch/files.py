"""Many files at once: what the user named becomes a checked list of files, each with its place on the platform.

Nothing is sent from here, and nothing is opened: a file costs one stat. A batch of 250,000 files, the most that the
platform's own command line takes in one job, needs about 130 MiB.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import unquote, urlsplit

import attrs

from cavatica_upload.batch.globs import Selection
from cavatica_upload.batch.manifest import ManifestRow
from cavatica_upload.batch.names import folder_problems, name_problems
from cavatica_upload.errors import UsageError
from cavatica_upload.sources.remote import is_url

LARGEST_FILE = 5 * 1024**4
STDIN = "-"


@attrs.frozen
class Item:
    """One file of a batch.

    `source` is a path, a URL or `-`; `size` is in bytes, None where only sending will tell. `folder` is the path of
    the folder on the platform, from the destination on, `""` for the destination itself.
    """

    source: str
    name: str
    folder: str = ""
    size: int | None = None
    row: ManifestRow | None = None

    @property
    def target(self) -> str:
        """Path and name on the platform, from the destination on: what a batch may have only once."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def label(self) -> str:
        """The file as it is named to people and in records: a URL without its query, which may be a key."""
        if self.source == STDIN:
            return self.name or STDIN
        return self.source.partition("?")[0] if is_url(self.source) else self.source

    @property
    def known_size(self) -> int:
        """The size, 0 where it is unknown."""
        return self.size or 0


@attrs.define
class Batch:
    """The files to upload, the biggest first, and what there is to say about the rest.

    `problems` are sentences about what makes the batch unfit to begin; `notices` are about what was left out.
    """

    items: list[Item] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    notices: list[str] = attrs.field(factory=list)

    @property
    def size(self) -> int:
        """The bytes of all files whose size is known."""
        return sum(item.known_size for item in self.items)

    @property
    def folders(self) -> list[str]:
        """The folders needed on the platform, in the order in which they can be made."""
        wanted = {item.folder for item in self.items if item.folder}
        wanted |= {str(parent) for folder in wanted for parent in PurePosixPath(folder).parents}
        return sorted(wanted - {"."})


@attrs.frozen(kw_only=True)
class Rules:
    """How paths become files: see the options of `cavatica upload`."""

    recursive: bool = False
    flatten: bool = False
    name: str | None = None
    selection: Selection = attrs.field(factory=Selection)


def collect(paths: Iterable[str], rows: Iterable[ManifestRow] = (), rules: Rules | None = None) -> Batch:
    """Expand what was named on the command line and in a manifest, check it, and put it in order.

    Raises UsageError where a name is given and there is not exactly one file to bear it.
    """
    rules = rules or Rules()
    batch = Batch()
    for path in paths:
        batch.items.extend(_named(path, rules, batch))
    for row in rows:
        batch.items.extend(_listed(row, rules, batch))
    if rules.name is not None:
        if len(batch.items) + len(batch.problems) != 1:
            raise UsageError(
                f"--name is the name of one file, and there are {len(batch.items)}.",
                "Leave --name out, or upload one file at a time.",
            )
        batch.items = [attrs.evolve(item, name=rules.name) for item in batch.items]
    _check(batch)
    batch.items.sort(key=lambda item: (-item.known_size, item.target))
    return batch


def _named(path: str, rules: Rules, batch: Batch) -> Iterator[Item]:
    """Yield the files that one word of the command line stands for."""
    if path == STDIN:
        yield Item(STDIN, rules.name or "")
        if rules.name is None:
            batch.problems.append("What comes from standard input has no name: give one with --name.")
        return
    if is_url(path):
        yield _remote(path, rules)
        return
    found = _stat(path, batch)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        if rules.recursive:
            yield from _walk(path, rules, batch)
        else:
            batch.problems.append(f"{path} is a folder: add --recursive to upload what is in it.")
    elif stat.S_ISFIFO(found.st_mode):  # a named one, or the shell's <(…): read as a stream
        yield Item(path, rules.name or "")
        if rules.name is None:
            batch.problems.append(f"{path} is a pipe, and has no name of its own: give one with --name.")
    elif rules.selection.takes(_base(path)) and _is_file(path, found, batch, wanted=True):
        yield Item(path, _base(path), "", found.st_size)


def _listed(row: ManifestRow, rules: Rules, batch: Batch) -> Iterator[Item]:
    """Yield the file of a row; its folders are kept with --recursive only: the platform's own uploader drops them."""
    if is_url(row.source):
        item = _remote(row.source, rules)
        yield attrs.evolve(item, row=row, name=row.name or item.name)
        return
    if not rules.selection.takes(_base(row.source)):
        return
    where = f"Line {row.line} of the manifest: "
    found = _stat(row.source, batch, where)
    if found and stat.S_ISDIR(found.st_mode):
        batch.problems.append(f"{where}{row.source} is a folder; a manifest lists files.")
    elif found and _is_file(row.source, found, batch, wanted=True, where=where):
        folder = row.folder if rules.recursive and not rules.flatten else ""
        yield Item(row.source, row.name or _base(row.source), folder, found.st_size, row)


def _remote(url: str, rules: Rules) -> Item:
    path = urlsplit(url).path.rstrip("/")
    return Item(url, rules.name or unquote(path.rsplit("/", 1)[-1]))


def _walk(top: str, rules: Rules, batch: Batch) -> Iterator[Item]:
    """Yield the files below a folder, following links to files and folders, but into no folder twice on one way down.

    `data` puts a folder `data` on the platform; `data/`, `data/.` and `.` put what is in it (as rsync does).
    """
    inside = top.endswith(("/", os.sep, "/.", os.sep + ".")) or top in (".", "..")
    base = "" if inside or rules.flatten else _base(top)
    empty = 0
    stack: list[tuple[str, str, tuple[tuple[int, int], ...]]] = [(top, "", ())]
    while stack:
        folder, relative, above = stack.pop()
        try:
            here = Path(folder).stat()
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            batch.problems.append(f"The folder {folder} cannot be read: {_reason(error)}.")
            continue
        mark = (here.st_dev, here.st_ino)
        if mark in above:
            batch.notices.append(f"{folder} leads back to a folder above it, and was not followed.")
            continue
        empty += not entries
        place = "" if rules.flatten else "/".join(part for part in (base, relative) if part)
        for entry in entries:
            path = f"{relative}/{entry.name}" if relative else entry.name
            if rules.selection.leaves_out(path):
                continue
            found = _stat(entry.path, batch)
            if found is None:
                continue
            if stat.S_ISDIR(found.st_mode):
                stack.append((entry.path, path, (*above, mark)))
            elif rules.selection.takes(path) and _is_file(entry.path, found, batch):
                yield Item(entry.path, entry.name, place, found.st_size)
    if empty:
        batch.notices.append(f"{empty} empty folder{'s' * (empty > 1)} in {top}: folders are made for files only.")


def _stat(path: str, batch: Batch, where: str = "") -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError) and Path(path).is_symlink()
        reason = "it is a link to something that is not there" if dangling else _reason(error)
        batch.problems.append(f"{where}{path} cannot be uploaded: {reason}.")
    except ValueError:
        batch.problems.append(f"{where}{path!r} cannot be the path of a file.")
    return None


def _is_file(path: str, found: os.stat_result, batch: Batch, *, wanted: bool = False, where: str = "") -> bool:
    """Say whether it can be read as a file; what is not is a problem where it was asked for, else left out."""
    if not stat.S_ISREG(found.st_mode):
        text = f"{path} is {_KINDS.get(stat.S_IFMT(found.st_mode), 'no file')}"
        if wanted:
            batch.problems.append(f"{where}{text}; only files can be uploaded (or “-” for standard input).")
        else:
            batch.notices.append(f"{text}, and was left out.")
        return False
    if not os.access(path, os.R_OK):
        batch.problems.append(f"{where}{path} cannot be uploaded: you have no permission to read it.")
        return False
    return True


_KINDS: Mapping[int, str] = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _base(path: str) -> str:
    return PurePath(path).name


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "you have no permission to read it"
    return error.strerror or str(error)


def _check(batch: Batch) -> None:
    """Find what the platform would refuse, and what would land on the same place twice."""
    places: dict[str, Item] = {}
    kept: list[Item] = []
    for item in batch.items:
        other = places.setdefault(item.target, item)
        if other is not item:
            if item.row is None and _same(other.source, item.source):
                continue  # named twice, by overlapping patterns for example
            batch.problems.append(
                f"{item.label} and {other.label} would both become {item.target}: "
                "rename one, or upload them to different folders."
            )
        kept.append(item)
        if item.name or item.size is not None:  # of a stream without a name it was said
            batch.problems.extend(f"{item.label}: {wrong}" for wrong in name_problems(item.name))
        if item.known_size > LARGEST_FILE:
            batch.problems.append(f"{item.label} is larger than 5 TiB, the most that the platform takes.")
    folders = batch.folders
    batch.problems.extend(
        f"The folder {folder} cannot be made: {wrong}"
        for folder in folders
        for wrong in folder_problems(folder.rsplit("/", 1)[-1])
    )
    batch.problems.extend(
        f"{folder} would be both a folder and the file {places[folder].label}."
        for folder in folders
        if folder in places
    )
    batch.items = kept


def _same(one: str, other: str) -> bool:
    return one == other or (STDIN not in (one, other) and os.path.realpath(one) == os.path.realpath(other))
