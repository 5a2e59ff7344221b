"""Where a file goes: the root of a project, or a folder."""

import re
from typing import Self

import attrs

from cavatica_upload.errors import UsageError

_PROJECT = re.compile(r"[^\s/?#%\x00-\x1f\x7f]+/[^\s/?#%\x00-\x1f\x7f]+")
_FOLDER_ID = re.compile(r"[A-Za-z0-9_-]+")


@attrs.frozen
class Destination:
    """The root of `project` ("owner/short-name"), or the folder with the id `parent`: one of the two, never both.

    Raises UsageError for neither, both, or a value that cannot be a project or a folder id
    (docs.cavatica.org, Initialize a multipart upload).
    """

    project: str | None = None
    parent: str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.project is None) == (self.parent is None):
            raise UsageError(
                "A destination is a project or a folder, one of the two.",
                "Give the project as owner/name, or the id of a folder.",
            )
        if self.project is not None and (not _PROJECT.fullmatch(self.project) or _has_dots(self.project)):
            raise UsageError(
                f"{self.project!r} is not a project: it should look like owner/name.",
                "Take owner/name from the address of the project's page.",
            )
        if self.parent is not None and not _FOLDER_ID.fullmatch(self.parent):
            raise UsageError(
                f"{self.parent!r} is not the id of a folder.",
                "A folder's id is the 24 characters at the end of the address of its page.",
            )

    @classmethod
    def of_project(cls, project: str) -> Self:
        """Return the root of a project."""
        return cls(project=project)

    @classmethod
    def of_folder(cls, folder_id: str) -> Self:
        """Return a folder, by its id."""
        return cls(parent=folder_id)

    def __str__(self) -> str:
        return self.project if self.project is not None else f"folder {self.parent}"


def _has_dots(project: str) -> bool:
    return any(part in (".", "..") for part in project.split("/"))
