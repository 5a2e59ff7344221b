"""--include and --exclude: patterns as in a shell, and the walk through folders that applies them."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from cavatica_upload.errors import UsageError
from cavatica_upload.plan import count_text, plural

_Mark = tuple[int, int]
_TOKEN = re.compile(r"(?<![^/])\*\*/|\*\*|\[(?P<not>!?+)(?P<set>\]?[^\]]+|\])\]|.", re.DOTALL)
_WILDCARDS = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_LEFT_OUT = {
    "above": "leads back to a folder above it and was not followed",
    "twice": "leads to a folder that is already uploaded and was not followed",
    "link": "is a link and was left out (--skip-links)",
}


def translate(pattern: str) -> re.Pattern[str]:
    """Compile a pattern: `*` and `?` stay within a folder, `**` crosses folders, `[abc]` and `[!abc]` are sets.

    Upper and lower case differ, on every machine. An unclosed bracket is an ordinary character.

    `glob.translate` of Python 3.13 does nearly the same and can replace this when 3.12 is no longer supported.
    """

    def regex(token: re.Match[str]) -> str:
        if token["set"] is None:
            return _WILDCARDS.get(token[0]) or re.escape(token[0])
        inside = re.sub(r"([\\\[\]&~|^])", r"\\\1", token["set"])
        return f"(?!/)[{'^' if token['not'] else ''}{inside}]"

    try:
        return re.compile(_TOKEN.sub(regex, pattern), re.DOTALL)
    except re.error:  # a range such as [z-a]
        return re.compile(re.escape(pattern), re.DOTALL)


@attrs.frozen
class Selection:
    """The files that match an `include` pattern (any file, if there is none) and no `exclude` pattern.

    A pattern without a slash matches names, at any depth. One with a slash matches paths below the folder that was
    named. A folder that matches an `exclude` pattern is left out with all that is in it.
    """

    include: Sequence[re.Pattern[str]] = ()
    exclude: Sequence[re.Pattern[str]] = ()

    @classmethod
    def of(cls, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> "Selection":
        """Compile patterns as they are written on the command line. Raises UsageError for one that is empty."""
        return cls([_compile(pattern) for pattern in include], [_compile(pattern) for pattern in exclude])

    def takes(self, path: str) -> bool:
        """Whether a file is selected; `path` has slashes between its folders on every system."""
        return not self.leaves_out(path) and (not self.include or _matches(self.include, path))

    def leaves_out(self, path: str) -> bool:
        """Whether a file or folder is excluded by its own name or path."""
        return _matches(self.exclude, path)


def _compile(pattern: str) -> re.Pattern[str]:
    bare = pattern.removeprefix("./").strip("/")
    if not bare:
        raise UsageError("A pattern is empty, so no file matches it.", "Check --include and --exclude.")
    if "/" in bare:
        return translate(bare)
    return re.compile(f"(?:.*/)?{translate(re.sub(r'[*]+', '*', bare)).pattern}", re.DOTALL)


def _matches(patterns: Sequence[re.Pattern[str]], path: str) -> bool:
    return any(pattern.fullmatch(path) for pattern in patterns)


class FolderWalk:
    """Yields the path of each file that `selection` takes, and its path below `top`; iterate once.

    Names are compared with the patterns before a file is looked at. Links to files are files; a link to a
    folder is followed after all real folders, unless the folder was entered already or is above `top`. Afterwards
    `unreadable` holds the folders that could not be read.
    """

    def __init__(self, top: str, selection: Selection, *, follow_links: bool) -> None:
        self.unreadable: list[tuple[str, OSError]] = []
        self._top = top
        self._selection = selection
        self._follow_links = follow_links
        self._empty = 0
        self._left_out: defaultdict[str, list[str]] = defaultdict(list)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        above = {mark for folder in Path(os.path.realpath(self._top)).parents if (mark := _mark(folder))}
        entered: dict[_Mark, str] = {}
        folders, links = [(self._top, "")], list[tuple[str, str]]()
        while folders or links:
            is_link = not folders
            folder, relative = links.pop(0) if is_link else folders.pop()
            mark = _mark(folder)
            if is_link and mark in above:
                self._left_out["above"].append(folder)
                continue
            if mark in entered:
                inside = relative == entered[mark] or relative.startswith(f"{entered[mark]}/") or not entered[mark]
                self._left_out["above" if inside else "twice"].append(folder)
                continue
            if mark is not None:
                entered[mark] = relative
            for entry in self._entries(folder):
                path = f"{relative}/{entry.name}" if relative else entry.name
                if self._selection.leaves_out(path):
                    continue
                if entry.is_symlink() and not self._follow_links:
                    self._left_out["link"].append(entry.path)
                elif _is_folder(entry):
                    (links if entry.is_symlink() else folders).append((entry.path, path))
                elif self._selection.takes(path):
                    yield entry.path, path

    def notices(self) -> list[str]:
        """Return sentences about what was left out."""
        found = []
        for kind, paths in self._left_out.items():
            more = f" (and {count_text(len(paths) - 1, 'more such link')})" if len(paths) > 1 else ""
            found.append(f"{paths[0]} {_LEFT_OUT[kind]}{more}.")
        if self._empty:
            folders = f"{count_text(self._empty, 'empty folder')} in {self._top}"
            were = plural(self._empty, "was", "were")
            found.append(f"{folders} {were} left out: only folders with files are created.")
        return found

    def _entries(self, folder: str) -> list["os.DirEntry[str]"]:
        try:
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            self.unreadable.append((folder, error))
            return []
        self._empty += not entries
        return entries


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _mark(folder: str | Path) -> _Mark | None:
    try:
        found = Path(folder).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
