"""The tree of folders on the platform: found or made as files need them, with as few calls as can be."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from cavatica_upload.api.records import FileDetails
from cavatica_upload.destination import Destination
from cavatica_upload.errors import CavaticaError, NameTaken, NotFound

FEW = 3
"""Up to so many names are asked for one by one; for more, the folder is listed, 100 names a call."""
MOST_LISTED = 10_000
"""Entries of a folder that are listed before names are asked for one by one after all."""


class FolderApi(Protocol):
    """What is needed of the API."""

    def list_files(self, destination: Destination) -> Iterator[FileDetails]:
        """Yield what is in a folder, files and folders."""

    def find_file(self, destination: Destination, name: str) -> FileDetails | None:
        """Return what has this name in a folder."""

    def create_folder(self, destination: Destination, name: str) -> FileDetails:
        """Make a folder."""

    def get_file(self, file_id: str) -> FileDetails:
        """Return a file or folder."""


class NotAFolder(CavaticaError):
    """A file is where a folder is needed."""


class FolderTree:
    """Finds and makes folders below `root`; each folder is looked for once in the life of the tree.

    `wanted` are the paths (`a/b/c`) that will be asked for, as far as they are known: they decide whether a folder's
    names are asked for one by one or all at once. A folder made here is known to be empty, and never asked about.
    Safe with several threads; two processes that make the same folder end up with one.
    """

    def __init__(self, api: FolderApi, root: Destination, wanted: Iterable[str] = ()) -> None:
        self._api = api
        self._root = root
        self._lock = threading.RLock()
        self._known: dict[str, Destination] = {"": root}
        self._entries: dict[str, dict[str, FileDetails]] = {}
        self._whole: set[str] = set()
        self._missing: set[str] = set()
        self._children = Counter(_parent(path) for path in wanted)
        self._asked: Counter[str] = Counter()
        self._ids: dict[str, set[str]] = {}
        self.made = 0

    def get(self, path: str) -> Destination:
        """Return the folder at a path below the root, making it and those above it where they are missing.

        Raises NotAFolder where a file is in the way, and the errors of the API.
        """
        with self._lock:
            if path in self._known:
                return self._known[path]
            above = self.get(_parent(path))
            found = self._look(path)
            if found is None:
                found = self._make(above, path)
                self._known[path] = found
                self._missing.discard(path)
            return found

    def find(self, path: str) -> Destination | None:
        """Return the folder at a path, None where there is none; nothing is made."""
        with self._lock:
            return self._look(path)

    def names(self, path: str, most: int = MOST_LISTED) -> dict[str, FileDetails] | None:
        """Return what is in a folder, by name, None where that is more than `most` entries; empty for a missing one."""
        with self._lock:
            folder = self._look(path)
            if folder is None:
                return {}
            self._list(path, folder, most)
            return self._entries[path] if path in self._whole else None

    def holds(self, path: str, file_id: str) -> bool:
        """Whether a file is in a folder still; after a few such questions the folder is listed instead."""
        with self._lock:
            self._asked[path] += 1
            folder = self._look(path)
            if folder is None:
                return False
            if self._asked[path] > FEW:
                self._list(path, folder, MOST_LISTED)
                if path not in self._ids:
                    self._ids[path] = {entry.id for entry in self._entries[path].values()}
                if file_id in self._ids[path] or path in self._whole:
                    return file_id in self._ids[path]
        try:
            self._api.get_file(file_id)
        except NotFound:
            return False
        return True

    def _look(self, path: str) -> Destination | None:
        if path in self._known or path in self._missing:
            return self._known.get(path)
        above = self._look(_parent(path))
        entry = None if above is None else self._entry(_parent(path), above, path.rsplit("/", 1)[-1])
        found = None if entry is None else self._as_folder(entry, path)
        if found is None:
            self._missing.add(path)
        else:
            self._known[path] = found
        return found

    def _entry(self, parent: str, folder: Destination, name: str) -> FileDetails | None:
        if parent not in self._entries and self._children[parent] > FEW:
            self._list(parent, folder, MOST_LISTED)
        known = self._entries.get(parent, {})
        if name in known or parent in self._whole:
            return known.get(name)
        return self._api.find_file(folder, name)

    def _list(self, path: str, folder: Destination, most: int) -> None:
        if path in self._whole or len(self._entries.get(path, ())) >= most:
            return
        entries = list(islice(self._api.list_files(folder), most + 1))
        self._entries[path] = {entry.name: entry for entry in entries if entry.name is not None}
        if len(entries) <= most:
            self._whole.add(path)

    def _make(self, above: Destination, path: str) -> Destination:
        name = path.rsplit("/", 1)[-1]
        try:
            made = self._api.create_folder(above, name)
        except NameTaken:  # another process was faster, or the list was old
            taken = self._api.find_file(above, name)
            if taken is None:
                raise
            return self._as_folder(taken, path)
        self.made += 1
        self._entries[path] = {}
        self._whole.add(path)
        return Destination(parent=made.id)

    def _as_folder(self, entry: FileDetails, path: str) -> Destination:
        kind = entry.type_
        if kind is None:  # some lists leave it out
            kind = self._api.get_file(entry.id).type_
        if kind is not None and kind.lower() != "folder":
            raise NotAFolder(
                f"{path} is a file on the platform, and a folder of that name is needed.",
                "Rename one of the two, or upload to another folder.",
            )
        return Destination(parent=entry.id)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
