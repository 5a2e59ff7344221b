"""The model: what a server has to remember of uploads, files and folders. No HTTP."""

from collections.abc import Iterator, Mapping

import attrs

from tests.contract.known_uploads import SMALL, KnownUpload


@attrs.define(eq=False)
class Upload(KnownUpload):
    """An open upload and where it goes. `stored` is what storage holds; ETags are without quotes here."""

    place: str = attrs.field(kw_only=True)
    name: str = attrs.field(kw_only=True)
    overwrite: bool = attrs.field(kw_only=True)
    stored: dict[int, bytes] = attrs.field(factory=dict)

    @property
    def needed(self) -> range:
        """The parts that make up the file, as the model sends them."""
        if self.size is None:
            return range(1, 3 if self.part_size <= SMALL else 2)
        return range(1, self.count + 1)

    def whole(self, extra: Mapping[int, str]) -> bytes | None:
        """The file's bytes if the reports, with these added, are enough to complete; else None."""
        reports = {**self.reported, **extra}
        if not reports or sorted(reports) != list(range(1, len(reports) + 1)):
            return None
        if self.stored.keys() - reports.keys():
            return None  # bytes that were sent would be lost in silence
        if any(self.etags.get(number) != etag for number, etag in reports.items()):
            return None
        content = b"".join(self.stored[number] for number in sorted(reports))
        return content if self.size is None or len(content) == self.size else None


@attrs.define(eq=False)
class File:
    """A file, or a folder when `content` is None."""

    id: str
    place: str
    name: str
    content: bytes | None
    metadata: dict[str, str] = attrs.field(factory=dict)
    tags: list[str] = attrs.field(factory=list)


@attrs.define
class Model:
    """Everything that was made. A place is the id of a folder, or "" for the top of the project."""

    uploads: dict[str, Upload] = attrs.field(factory=dict)
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

    def taken(self, upload: Upload) -> bool:
        """True when the name has gone to a file since, and may not be taken from it."""
        other = self.named(upload.place, upload.name)
        return other is not None and (other.content is None or not upload.overwrite)

    def end(self, upload: Upload) -> None:
        del self.uploads[upload.id]
        self.ended.append(upload.id)

    def completed(self, upload: Upload, file_id: str, content: bytes) -> File:
        """The upload has become a file; one of the same name makes way."""
        self.end(upload)
        old = self.named(upload.place, upload.name)
        if old is not None:
            self.delete(old)
        file = self.files[file_id] = File(file_id, upload.place, upload.name, content)
        return file

    def delete(self, file: File) -> None:
        del self.files[file.id]
        self.deleted.append(file.id)
