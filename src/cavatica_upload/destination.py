"""Where files go: a project or a folder, and a path of folders below it. Which names and metadata are possible."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import attrs

from cavatica_upload.errors import UsageError, check_kind

LONGEST_NAME = 255  # characters; docs.cavatica.org, Initialize a multipart upload
MOST_FIELDS = 1000  # docs.cavatica.org, Metadata on CAVATICA, as the next two
LONGEST_KEY = 100  # bytes of UTF-8
LONGEST_VALUE = 300  # bytes of UTF-8
_PROJECT = re.compile(r"(?!\.\.?/)[^\s/?#%\x00-\x1f\x7f]+/(?!\.\.?$)[^\s/?#%\x00-\x1f\x7f]+")
_FOLDER_ID = re.compile(r"[A-Za-z0-9_-]+")
_USUAL_FOLDER_ID = re.compile(r"[0-9A-Fa-f]{24}")
_PAGE = re.compile(r"(?:https?://[^/?#]+|[^/?#]+\.sbgenomics\.com)/u/(?P<project>[^/?#]+/[^/?#]+)(?P<rest>[^?#]*)")
_PROJECT_HINT = "Take owner/name from the address of the project's page."
_FOLDER_HINT = "A folder's ID is the 24 characters at the end of the address of its page."


@attrs.frozen
class Destination:
    """The root of `project` ("owner/short-name"), or the folder with the ID `parent`: one of the two, never both.

    Raises UsageError for neither, both, or a value that cannot be a project or a folder ID
    (docs.cavatica.org, Initialize a multipart upload). `place` is the path of the folder, such as
    "owner/short-name/run-7"; None if it is not known.
    """

    project: str | None = None
    parent: str | None = None
    place: str | None = attrs.field(default=None, eq=False)

    def __attrs_post_init__(self) -> None:
        check_kind(str | None, "text", project=self.project, parent=self.parent)
        if (self.project is None) == (self.parent is None):
            raise UsageError(
                "A destination is a project or a folder, one of the two.",
                "Give the project as owner/name, or the ID of a folder.",
            )
        if self.project is not None and not _PROJECT.fullmatch(self.project):
            raise UsageError(f"{self.project!r} is not a project: it should look like owner/name.", _PROJECT_HINT)
        if not _is_utf8(self.project or ""):
            raise UsageError(f"{self.project!r} is not a project: it is not valid UTF-8.", _PROJECT_HINT)
        if self.parent is not None and not _FOLDER_ID.fullmatch(self.parent):
            raise UsageError(f"{self.parent!r} is not the ID of a folder.", _FOLDER_HINT)

    def __str__(self) -> str:
        return self.project if self.project is not None else f"folder {self.parent}"


def nfc(name: str | None) -> str | None:
    """Return a name in the form in which names are compared: a platform may return the é of a Mac in another form."""
    return None if name is None else unicodedata.normalize("NFC", name)


def destination_of(value: Destination | str) -> Destination:
    """Return a destination, which may be given as "owner/name" or as the ID of a folder; raises UsageError."""
    if isinstance(value, Destination):
        return value
    check_kind(str, "a Destination or text", destination=value)
    return Destination(project=value) if "/" in value else Destination(parent=value)


@attrs.frozen
class Target:
    """A destination that exists, and the path of a folder below it, `""` for none."""

    destination: Destination
    folder: str = ""

    @classmethod
    def parse(cls, project: str | None, parent: str | None) -> "Target":
        """Read --project (`owner/name`, with folders behind it or not, or the address of its page) or --parent.

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
            if not _USUAL_FOLDER_ID.fullmatch(str(parent)):
                raise UsageError(f"{parent!r} is not the ID of a folder.", _FOLDER_HINT)
            return cls(Destination(parent=parent))
        page = _PAGE.fullmatch(project.split("?")[0].split("#")[0])
        if page:
            return cls(Destination(project=_project_of_page(unquote(page["project"]), page["rest"])))
        owner, _, rest = project.removesuffix("/").partition("/")
        name, *folders = rest.split("/")
        destination = Destination(project=f"{owner}/{name}" if rest else owner)
        for folder in folders:
            problem = name_problem(folder, "folder")
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


def target_of(value: Destination | Target | str) -> Target:
    """Return a target, which may be given as "owner/name", with folders behind it, or as the ID of a folder.

    Raises UsageError.
    """
    if isinstance(value, Target):
        return value
    if isinstance(value, Destination):
        return Target(value)
    if not isinstance(value, str):
        raise UsageError(
            f"Expected a destination, got {type(value).__name__}.", "Give “owner/name”, or the ID of a folder."
        )
    if "/" in value:
        return Target.parse(value, None)
    if not _USUAL_FOLDER_ID.fullmatch(value):
        raise UsageError(
            f"{value!r} is not a project: it should look like owner/name. Nor is it the ID of a folder.",
            f"{_PROJECT_HINT} {_FOLDER_HINT}",
        )
    return Target(Destination(parent=value))


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

    That of a folder may not begin with two underscores (docs.cavatica.org, Create a folder).
    """
    if not name:
        return "it has no name"
    if name in (".", "..") or "/" in name:
        return f"{name!r} cannot be the name of a {kind}"
    if kind == "folder" and name.startswith("__"):
        return "a folder on the platform cannot have a name that begins with “__”"
    if len(name) > LONGEST_NAME:
        return f"its name has {len(name)} characters, and {LONGEST_NAME} are allowed"
    return None if _is_utf8(name) else "its name is not valid UTF-8"


def metadata_problems(metadata: Mapping[Any, object]) -> Iterator[str]:
    """Yield a sentence for each thing that the platform would refuse in the metadata of one file."""
    if len(metadata) > MOST_FIELDS:
        yield f"there are {len(metadata)} metadata fields, and {MOST_FIELDS} are allowed."
    for key, value in metadata.items():
        if key == "":
            yield "a metadata field has no name."
        elif isinstance(key, str) and any(mark in key for mark in ".$"):
            yield f"the metadata field {_short(key)} has a “.” or “$” in its name, which is not allowed."
        else:
            yield from _text_problems(f"the name of the metadata field {_short(key)}", key, LONGEST_KEY)
        yield from _text_problems(f"the value of the metadata field {_short(key)}", value, LONGEST_VALUE)


def tag_problems(tags: Iterable[object]) -> Iterator[str]:
    """Yield a sentence for each tag that the platform would refuse."""
    for tag in tags:
        if isinstance(tag, str) and not tag.strip():
            yield "a tag is empty."
        yield from _text_problems(f"the tag {_short(tag)}", tag, LONGEST_VALUE)


def _text_problems(what: str, value: object, longest: int) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{what} is not text."
    elif not _is_utf8(value):
        yield f"{what} is not valid UTF-8."
    elif len(value.encode()) > longest:
        yield f"{what} has {len(value.encode())} bytes, and {longest} are allowed."


def _short(value: object) -> str:
    return repr(f"{value[:20]}…") if isinstance(value, str) and len(value) > 50 else repr(value)


def _is_utf8(text: str) -> bool:
    """Return whether text can be sent: a byte of a file name that is not UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
