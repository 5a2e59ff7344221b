"""The rules of files and folders, and of the places where they can be. No HTTP: returns records, raises Problem."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from cavatica_mock import errors
from cavatica_mock.blobs import Blobs
from cavatica_mock.errors import Problem
from cavatica_mock.store import File, Ids, Store, project_uuid, root_folder

UNDECLARED_PROJECT: Final = "mock/undeclared-folders"  # the project of folders that were never created
MAX_METADATA_KEYS = 1000  # docs.cavatica.org, Metadata on CAVATICA; the key's and the value's limit are in bytes
MAX_KEY_BYTES = 100
MAX_VALUE_BYTES = 300


@attrs.frozen
class Location:
    """A folder, also the top level of a project. `made` is False for an ID that is accepted and was never created."""

    project: str
    folder: str
    made: bool = True


@attrs.frozen
class Locations:
    """Every well-formed project and folder exists, unless `projects` lists them and says which can be written to."""

    store: Store
    projects: Mapping[str, bool] | None

    def project(self, name: str) -> Location:
        """Raises Problem if projects were declared and this is none of them."""
        if self.projects is not None and name not in self.projects:
            raise Problem(errors.PROJECT_UNKNOWN, f"This mock has no project {name}.")
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
        declared = {root_folder(name): name for name in self.projects or ()}
        project = self.store.project_of_root(folder_id) or declared.get(folder_id)
        if project is not None:
            return self.project(project)
        if self.projects is not None or self.store.was_deleted(folder_id):
            raise Problem(missing)
        return Location(UNDECLARED_PROJECT, folder_id, made=False)

    def destination(self, project: str | None, parent: str | None) -> Location:
        """The folder that `project` or `parent` names. Raises Problem for both and for neither."""
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
            raise Problem(errors.PROJECT_READ_ONLY, f"{project} is read-only.")

    def make(self, place: Location, user: str, now: float) -> None:
        """Create a folder that was accepted without having been created: something is put into it now."""
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
            raise Problem(errors.FILE_UNKNOWN, "It is a folder.")
        return file

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
        """Change a file's name, its metadata (merged; null removes a key) and its tags (replaced)."""
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
    """Metadata after a change. Raises Problem for keys and values that exceed the platform's limits."""
    for key, value in new.items():
        if len(key.encode()) > MAX_KEY_BYTES or (value is not None and len(value.encode()) > MAX_VALUE_BYTES):
            raise Problem(
                errors.FILE_BAD_REQUEST,
                f"The limits are {MAX_KEY_BYTES} bytes for a key, {MAX_VALUE_BYTES} for a value.",
            )
    result = {key: value for key, value in {**old, **new}.items() if value is not None}
    if len(result) > MAX_METADATA_KEYS:
        raise Problem(errors.FILE_BAD_REQUEST, f"The limit is {MAX_METADATA_KEYS} metadata keys for a file.")
    return result
