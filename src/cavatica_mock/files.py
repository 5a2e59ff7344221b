"""The rules of files and folders, and of where a file can be. No HTTP: records out, Problem raised."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from cavatica_mock import errors
from cavatica_mock.blobs import Blobs
from cavatica_mock.errors import Problem
from cavatica_mock.records import File, Ids, project_uuid, root_folder
from cavatica_mock.store import Store

UNDECLARED_PROJECT: Final = "mock/undeclared-folders"  # the project of folders that nobody made
MAX_METADATA_KEYS = 1000  # docs.cavatica.org, Metadata on CAVATICA; the key's and the value's limit are in bytes
MAX_KEY_BYTES = 100
MAX_VALUE_BYTES = 300


@attrs.frozen
class Location:
    """A folder, the top level of a project included.

    `made` is False for a folder ID that was never created but is accepted.
    """

    project: str
    folder: str
    made: bool = True


@attrs.frozen
class Locations:
    """Every well-formed project and folder id exists, unless `projects` says which ones do and can be written to."""

    store: Store
    projects: Mapping[str, bool] | None

    def project(self, name: str) -> Location:
        """Raises Problem when the project was not declared, and others were."""
        if self.projects is not None and name not in self.projects:
            raise Problem(errors.PROJECT_UNKNOWN, f"No {name} is known here.")
        root = root_folder(name)
        self.store.add_root(root, name)
        return Location(name, root)

    def folder(self, folder_id: str, missing: int = errors.PARENT_UNKNOWN) -> Location:
        """Raises Problem with the code `missing` for a folder that cannot exist or is deleted, or for a file's id."""
        file = self.store.file(folder_id)
        if file is not None:
            if not file.folder:
                raise Problem(errors.PARENT_NOT_A_FOLDER)
            return Location(file.project, file.id)
        project = self.store.project_of_root(folder_id)
        if project is None and self.projects is not None:
            declared = {root_folder(name): name for name in self.projects}
            project = declared.get(folder_id)
        if project is not None:
            return self.project(project)
        if self.projects is not None or self.store.was_deleted(folder_id):
            raise Problem(missing)
        return Location(UNDECLARED_PROJECT, folder_id, made=False)

    def destination(self, project: str | None, parent: str | None) -> Location:
        """The destination that is given: a project or a parent. Raises Problem for both and for neither."""
        if project is not None and parent is not None:
            raise Problem(errors.DESTINATION_TWICE)
        if project is not None:
            return self.project(project)
        if parent is not None:
            return self.folder(parent)
        raise Problem(errors.DESTINATION_MISSING)

    def writable(self, project: str) -> bool:
        return self.projects is None or self.projects.get(project, False)

    def check_writable(self, project: str) -> None:
        if not self.writable(project):
            raise Problem(errors.PROJECT_READ_ONLY, f"{project} can only be read.")

    def make(self, place: Location, user: str, now: float) -> None:
        """Create a folder that was accepted without having been created, once something lies in it."""
        if place.made:
            return
        above = self.project(UNDECLARED_PROJECT)
        self.store.add_file(
            File(place.folder, user, above.project, above.folder, place.folder, True, None, now, now, {}, ())
        )


@attrs.frozen
class Files:
    """The files and folders of all projects; every user sees all of them."""

    store: Store
    blobs: Blobs
    locations: Locations
    ids: Ids
    clock: Callable[[], float]

    def find(self, file_id: str) -> File:
        file = self.store.file(file_id)
        if file is not None:
            return file
        project = self.store.project_of_root(file_id)
        if project is not None:
            return File(file_id, "", project, file_id, project_uuid(project), True, None, 0, 0, {}, ())
        raise Problem(errors.FILE_UNKNOWN)

    def downloadable(self, file_id: str) -> File:
        file = self.find(file_id)
        if file.folder:
            raise Problem(errors.FILE_UNKNOWN, "This is a folder.")
        return file

    def list(
        self, project: str | None, parent: str | None, names: Sequence[str], offset: int, limit: int
    ) -> tuple[Sequence[File], int]:
        place = self.locations.destination(project, parent)
        return self.store.files(place.folder, names, offset, limit)

    def list_folder(self, folder_id: str, offset: int, limit: int) -> tuple[Sequence[File], int]:
        place = self.locations.folder(folder_id, missing=errors.FILE_UNKNOWN)
        return self.store.files(place.folder, (), offset, limit)

    def create_folder(self, user: str, wanted: Mapping[str, Any]) -> File:
        place = self.locations.destination(wanted.get("project"), wanted.get("parent"))
        self.locations.check_writable(place.project)
        if self.store.find_file(place.folder, wanted["name"]) is not None:
            raise Problem(errors.FOLDER_NAME_TAKEN)
        now = self.clock()
        folder_id = self.ids.file(self.store.file)
        folder = File(folder_id, user, place.project, place.folder, wanted["name"], True, None, now, now, {}, ())
        with self.store.transaction():
            self.locations.make(place, user, now)
            self.store.add_file(folder)
        return folder

    def delete(self, file_id: str) -> None:
        file = self.store.file(file_id)
        if file is None:
            raise Problem(errors.FILE_UNKNOWN)
        self.locations.check_writable(file.project)
        if file.folder and self.store.files(file.id, limit=0)[1]:
            raise Problem(errors.FOLDER_NOT_EMPTY, "The folder is not empty.")
        blobs = [piece.blob for piece in self.store.pieces(file.id)]
        with self.store.transaction():
            self.store.remove_file(file.id)
        self.blobs.remove(blobs)

    def edit(self, wanted: Mapping[str, Any]) -> File:
        """One file's new name, metadata (merged, null removes a key) and tags (put in place of the old ones)."""
        file = self.store.file(wanted["id"] if "id" in wanted else wanted["file_id"])
        if file is None:
            raise Problem(errors.FILE_UNKNOWN)
        self.locations.check_writable(file.project)
        name = wanted.get("name", file.name)
        if name != file.name and self.store.find_file(file.parent, name) is not None:
            raise Problem(errors.FILE_NAME_TAKEN)
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
            raise Problem(errors.FILE_BAD_REQUEST, f"A key has at most {MAX_KEY_BYTES} bytes, a value 300.")
    result = {key: value for key, value in {**old, **new}.items() if value is not None}
    if len(result) > MAX_METADATA_KEYS:
        raise Problem(errors.FILE_BAD_REQUEST, f"A file has at most {MAX_METADATA_KEYS} metadata keys.")
    return result
