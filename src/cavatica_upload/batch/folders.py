"""Finds and creates folders on the platform with few API calls."""

import threading
from collections import Counter
from itertools import islice

from cavatica_upload.api import Api
from cavatica_upload.api.records import FileDetails
from cavatica_upload.destination import Destination
from cavatica_upload.errors import CavaticaError, NameTaken, NotFound

PAGE = 100
"""Names in a page of a list; one call lists a smaller folder completely."""
FEW = 3
"""Names that are requested one by one before a larger folder is listed."""
MOST_LISTED = 10_000
"""The most entries that are listed; in a still larger folder names are requested one by one."""


class NotAFolder(CavaticaError):
    """There is a file of this name, and a folder is needed."""


class _Listings:
    """The known content of folders, by path. A large folder is listed only after a few single names were requested."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._entries: dict[str, dict[str, FileDetails]] = {}
        self._whole: set[str] = set()
        self._ids: dict[str, set[str]] = {}
        self._questions: Counter[str] = Counter()
        self._listed: Counter[str] = Counter()

    def entry(self, path: str, folder: Destination, name: str) -> FileDetails | None:
        """Return what has this name in a folder."""
        self._questions[path] += 1
        self._list(path, folder, PAGE - 1 if self._questions[path] <= FEW else MOST_LISTED)
        known = self._entries.get(path, {})
        if name in known or path in self._whole:
            return known.get(name)
        return self._api.find_file(folder, name)

    def names(self, path: str, folder: Destination, most: int) -> dict[str, FileDetails] | None:
        """Return what is in a folder, by name, None if that is more than `most` entries."""
        self._list(path, folder, most)
        return self._entries[path] if path in self._whole else None

    def holds(self, path: str, folder: Destination, file_id: str) -> bool | None:
        """Whether a file is in a folder, None if its list does not say."""
        self._questions[path] += 1
        if self._questions[path] <= FEW and path not in self._whole:
            return None
        self._list(path, folder, MOST_LISTED)
        if path not in self._ids:
            self._ids[path] = {entry.id for entry in self._entries[path].values()}
        return True if file_id in self._ids[path] else False if path in self._whole else None

    def is_new(self, path: str) -> None:
        """Note that a folder was just created: it is empty."""
        self._entries[path] = {}
        self._whole.add(path)

    def _list(self, path: str, folder: Destination, most: int) -> None:
        if path in self._whole or self._listed[path] >= most:
            return
        entries = list(islice(self._api.list_files(folder), most + 1))
        self._listed[path] = most
        self._entries[path] = {entry.name: entry for entry in entries if entry.name}
        if len(entries) <= most:
            self._whole.add(path)


class FolderTree:
    """Finds and creates folders below `root`. Each folder is requested once.

    A folder that was created here is empty, so it is not listed. Several threads may use a tree. If two processes
    create the same folder, there is only one.
    """

    def __init__(self, api: Api, root: Destination) -> None:
        self._api = api
        self._place = root.place or str(root)
        self._lock = threading.RLock()
        self._known: dict[str, Destination] = {"": root}
        self._missing: set[str] = set()
        self._listings = _Listings(api)
        self.made = 0

    def get(self, path: str) -> Destination:
        """Return the folder at a path below the root, creating it and those above it if they are missing.

        Raises NotAFolder if a file is in the way, and the errors of the API.
        """
        with self._lock:
            if path in self._known:
                return self._known[path]
            above = self.get(path.rpartition("/")[0])
            found = self._look(path)
            if found is None:
                found = self._make(above, path)
                self._known[path] = found
                self._missing.discard(path)
            return found

    def find(self, path: str) -> Destination | None:
        """Return the folder at a path, None if there is none; nothing is created."""
        with self._lock:
            return self._look(path)

    def names(self, path: str, most: int = MOST_LISTED) -> dict[str, FileDetails] | None:
        """Return what is in a folder, by name, None if that is more than `most` entries; empty for a missing one."""
        with self._lock:
            folder = self._look(path)
            return {} if folder is None else self._listings.names(path, folder, most)

    def holds(self, path: str, file_id: str) -> bool:
        """Whether a file is still in a folder; after a few of these requests the folder is listed instead."""
        with self._lock:
            folder = self._look(path)
            if folder is None:
                return False
            listed = self._listings.holds(path, folder, file_id)
        if listed is not None:
            return listed
        try:
            self._api.get_file(file_id)
        except NotFound:
            return False
        return True

    def _look(self, path: str) -> Destination | None:
        if path in self._known or path in self._missing:
            return self._known.get(path)
        parent, _, name = path.rpartition("/")
        above = self._look(parent)
        entry = None if above is None else self._listings.entry(parent, above, name)
        found = None if entry is None else self._as_folder(entry, path)
        if found is None:
            self._missing.add(path)
        else:
            self._known[path] = found
        return found

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
        self._listings.is_new(path)
        return Destination(parent=made.id, place=f"{self._place}/{path}")

    def _as_folder(self, entry: FileDetails, path: str) -> Destination:
        kind = entry.type_
        if kind is None:  # some lists leave it out
            kind = self._api.get_file(entry.id).type_
        if kind is not None and kind.lower() != "folder":
            raise NotAFolder(
                f"{path} is a file on the platform, and a folder of that name is needed.",
                "Rename one of the two, or upload to another folder.",
            )
        return Destination(parent=entry.id, place=f"{self._place}/{path}")
