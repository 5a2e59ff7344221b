"""What a server has to remember of uploads, files and folders, and what a run of the machine shares."""

import itertools
from collections import Counter
from collections.abc import Iterator

import attrs

from tests.contract.answer import Answer
from tests.contract.client import ApiClient
from tests.contract.known_uploads import SMALL, KnownUpload
from tests.contract.server import Target


@attrs.define(eq=False)
class File:
    """A file, or a folder if `content` is None."""

    id: str
    place: str
    name: str
    content: bytes | None
    metadata: dict[str, str] = attrs.field(factory=dict)
    tags: list[str] = attrs.field(factory=list)


@attrs.define
class Model:
    """Everything that was created. A place is the id of a folder, or "" for the top of the project."""

    uploads: dict[str, KnownUpload] = attrs.field(factory=dict)
    files: dict[str, File] = attrs.field(factory=dict)
    ended: list[str] = attrs.field(factory=list)
    deleted: list[str] = attrs.field(factory=list)

    def at(self, place: str) -> Iterator[File]:
        return (file for file in self.files.values() if file.place == place)

    def named(self, place: str, name: str) -> File | None:
        return next((file for file in self.at(place) if file.name == name), None)

    @property
    def folders(self) -> list[File]:
        return [file for file in self.files.values() if file.content is None]

    @property
    def plain_files(self) -> list[File]:
        return [file for file in self.files.values() if file.content is not None]

    @property
    def places(self) -> list[str]:
        return ["", *(folder.id for folder in self.folders)]

    def taken(self, upload: KnownUpload) -> bool:
        """Whether a file has this name and may not be overwritten."""
        other = self.named(upload.place, upload.name)
        return other is not None and (other.content is None or not upload.overwrite)

    def end(self, upload: KnownUpload) -> None:
        del self.uploads[upload.id]
        self.ended.append(upload.id)

    def completed(self, upload: KnownUpload, file_id: str, content: bytes) -> File:
        """The upload has become a file, in place of one with the same name."""
        self.end(upload)
        old = self.named(upload.place, upload.name)
        if old is not None:
            self.delete(old)
        file = self.files[file_id] = File(file_id, upload.place, upload.name, content)
        return file

    def delete(self, file: File) -> None:
        del self.files[file.id]
        self.deleted.append(file.id)


# Every kind of outcome that a run has to reach; otherwise it has proved less than it claims.
REQUIRED = frozenset({
    "started", "started without size", "started in a folder", "start conflicts", "part put", "part put again",
    "bad part number", "reported", "reported many", "many refused whole", "reported many twice", "completed",
    "completed with nothing owed", "completed with what is owed", "completed of several parts", "completed over a file",
    "completed empty", "refused: incomplete", "refused: wrong ETag", "refused: name taken", "aborted",
    "ended upload used", "stranger kept out", "odd boolean refused", "file deleted", "folder made", "folder conflicts",
    "folder kept while full", "metadata merged", "file renamed", "rename conflicts", "deleted file used",
})  # fmt: skip
NEEDS_A_MOCK = frozenset({"started without size"})  # nothing says which parts make such a file
NEEDS_STRANGER = frozenset({"stranger kept out"})
NEEDS_SMALL_PARTS = frozenset({"completed of several parts"})


@attrs.define
class Context:
    """Shared by all examples of one run."""

    target: Target
    api: ApiClient
    stranger: ApiClient | None
    part_size: int
    reached: Counter[str] = attrs.field(factory=Counter)
    home: str = ""  # the folder that stands for the top of the project, where others have things there
    examples: int = 0
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)

    @classmethod
    def on(cls, target: Target, api: ApiClient | None = None, *, home: str = "") -> "Context":
        """Find out the part size of a small file. Raises Broken."""
        api = api or target.api()
        body = {"project": target.project, "name": f"contract-{target.run}-probe", "size": 3}
        answer = api.call("startUpload", body=body).expect(200)
        part_size = answer.field("part_size", int)
        api.call("abortUpload", upload_id=answer.field("upload_id")).expect(204)
        stranger = target.api(token=target.other_token, trace=api.trace) if target.other_token else None
        return cls(target, api, stranger, part_size, home=home)

    def destination(self, place: str) -> dict[str, str]:
        """The project or parent for a request."""
        folder = place or self.home
        return {"parent": folder} if folder else {"project": self.target.project}

    @property
    def small(self) -> bool:
        """Whether parts are small, so that several cost nothing."""
        return self.part_size <= SMALL

    @property
    def required(self) -> frozenset[str]:
        left_out: set[str] = set()
        left_out |= set() if self.stranger else NEEDS_STRANGER
        left_out |= set() if self.small else NEEDS_SMALL_PARTS
        left_out |= set() if self.target.own else NEEDS_A_MOCK
        return REQUIRED - left_out

    def name(self) -> str:
        """A name that shows whose it is and that no other run uses."""
        return f"contract-{self.target.run}-m{next(self._numbers)}"

    def begin(self) -> None:
        """A new example. Our own mock and the numbering restart, so that an example repeats exactly."""
        self.examples += 1
        if self.target.own:
            for api in filter(None, (self.stranger, self.api)):
                api.reset_mock()
            self._numbers = itertools.count()

    def unreached(self) -> list[str]:
        return sorted(self.required - self.reached.keys())

    def close(self) -> None:
        self.api.close()
        if self.stranger:
            self.stranger.close()


def cleaned(answer: Answer) -> None:
    """Demand that something is deleted, now or already."""
    if answer.status not in (204, 404):
        raise answer.broken("clean_up", "expected 204 or 404")
