"""The rules of files and folders. No HTTP: records out, Problem raised."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from cavatica_mock import problems
from cavatica_mock.blobs import Blobs
from cavatica_mock.ids import Ids
from cavatica_mock.places import Places
from cavatica_mock.problems import Problem
from cavatica_mock.records import File
from cavatica_mock.store import Store

MAX_METADATA_KEYS = 1000  # docs.cavatica.org, Metadata on CAVATICA; the key's and the value's limit are in bytes
MAX_KEY_BYTES = 100
MAX_VALUE_BYTES = 300


@attrs.frozen
class Files:
    """The files and folders of all projects; every user sees all of them."""

    store: Store
    blobs: Blobs
    places: Places
    ids: Ids
    clock: Callable[[], float]

    def find(self, file_id: str) -> File:
        file = self.store.file(file_id)
        if file is not None:
            return file
        project = self.store.project_of_root(file_id)
        if project is not None:
            return File(file_id, "", project, file_id, project.split("/")[1], True, None, 0, 0, {}, ())
        raise Problem(problems.FILE_UNKNOWN)

    def downloadable(self, file_id: str) -> File:
        file = self.find(file_id)
        if file.folder:
            raise Problem(problems.FILE_UNKNOWN, "This is a folder.")
        return file

    def list(
        self, project: str | None, parent: str | None, names: Sequence[str], offset: int, limit: int
    ) -> tuple[Sequence[File], int]:
        place = self.places.destination(project, parent)
        return self.store.files(place.folder, names, offset, limit)

    def list_folder(self, folder_id: str, offset: int, limit: int) -> tuple[Sequence[File], int]:
        place = self.places.folder(folder_id, missing=problems.FILE_UNKNOWN)
        return self.store.files(place.folder, (), offset, limit)

    def create_folder(self, user: str, wanted: Mapping[str, Any]) -> File:
        place = self.places.destination(wanted.get("project"), wanted.get("parent"))
        self.places.check_writable(place.project)
        if self.store.find_file(place.folder, wanted["name"]) is not None:
            raise Problem(problems.FOLDER_NAME_TAKEN)
        now = self.clock()
        folder_id = self.ids.file(self.store.file)
        folder = File(folder_id, user, place.project, place.folder, wanted["name"], True, None, now, now, {}, ())
        with self.store.transaction():
            self.places.make(place, user, now)
            self.store.add_file(folder)
        return folder

    def delete(self, file_id: str) -> None:
        file = self.store.file(file_id)
        if file is None:
            raise Problem(problems.FILE_UNKNOWN)
        self.places.check_writable(file.project)
        if file.folder and self.store.files(file.id, limit=0)[1]:
            raise Problem(problems.FOLDER_NOT_EMPTY, "The folder is not empty.")
        blobs = [piece.blob for piece in self.store.pieces(file.id)]
        with self.store.transaction():
            self.store.remove_file(file.id)
        self.blobs.remove(blobs)

    def edit(self, wanted: Mapping[str, Any]) -> File:
        """One file's new name, metadata (merged, null removes a key) and tags (put in place of the old ones)."""
        file = self.store.file(wanted["id"] if "id" in wanted else wanted["file_id"])
        if file is None:
            raise Problem(problems.FILE_UNKNOWN)
        self.places.check_writable(file.project)
        name = wanted.get("name", file.name)
        if name != file.name and self.store.find_file(file.parent, name) is not None:
            raise Problem(problems.FILE_NAME_TAKEN)
        changed = attrs.evolve(
            file,
            name=name,
            metadata=merged(file.metadata, wanted.get("metadata", {})),
            tags=tuple(wanted.get("tags", file.tags)),
            modified=self.clock(),
        )
        with self.store.transaction():
            self.store.change_file(changed)
        return changed


def merged(old: Mapping[str, object], new: Mapping[str, str | None]) -> dict[str, object]:
    """Metadata after a change. Raises Problem for keys and values over the platform's limits."""
    for key, value in new.items():
        if len(key.encode()) > MAX_KEY_BYTES or (value is not None and len(value.encode()) > MAX_VALUE_BYTES):
            raise Problem(problems.FILE_BAD_REQUEST, f"A key has at most {MAX_KEY_BYTES} bytes, a value 300.")
    result = {key: value for key, value in {**old, **new}.items() if value is not None}
    if len(result) > MAX_METADATA_KEYS:
        raise Problem(problems.FILE_BAD_REQUEST, f"A file has at most {MAX_METADATA_KEYS} metadata keys.")
    return result
