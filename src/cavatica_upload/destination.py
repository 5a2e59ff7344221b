"""Where files go: a project or a folder, below it a path of folders; the names and metadata that the platform takes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import attrs

from cavatica_upload.errors import UsageError, check_kind

LONGEST_NAME = 255  # characters; docs.cavatica.org, Initialize a multipart upload
MOST_FIELDS = 1000  # docs.cavatica.org, Metadata on CAVATICA, as the next two
LONGEST_KEY = 100  # bytes of UTF-8
LONGEST_VALUE = 300  # bytes of UTF-8
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
        check_kind(str | None, "text", project=self.project, parent=self.parent)
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
            raise _no_folder_id(self.parent)

    def __str__(self) -> str:
        return self.project if self.project is not None else f"folder {self.parent}"


def _no_folder_id(text: str | None) -> UsageError:
    return UsageError(
        f"{text!r} is not the ID of a folder.",
        "A folder's ID is the 24 characters at the end of the address of its page.",
    )


def destination_of(value: Destination | str) -> Destination:
    """Return a destination, which may be given as "owner/name" or as the ID of a folder; raises UsageError."""
    if isinstance(value, Destination):
        return value
    check_kind(str, "a Destination or text", destination=value)
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
                "For example --project owner/name or --project owner/name/folder; --parent takes the ID of a folder.",
            )
        if project is None:
            if not re.fullmatch(r"[0-9A-Fa-f]{24}", str(parent)):
                raise _no_folder_id(parent)
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


def name_problem(name: str, kind: str = "file") -> str | None:
    """Return what is wrong with the name of a file (docs.cavatica.org, Initialize a multipart upload); None if nothing.

    A folder's may not begin with two underscores (docs.cavatica.org, Create a folder).
    """
    if not name:
        return "it has no name"
    if name in (".", "..") or "/" in name:
        return f"{name!r} cannot be the name of a {kind}"
    if kind == "folder" and name.startswith("__"):
        return "a folder on the platform cannot have a name that begins with “__”"
    if len(name) > LONGEST_NAME:
        return f"its name has {len(name)} characters, and {LONGEST_NAME} are allowed"
    return None if is_utf8(name) else "its name is not valid UTF-8"


def folder_problem(name: str) -> str | None:
    """Return what is wrong with the name of a folder, None if nothing."""
    return name_problem(name, "folder")


def is_utf8(name: str) -> bool:
    """Return whether text can be sent: a byte of a file name that is not UTF-8 cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def metadata_problems(metadata: Mapping[Any, object]) -> Iterator[str]:
    """Yield a sentence for each thing that the platform would refuse in the metadata of one file."""
    if len(metadata) > MOST_FIELDS:
        yield f"there are {len(metadata)} metadata fields, and {MOST_FIELDS} are allowed."
    for key, value in metadata.items():
        if not isinstance(key, str):
            yield f"the name of the metadata field {key!r} is not text."
            continue
        if not key:
            yield "a metadata field has no name."
        elif not is_utf8(key):
            yield f"the metadata field {key!r} has a name that is not valid UTF-8."
        elif any(mark in key for mark in ".$"):
            yield f"the metadata field {key!r} has a “.” or “$” in its name, which is not allowed."
        elif _length(key) > LONGEST_KEY:
            yield f"the metadata field {key[:20] + '…'!r} has a name of {_length(key)} bytes, above {LONGEST_KEY}."
        if not isinstance(value, str):
            yield f"the value of the metadata field {key!r} is not text."
        elif not is_utf8(value):
            yield f"the value of the metadata field {key!r} is not valid UTF-8."
        elif _length(value) > LONGEST_VALUE:
            yield f"the value of the metadata field {key!r} has {_length(value)} bytes, {LONGEST_VALUE} are allowed."


def tag_problems(tags: Iterable[object]) -> Iterator[str]:
    """Yield a sentence for each tag that cannot be one."""
    for tag in tags:
        if not isinstance(tag, str):
            yield f"the tag {tag!r} is not text."
        elif not tag.strip():
            yield "a tag is empty."
        elif not is_utf8(tag):
            yield f"the tag {tag!r} is not valid UTF-8."
        elif _length(tag) > LONGEST_VALUE:
            yield f"the tag {tag[:20] + '…'!r} has {_length(tag)} bytes, {LONGEST_VALUE} are allowed."


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
