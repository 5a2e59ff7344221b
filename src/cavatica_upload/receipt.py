"""The receipt of an upload: what was uploaded, where to, and what was verified.

Each uploaded file has one JSON file in `receipts/` in the state directory, written atomically. It holds no token and no
signed URL, so it can be given to others.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs

from cavatica_upload.disk import Identity, json_files, private_folder, write_whole
from cavatica_upload.errors import SourceError, reason_of

SCHEMA = "cavatica-upload receipt"
VERSION = 1
MOST_BYTES = 16 * 1024 * 1024  # one of 10,000 parts has 2 MiB
_LEAST = {"size": 0, "part_size": 1, "number": 1}
_MOST = 2**80  # the largest number; the smallest is the one in _LEAST, or -_MOST
_MD5 = re.compile("[0-9a-f]{32}")

Record = TypeVar("Record")


@attrs.frozen
class ReceiptPart:
    """One part in storage: `md5` of the bytes as they were sent (hex), `etag` as storage answered.

    `verified` means that the two are equal. `md5` is None if hashing was switched off. `resumed` marks a part that an
    earlier run sent. `proof` says how the sent bytes were compared with the file: "as sent" (the file was not touched
    between sending and completion), "unchanged since" (the same, over several runs), or "read again" (the file was
    touched, so the part was read again and its MD5 compared).
    """

    number: int
    size: int
    md5: str | None
    etag: str | None
    verified: bool
    resumed: bool = False
    proof: str | None = None


@attrs.frozen
class FileDigest:
    """The digest of the whole file (hex).

    `origin` is "computed" (the file was read once more), "given" by the caller, or "sidecar" (a .md5 file).
    """

    algorithm: Literal["md5", "sha256"]
    value: str
    origin: Literal["computed", "given", "sidecar"]


@attrs.frozen(kw_only=True)
class Receipt:
    """The result of an upload. Sizes are in bytes, times in UTC as ISO 8601 with Z.

    `composite` is the MD5 over the MD5s of the parts, with the number of parts, as in the ETag of an S3 object; None if
    a part has no MD5. `verified` is True if the MD5 of every part equals the ETag from storage, the sizes agree, and
    the file on disk did not change. If not, `not_verified` has the reasons as sentences. `identity` is the file on disk
    when its parts were proved (device, inode, size, times); None for a stream. `path` is where the receipt is stored;
    it is not part of the JSON.
    """

    file_id: str
    name: str
    project: str | None
    parent: str | None
    source: str
    upload_id: str
    size: int
    part_size: int
    parts: tuple[ReceiptPart, ...] = attrs.field(repr=lambda parts: f"<{len(parts)} parts>")
    composite: str | None
    verified: bool
    not_verified: tuple[str, ...] = ()
    digest: FileDigest | None = None
    identity: Identity | None = None
    started: str
    finished: str
    place: str | None = None
    endpoint: str
    contract_version: str
    tool_version: str
    href: str | None = None
    path: Path | None = attrs.field(default=None, eq=False)

    def to_json(self) -> str:
        """Return the receipt as JSON text, ending in a newline."""
        fields = attrs.fields(Receipt)
        document = {"schema": SCHEMA, "version": VERSION}
        document |= attrs.asdict(self, filter=attrs.filters.exclude(fields.parts, fields.path))
        head = json.dumps(document, indent=2, ensure_ascii=False).removesuffix("\n}")
        # A line for each part: a receipt of 10,000 parts stays readable, and `diff` works on it.
        parts = ",\n".join("    " + json.dumps(attrs.asdict(part)) for part in self.parts)
        text = f'{head},\n  "parts": [\n{parts}\n  ]\n}}\n'
        return text.encode("utf-8", "backslashreplace").decode()  # a file name may have bytes that are not UTF-8

    @classmethod
    def from_json(cls, text: str | bytes) -> "Receipt":
        """Read a receipt from JSON text; raises SourceError if the text is not a receipt, or of a later version."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SourceError("This is not a receipt: it is not JSON.") from error
        if not isinstance(document, dict) or document.pop("schema", None) != SCHEMA:
            raise SourceError("This is JSON, but not a receipt.", "Give a file that `cavatica receipts` lists.")
        version = document.pop("version", None)
        if type(version) is not int or version < 1:
            raise SourceError(
                f"This receipt is damaged: there is no version {json.dumps(version):.60}.",
                "Use an undamaged copy of it.",
            )
        if version > VERSION:
            raise SourceError(
                f"This receipt has version {version}: a later version of this program is needed.",
                "Update cavatica-upload.",
            )
        try:
            document["parts"] = tuple(checked(ReceiptPart, part) for part in document["parts"])
            document["not_verified"] = tuple(map(str, document.get("not_verified") or ()))
            for name, kind in (("digest", FileDigest), ("identity", Identity)):
                if document.get(name) is not None:
                    document[name] = checked(kind, document[name])
            document.pop("path", None)
            return checked(cls, document)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SourceError(f"This receipt is incomplete or damaged: {error}.") from error


def checked(kind: type[Record], document: dict[str, Any]) -> Record:
    """Return a record with the fields of a JSON object, which may be missing or anything.

    Raises TypeError, AttributeError or ValueError.
    """
    known = {field.name: field for field in attrs.fields(kind)}  # type: ignore[arg-type]
    fields = {name: value for name, value in document.items() if name in known}
    for name, value in fields.items():
        if not _is_possible(known[name], value):
            raise ValueError(f"{name} is {value!r:.60}")
    return kind(**fields)


def _is_possible(field: "attrs.Attribute[Any]", value: object) -> bool:
    """Return whether a field can have this value."""
    kind: Any = field.type
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if not isinstance(value, tuple if get_origin(kind) is tuple else kind):
        return False
    if isinstance(value, str):
        os.fsencode(value)  # raises ValueError if it cannot be the name of a file
        return "\0" not in value and (field.name != "md5" or _MD5.fullmatch(value) is not None)
    if isinstance(value, bool):
        return kind is bool
    return not isinstance(value, int) or _LEAST.get(field.name, -_MOST) <= value <= _MOST


def composite(md5s: Iterable[str]) -> str:
    """Return the MD5 over the MD5s (hex) of the parts, a dash, and their number: what S3 calls the object's ETag."""
    digests = [bytes.fromhex(part) for part in md5s]
    return f"{md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def letters_of(name: str) -> str:
    """Return the ASCII letters and digits of a name, with “_” for everything between them."""
    return re.sub("[^A-Za-z0-9]+", "_", name)


def write(receipt: Receipt, folder: Path) -> Receipt:
    """Write the receipt to `folder`, atomically even after a power cut; return it with its path.

    Raises OSError.
    """
    private_folder(folder)
    stamp = receipt.finished.replace(":", "").replace("-", "")
    letters = letters_of(receipt.name)[:80]  # by them the receipt is found
    name = re.sub("[^A-Za-z0-9._-]+", "_", receipt.name)[:80]
    path = folder / (
        f"{stamp}-{name if letters_of(name) == letters else letters}-{letters_of(receipt.file_id)[:40]}.json"
    )
    write_whole(path, receipt.to_json())
    return attrs.evolve(receipt, path=path)


def read(path: Path) -> Receipt:
    """Read a receipt; raises SourceError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SourceError(f"The receipt {path} cannot be read: {reason_of(error)}.", "Check the path.") from error
    if len(content) > MOST_BYTES:
        raise SourceError(f"{path} is not a receipt: it is too large.", "Check the path.")
    try:
        return attrs.evolve(Receipt.from_json(content), path=path)
    except SourceError as error:
        raise SourceError(f"{path}: {error.message}", error.hint) from error


def receipts(folder: Path, skip: Callable[[SourceError], object] = lambda _error: None) -> Iterator[Receipt]:
    """Yield the receipts in `folder`, the oldest first; `skip` gets why another file is not read as one."""
    for path in json_files(folder):
        try:
            yield read(path)
        except SourceError as error:
            skip(error)
