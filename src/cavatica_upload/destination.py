"""Where files go: a project or a folder, below it a path of folders; and the names that the platform takes."""

import re
from urllib.parse import unquote

import attrs

from cavatica_upload.errors import UsageError

LONGEST_NAME = 255  # characters; docs.cavatica.org, Initialize a multipart upload
_PROJECT = re.compile(r"[^\s/?#%\x00-\x1f\x7f]+/[^\s/?#%\x00-\x1f\x7f]+")
_FOLDER_ID = re.compile(r"[A-Za-z0-9_-]+")
_PAGE = re.compile(r"(?:https?://[^/?#]+|[^/?#]+\.sbgenomics\.com)/u/(?P<project>[^/?#]+/[^/?#]+)(?P<rest>[^?#]*)")


@attrs.frozen
class Destination:
    """The root of `project` ("owner/short-name"), or the folder with the id `parent`: one of the two, never both.

    Raises UsageError for neither, both, or a value that cannot be a project or a folder id
    (docs.cavatica.org, Initialize a multipart upload). `place` is the path of a folder as people know it,
    "owner/short-name/run-7", if that is known.
    """

    project: str | None = None
    parent: str | None = None
    place: str | None = attrs.field(default=None, eq=False)

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

    def __str__(self) -> str:
        return self.project if self.project is not None else f"folder {self.parent}"


def destination_of(value: Destination | str) -> Destination:
    """Return a destination, which may be given as "owner/name" or as the ID of a folder; raises UsageError."""
    if isinstance(value, Destination):
        return value
    return Destination(project=value) if "/" in value else Destination(parent=value)


def _has_dots(project: str) -> bool:
    return any(part in (".", "..") for part in project.split("/"))


@attrs.frozen
class Target:
    """A destination that exists, and the path of a folder below it, `""` for none."""

    destination: Destination
    folder: str = ""

    @classmethod
    def parse(cls, project: str | None, parent: str | None) -> "Target":
        """Read --project (`owner/name`, with folders behind it if wanted, or a page's address) or --parent.

        Raises UsageError.
        """
        if (project is None) == (parent is None):
            raise UsageError(
                "Use --project or --parent, not both."
                if project is not None
                else "No destination given; use --project or --parent.",
                "Use --project owner/name, --project owner/name/folder, or --parent with the ID of a folder.",
            )
        if project is None:
            return cls(Destination(parent=parent))
        page = _PAGE.fullmatch(project.split("?")[0].split("#")[0])
        if page:
            return cls(Destination(project=_project_of_page(unquote(page["project"]), page["rest"])))
        owner, _, rest = project.removesuffix("/").partition("/")
        name, *folders = rest.split("/")
        destination = Destination(project=f"{owner}/{name}" if rest else owner)
        for folder in folders:
            problem = folder_problem(folder)
            if problem:
                raise UsageError(
                    f"{folder!r} in {project!r} cannot be a folder: {problem}.", "Use another folder name."
                )
        return cls(destination, "/".join(folders))

    def path(self, folder: str) -> str:
        """Return the path of a folder of the batch, from the destination on."""
        return "/".join(part for part in (self.folder, folder) if part)

    def __str__(self) -> str:
        return f"{self.destination}/{self.folder}" if self.folder else str(self.destination)


def _project_of_page(project: str, rest: str) -> str:
    """Return the project of the address of a page; the page of one file or folder does not say which it is."""
    page, _, item = rest.strip("/").partition("/")
    if page == "files" and item:
        raise UsageError(
            "This is the address of a page of one file or folder, not of a project.",
            f"If it is a folder, use --parent {item.split('/')[0]}; for the project itself use --project {project}.",
        )
    return project


def name_problem(name: str) -> str | None:
    """Return what is wrong with the name of a file, None if nothing.

    docs.cavatica.org, Initialize a multipart upload.
    """
    if not name:
        return "it has no name"
    if name in (".", "..") or "/" in name:
        return f"{name!r} cannot be the name of a file"
    if len(name) > LONGEST_NAME:
        return f"its name has {len(name)} characters, and {LONGEST_NAME} are allowed"
    return None if is_utf8(name) else "its name is not valid UTF-8"


def folder_problem(name: str) -> str | None:
    """Return what is wrong with the name of a folder, None if nothing.

    docs.cavatica.org, Create a folder: only two underscores at the beginning are forbidden.
    """
    if not name:
        return "it has no name"
    if name in (".", "..") or "/" in name:
        return f"{name!r} cannot be the name of a folder"
    if name.startswith("__"):
        return "a folder on the platform cannot have a name that begins with “__”"
    if len(name) > LONGEST_NAME:
        return f"its name has {len(name)} characters, and {LONGEST_NAME} are allowed"
    return None if is_utf8(name) else "its name is not valid UTF-8"


def is_utf8(name: str) -> bool:
    """Return whether text can be sent: a byte of a file name that is not UTF-8 cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
