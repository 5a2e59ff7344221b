"""Where a file can lie: a project's top level or a folder, and who may write there."""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from cavatica_mock import problems
from cavatica_mock.ids import root_folder
from cavatica_mock.problems import Problem
from cavatica_mock.records import File
from cavatica_mock.store import Store

UNDECLARED_PROJECT: Final = "mock/undeclared-folders"  # where folders are said to be that nobody made
PROJECT_FORM: Final = re.compile(r"[^/\s]+/[^/\s]+")


@attrs.frozen
class Place:
    """A folder, the top level of a project included. `made` is False for a folder that is only taken on trust."""

    project: str
    folder: str
    made: bool = True


@attrs.frozen
class Places:
    """Every well-formed project and folder id exists, unless `projects` says which ones do and can be written to."""

    store: Store
    projects: Mapping[str, bool] | None

    def project(self, name: str) -> Place:
        """Raises Problem when the project was not declared, and others were."""
        if self.projects is not None and name not in self.projects:
            raise Problem(problems.PROJECT_UNKNOWN, f"No {name} is known here.")
        root = root_folder(name)
        self.store.add_root(root, name)
        return Place(name, root)

    def folder(self, folder_id: str, missing: int = problems.PARENT_UNKNOWN) -> Place:
        """Raises Problem with the code `missing` for a folder that cannot exist or is deleted, or for a file's id."""
        file = self.store.file(folder_id)
        if file is not None:
            if not file.folder:
                raise Problem(problems.PARENT_NOT_A_FOLDER)
            return Place(file.project, file.id)
        project = self.store.project_of_root(folder_id)
        if project is None and self.projects is not None:
            declared = {root_folder(name): name for name in self.projects}
            project = declared.get(folder_id)
        if project is not None:
            return self.project(project)
        if self.projects is not None or self.store.was_deleted(folder_id):
            raise Problem(missing)
        return Place(UNDECLARED_PROJECT, folder_id, made=False)

    def destination(self, project: str | None, parent: str | None) -> Place:
        """The one of the two that is given. Raises Problem for both and for neither."""
        if project is not None and parent is not None:
            raise Problem(problems.DESTINATION_TWICE)
        if project is not None:
            return self.project(project)
        if parent is not None:
            return self.folder(parent)
        raise Problem(problems.DESTINATION_MISSING)

    def writable(self, project: str) -> bool:
        return self.projects is None or self.projects.get(project, False)

    def check_writable(self, project: str) -> None:
        if not self.writable(project):
            raise Problem(problems.PROJECT_READ_ONLY, f"{project} can only be read.")

    def make(self, place: Place, user: str, now: float) -> None:
        """A folder that was only taken on trust becomes a real one as soon as something lies in it."""
        if place.made:
            return
        above = self.project(UNDECLARED_PROJECT)
        self.store.add_file(
            File(place.folder, user, above.project, above.folder, place.folder, True, None, now, now, {}, ())
        )
