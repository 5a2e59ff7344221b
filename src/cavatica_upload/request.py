"""The request to upload a file, and its outcome."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal, TypeAlias, TypedDict

import attrs

from cavatica_upload.destination import Destination, Target, metadata_problems, name_problem, tag_problems, target_of
from cavatica_upload.disk import Identity, is_regular_file
from cavatica_upload.errors import SizeMismatch, UsageError, check_kind
from cavatica_upload.plan import MAX_FILE_SIZE, count_text, plural
from cavatica_upload.receipt import FileDigest, Receipt

IfExists = Literal["fail", "skip", "overwrite", "rename"]
IfChanged = Literal["refuse", "restart"]
DigestName = Literal["md5", "sha256"]

Field: TypeAlias = "attrs.Attribute[Any]"
Validator: TypeAlias = Callable[[Any, Any, Any], Any]

LONGEST_SIDECAR = 64 * 1024  # bytes that are read of a file of MD5s
_MD5 = re.compile("[0-9A-Fa-f]{32}")


def path_text(value: object) -> str:
    """Return a path as text; raises UsageError if it is not a path."""
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str) and text:
            return text
    raise UsageError(f"{value!r} is not a path.", "Give a str that is not empty, or a pathlib.Path.")


def _bytes(least: int) -> Validator:
    def check(_request: object, field: Field, value: object) -> None:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise UsageError(
                f"{field.name}={value!r} is not a number of bytes.",
                "Give a whole number, such as 64 * 1024**2 for 64 MiB.",
            )

    return check


def _text(_request: object, field: Field, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{field.name}={value!r} is not text.", "Give a str, or leave it out.")


def of_kind(kind: Any, words: str) -> Validator:
    """Return a validator that raises UsageError for a value that is not of a kind, named by `words`."""

    def check(_owner: object, field: Field, value: object) -> None:
        check_kind(kind, words, **{str(field.alias): value})

    return check


FLAG = of_kind(bool, "True or False")


def _source(_request: object, _field: Field, value: object) -> None:
    if not hasattr(value, "read"):
        if not isinstance(value, str | os.PathLike):
            raise UsageError(
                f"Expected a path or a binary file, got {type(value).__name__}.", "Wrap bytes in io.BytesIO."
            )
        path_text(value)


def _metadata(value: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise UsageError(f"metadata={value!r} is not a mapping.", 'Give a dict, such as {"sample_id": "s1"}.')
    _refuse(metadata_problems(value))
    return dict(value)


def _tags(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageError(f"tags={value!r} is not a list of tags.", f"Give a list, such as [{value!r}].")
    tags = tuple(value)
    _refuse(tag_problems(tags))
    return tags


def _refuse(problems: Iterable[str]) -> None:
    text = " ".join(problem[0].upper() + problem[1:] for problem in problems)
    if text:
        raise UsageError(text, "Nothing was uploaded.")


def _one_of(*values: str) -> Validator:
    def check(_request: object, field: Field, value: object) -> None:
        if value not in values:
            raise UsageError(f"{field.name}={value!r} is none of {', '.join(map(repr, values))}.")

    return check


@attrs.frozen(kw_only=True)
class UploadRequest:
    """One file to upload.

    - `source`: a path, a URL that fsspec can open (`https://…` with the extra `remote`; `s3://…` also needs s3fs), or a
      binary stream such as `sys.stdin.buffer`, which needs a `name`.
    - `destination`: a Destination, "owner/name", a path of folders in a project ("owner/name/run-7"; missing folders
      are made), or the ID of a folder.
    - `name`: the name on the platform. Default: the last element of the path.
    - `part_size`: the requested size in bytes; the platform may choose another.
    - `if_exists`: what to do if a file has that name: "fail" (NameTaken), "skip", "overwrite", or "rename" to
      `_1_name`, `_2_name`, … as the platform does. An unchanged file that this machine uploaded before is
      never sent again; its receipt is the outcome.
    - `expect_size` (bytes), `expect_md5` (32 hex digits): if the whole file or stream has another, the upload is not
      completed (SizeMismatch, IntegrityError).
    - `allow_empty`: upload an empty stream. By default it raises SourceError, because its producer may have failed.
    - `md5`: the known MD5 of the whole file (32 hex digits), sent to the platform at the start. By default it is taken
      from a file `FILE.md5` beside the source, if there is one.
    - `digest`: compute a digest of the whole file for the receipt; a file is read once more for it.
    - `changed`: what to do if the file changed since an unfinished upload of it started: "refuse" (FileChanged) or
      "restart" (abort that upload and start a new one).
    - `resume_id`: the ID of an upload that is open on the server and is not in the journal.
    - `wait`: wait if another process is uploading the same file, instead of raising UploadBusy.
    - `metadata`, `tags`: set after the upload. Fields are merged into the metadata of the file.
    - `key`: the name of the file in events. Default: the source as it was given, or `name`.
    - `context`: any object of the caller; it is not used here.
    - `regular`: the source was a regular file when it was checked; a pipe in its place is refused.

    Raises UsageError for invalid values.
    """

    source: str | os.PathLike[str] | BinaryIO = attrs.field(validator=_source)
    target: Target = attrs.field(alias="destination", converter=target_of)
    name: str | None = attrs.field(default=None, validator=_text)
    part_size: int | None = attrs.field(default=None, validator=_bytes(least=1))
    if_exists: IfExists = attrs.field(default="fail", validator=_one_of("fail", "skip", "overwrite", "rename"))
    digest: DigestName | None = attrs.field(default=None, validator=attrs.validators.optional(_one_of("md5", "sha256")))
    md5: str | None = None
    expect_size: int | None = attrs.field(default=None, validator=_bytes(least=0))
    expect_md5: str | None = None
    allow_empty: bool = attrs.field(default=False, validator=FLAG)
    changed: IfChanged = attrs.field(default="refuse", validator=_one_of("refuse", "restart"))
    resume_id: str | None = attrs.field(default=None, validator=_text)
    wait: bool = attrs.field(default=False, validator=FLAG)
    metadata: Mapping[str, str] = attrs.field(factory=dict, converter=_metadata, hash=False)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_tags)
    key: str = attrs.field(default="", validator=_text)
    regular: bool = attrs.field(default=False, validator=FLAG, eq=False, repr=False)
    context: Any = attrs.field(default=None, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.key:
            path = os.fspath(self.source) if isinstance(self.source, str | os.PathLike) else None
            object.__setattr__(self, "key", path or self.name or "stream")
        for md5 in (self.md5, self.expect_md5):
            if md5 is not None and not (isinstance(md5, str) and _MD5.fullmatch(md5)):
                raise UsageError(f"{md5!r} is not an MD5: 32 hexadecimal digits are needed.")
        if self.md5 and self.expect_md5 and self.md5.lower() != self.expect_md5.lower():
            raise UsageError("md5 and expect_md5 are different.", "Give one of them.")
        if self.expect_size is not None and self.expect_size > MAX_FILE_SIZE:
            raise UsageError(f"A file of {self.expect_size:,} bytes is not possible: 0 to 5 TiB.")
        if self.expect_md5 is not None and self.digest is None:
            object.__setattr__(self, "digest", "md5")
        if self.expect_md5 is not None and self.digest != "md5":
            raise UsageError(
                f"An expected MD5 cannot be combined with the digest {self.digest}.", "Leave the digest out."
            )

    @property
    def destination(self) -> Destination:
        """The project or folder that the file goes to; `folder` is relative to it."""
        return self.target.destination

    @property
    def folder(self) -> str:
        """The path of folders below `destination`; empty if there is none, or after they were found."""
        return self.target.folder

    @property
    def may_be_there(self) -> bool:
        """Whether a receipt of an earlier run can stand for the upload. An expected MD5 has to be checked anew."""
        return not (self.resume_id or self.expect_md5)

    def check_size(
        self, size: int | None, hint: str = "Nothing was uploaded. Check the file and the expected size."
    ) -> None:
        """Raise SizeMismatch if the size of the source (None: not known yet) is not the expected one."""
        if self.expect_size is not None and size is not None and self.expect_size != size:
            raise SizeMismatch(
                f"{self.key} has {count_text(size, 'byte')}, but {self.expect_size:,} "
                f"{plural(self.expect_size, 'was', 'were')} expected.",
                hint,
                expected=self.expect_size,
                got=size,
            )

    def target_name(self, source_name: str | None) -> str:
        """Return the name on the platform; raises UsageError if there is none, or if it is invalid."""
        name = self.name if self.name is not None else source_name
        if not name:
            raise UsageError("A stream needs a name on the platform.", "Give one with --name.")
        problem = name_problem(name)
        if problem:
            raise UsageError(f"{name!r} cannot be uploaded under this name: {problem}.", "Give another with --name.")
        return name


class UploadOptions(TypedDict, total=False):
    """The keyword arguments of `Uploader.upload()` except `if_exists`: fields of UploadRequest."""

    name: str | None
    part_size: int | None
    digest: DigestName | None
    md5: str | None
    expect_size: int | None
    expect_md5: str | None
    allow_empty: bool
    changed: IfChanged
    resume_id: str | None
    wait: bool
    metadata: Mapping[str, str]
    tags: Sequence[str]
    key: str


@attrs.frozen
class FileEdit:
    """Metadata and tags to set on a file: fields are merged into its metadata; `file` names it in messages."""

    file_id: str
    file: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    tags: tuple[str, ...] = ()


@attrs.frozen
class Outcome:
    """How an upload ended: with a receipt, with an error, or skipped for a reason (one sentence).

    A file that was skipped because an earlier run uploaded it also has the receipt of that run. If the metadata of an
    uploaded file could not be set, there are a receipt and an error. `different` means that a skipped file differs from
    the file with its name on the platform.
    """

    request: UploadRequest
    receipt: Receipt | None = None
    error: Exception | None = None
    skipped: str | None = None
    different: bool = False


def sidecar_md5(path: PurePath, text: str) -> str | None:
    """Return the MD5 of `path` from a text in the format of md5sum; None if it lists only other files."""
    for line in text.splitlines():
        first, _, rest = line.strip().removeprefix("\\").partition(" ")
        name = PurePath(rest.strip().removeprefix("*")).name
        if _MD5.fullmatch(first) and name in ("", path.name):
            return first.lower()
    return None


def known_md5(request: UploadRequest, identity: Identity | None) -> FileDigest | None:
    """Return the MD5 of the whole file if it is known: as given, or from a file `FILE.md5` beside it."""
    given = request.md5 or request.expect_md5
    if given is not None:
        return FileDigest("md5", given.lower(), "given")
    if identity is None or not identity.inode:  # not a file on disk
        return None
    path = Path(identity.path)
    beside = path.with_name(path.name + ".md5")
    if not is_regular_file(beside):
        return None
    try:
        with beside.open(encoding="utf-8", errors="replace") as sidecar:
            value = sidecar_md5(path, sidecar.read(LONGEST_SIDECAR))
    except (OSError, ValueError):
        return None
    return FileDigest("md5", value, "sidecar") if value is not None else None
