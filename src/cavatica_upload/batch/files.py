"""Finds and checks the files that paths and a manifest name, and decides their places on the platform.

Nothing is sent, and no file is opened: each costs one stat. A batch of 250,000 files, the most that the
platform's own command line takes in one job, needs about 130 MiB.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath
from types import MappingProxyType
from urllib.parse import unquote

import attrs

from cavatica_upload.batch.patterns import FolderWalk, Selection
from cavatica_upload.destination import Target, name_problem
from cavatica_upload.disk import read_problem
from cavatica_upload.errors import UsageError
from cavatica_upload.plan import MAX_FILE_SIZE
from cavatica_upload.request import UploadRequest
from cavatica_upload.sources import is_url

STDIN = "-"
_KINDS: Mapping[int, str] = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@attrs.frozen
class Item:
    """One file of a batch.

    `source` is a path, a URL or `-`; `size` is in bytes, None if it is not known before sending. `folder` is the path
    of the folder on the platform, from the destination on, `""` for the destination itself. `line`, `metadata` and
    `tags` are those of a manifest; the line is 0 if there is none.
    """

    source: str
    name: str
    folder: str = ""
    size: int | None = None
    line: int = 0
    metadata: Mapping[str, str] = MappingProxyType({})
    tags: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """Path and name on the platform, from the destination on; no two files of a batch may have the same."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def label(self) -> str:
        """The file's name in messages and JSON: the path, or a URL without its query, which may hold a secret."""
        if self.source == STDIN:
            return self.name or STDIN
        return self.source.partition("?")[0] if is_url(self.source) else self.source

    @property
    def known_size(self) -> int:
        """The size, 0 if it is unknown."""
        return self.size or 0

    def request(self, common: UploadRequest) -> UploadRequest:
        """Return the request for this file; `common` has what all files have in common, such as the destination.

        The manifest's metadata overrides the common metadata, and its tags are added to the common tags.
        """
        return attrs.evolve(
            common,
            source=self.source,
            destination=Target(common.destination, common.target.path(self.folder)),
            name=self.name,
            metadata={**common.metadata, **self.metadata},
            tags=tuple(dict.fromkeys((*common.tags, *self.tags))),
            key=self.label,
            regular=self.size is not None,
            context=self,
        )


@attrs.frozen
class BadFile:
    """A file that cannot be uploaded, and why, in a sentence."""

    file: str
    reason: str


@attrs.define
class Batch:
    """The files to upload, the biggest first.

    `problems` are sentences about what is wrong with the batch: if there are any, nothing is sent. `bad` are files that
    cannot be uploaded; `notices` are sentences about what was left out.
    """

    items: list[Item] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    bad: list[BadFile] = attrs.field(factory=list)
    notices: list[str] = attrs.field(factory=list)

    @property
    def count(self) -> int:
        """The number of files, with those that cannot be uploaded."""
        return len(self.items) + len(self.bad)

    @property
    def size(self) -> int:
        """The bytes of all files whose size is known."""
        return sum(item.known_size for item in self.items)

    @property
    def folders(self) -> list[str]:
        """The folders that the files need on the platform, each after the one above it."""
        wanted = {item.folder for item in self.items if item.folder}
        wanted |= {str(parent) for folder in wanted for parent in PurePosixPath(folder).parents}
        return sorted(wanted - {"."})


@attrs.frozen(kw_only=True)
class Rules:
    """How paths become files, see the options of `cavatica upload`."""

    recursive: bool = False
    flatten: bool = False
    skip_links: bool = False
    name: str | None = None
    selection: Selection = attrs.field(factory=Selection)


def collect(paths: Iterable[str], rows: Iterable[Item] = (), rules: Rules | None = None) -> Batch:
    """Return the files that the command line and the `rows` of a manifest name, checked, the biggest first.

    Raises UsageError if a name is given and there is not exactly one file.
    """
    collector = _Collector(rules or Rules())
    batch, name = collector.batch, collector.rules.name
    for path in paths:
        batch.items.extend(collector.named(path))
    for row in rows:
        batch.items.extend(collector.listed(row))
    if name is not None:
        if batch.count + len(batch.problems) != 1:
            raise UsageError(
                f"--name is the name of one file, and there are {len(batch.items)}.",
                "Leave --name out, or upload one file at a time.",
            )
        batch.items = [attrs.evolve(item, name=name) for item in batch.items]
    _check(batch)
    batch.items.sort(key=lambda item: (-item.known_size, item.target))
    return batch


class _Collector:
    """Turns paths and rows of a manifest into items; everything else that it finds goes to `batch`."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.batch = Batch()

    def named(self, path: str) -> Iterator[Item]:
        """Yield the files of one argument of the command line."""
        problems, name = self.batch.problems, self.rules.name or ""
        if not path:
            problems.append("One of the paths is empty; a shell variable may be unset.")
        elif path == STDIN:
            yield Item(STDIN, name)
            if not name:
                problems.append("Standard input has no name; give one with --name.")
        elif is_url(path):
            yield self._remote(path)
        elif self.rules.skip_links and Path(path).is_symlink():
            self.batch.notices.append(f"{path} is a link and was left out (--skip-links).")
        else:
            wanted = self.rules.selection.takes(_base(path))
            found = self._stat(path, wanted=wanted)
            if found is None:
                return
            if stat.S_ISDIR(found.st_mode):
                if self.rules.recursive:
                    yield from self._walk(path)
                else:
                    problems.append(f"{path} is a folder; add --recursive to upload the files in it.")
            elif stat.S_ISFIFO(found.st_mode):  # a named one, or the shell's <(…): read as a stream
                yield Item(path, name)
                if not name:
                    problems.append(f"{path} is a pipe and has no file name; give one with --name.")
            elif stat.S_ISREG(found.st_mode):
                if wanted:
                    yield Item(path, _base(path), "", found.st_size)
            elif wanted:
                problems.append(f"{path} is {_kind(found)}; only files can be uploaded (or “-” for standard input).")

    def listed(self, row: Item) -> Iterator[Item]:
        """Yield the file of a manifest's row; only with --recursive its folders are kept, as by the platform's tool."""
        where = f"Line {row.line} of the manifest: "
        if is_url(row.source):
            yield attrs.evolve(row, name=self._remote(row.source, row.name, where).name)
        elif self.rules.selection.takes(_base(row.source)):
            found = self._stat(row.source, where)
            if found is not None and stat.S_ISREG(found.st_mode):
                folder = row.folder if self.rules.recursive and not self.rules.flatten else ""
                yield attrs.evolve(row, name=row.name or _base(row.source), folder=folder, size=found.st_size)
            elif found is not None:
                self.batch.problems.append(f"{where}{row.source} is {_kind(found)}; a manifest lists files.")

    def _remote(self, url: str, name: str = "", where: str = "") -> Item:
        from cavatica_upload.sources.remote import missing_package

        problem = missing_package(url)
        if problem and problem not in self.batch.problems:
            self.batch.problems.append(problem)
        path = re.split("[?#]", url.partition("://")[2])[0].partition("/")[2].rstrip("/")
        item = Item(url, self.rules.name or name or unquote(path.rsplit("/", 1)[-1]))
        if not item.name:
            do = "give it one in a manifest of JSON lines, or upload it alone with" if where else "give one with"
            self.batch.problems.append(f"{where}{item.label} has no file name; {do} --name.")
        return item

    def _walk(self, top: str) -> Iterator[Item]:
        """Yield the files below a folder.

        As with rsync, `data` becomes a folder on the platform, and of `data/`, `data/.`, `.` and `..` only the content
        is uploaded.
        """
        inside = top.endswith(("/", os.sep, "/.", os.sep + ".")) or _base(top) in ("", "..")
        base = "" if inside else _base(top)
        walk = FolderWalk(top, self.rules.selection, follow_links=not self.rules.skip_links)
        for path, relative in walk:
            found = self._stat(path)
            if found is not None and stat.S_ISREG(found.st_mode):
                folder = "/".join(filter(None, (base, relative.rpartition("/")[0])))
                yield Item(path, _base(path), "" if self.rules.flatten else folder, found.st_size)
            elif found is not None:
                self.batch.notices.append(f"{path} is {_kind(found)} and was left out.")
        self.batch.bad += [
            BadFile(folder, f"The folder {folder} cannot be read: {read_problem(error, folder)}.")
            for folder, error in walk.unreadable
        ]
        self.batch.notices += walk.notices()

    def _stat(self, path: str, where: str = "", *, wanted: bool = True) -> os.stat_result | None:
        """Return the stat of a path, None for what cannot be read. A `wanted` one is then added to the bad files."""
        try:
            found = os.stat(path)  # noqa: PTH116 - Path drops the slash that says it is a folder
            if stat.S_ISREG(found.st_mode) and not os.access(path, os.R_OK):
                raise PermissionError
        except (OSError, ValueError) as error:
            if wanted:
                self.batch.bad.append(BadFile(path, f"{where}{path} cannot be uploaded: {read_problem(error, path)}."))
            return None
        return found


def _kind(found: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(found.st_mode), "not a file")


def _base(path: str) -> str:
    return PurePath(path).name


def _check(batch: Batch) -> None:
    """Find files that the platform would refuse, and files with the same place on the platform."""
    places: dict[str, Item] = {}
    kept: list[Item] = []
    for item in batch.items:
        reason = _refusal(item)
        if reason:
            batch.bad.append(BadFile(item.label, f"{item.label} cannot be uploaded: {reason}."))
            continue
        other = places.setdefault(item.target, item)
        if other is not item:
            same = _same(other.source, item.source)
            if same and not item.line:
                continue  # named twice, by overlapping patterns for example
            batch.problems.append(
                f"{item.label} is named twice, also in line {item.line} of the manifest: leave one out."
                if same
                else f"{item.label} and {other.label} would both become {item.target}: "
                "rename one, or upload them to different folders."
            )
        kept.append(item)
    batch.items = kept
    batch.problems.extend(
        f"{folder} would be both a folder and the file {places[folder].label}."
        for folder in batch.folders
        if folder in places
    )


def _refusal(item: Item) -> str | None:
    """Return why the platform would refuse this file, None if it would accept it."""
    if item.size is None and not item.name:
        return None  # a stream without a name is a problem already
    problem = name_problem(item.name)
    if problem:
        return problem
    for folder in item.folder.split("/") if item.folder else ():
        wrong = name_problem(folder, "folder")
        if wrong:
            return f"the folder {folder!r} cannot be created: {wrong}"
    return "it is larger than 5 TiB, the most that the platform takes" if item.known_size > MAX_FILE_SIZE else None


def _same(one: str, other: str) -> bool:
    return one == other or (STDIN not in (one, other) and os.path.realpath(one) == os.path.realpath(other))
