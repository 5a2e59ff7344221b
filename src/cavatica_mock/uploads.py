"""The rules of an upload's life. No HTTP: takes documents that fit openapi.yaml, returns records, raises Problem."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from cavatica_mock import errors
from cavatica_mock.blobs import Blobs, PartWriter
from cavatica_mock.errors import Problem
from cavatica_mock.files import Locations
from cavatica_mock.settings import DEFAULT_PART_SIZE, MAX_FILE_SIZE, MAX_PART_SIZE, MAX_PARTS, Settings
from cavatica_mock.store import File, Ids, Part, Piece, Store, Upload, project_uuid

ELSEWHERE: Final = "elsewhere"  # the blob of parts in another storage; no blob has this name


def part_size_for(size: int | None, asked: int | None, smallest: int) -> int:
    """The part size that the server chooses, in bytes.

    The requested size if storage supports it (docs.cavatica.org, Initialize a multipart upload: otherwise the default).
    A file of more than 10,000 parts gets larger parts, of whole MiB. An unknown size counts as 0.
    """
    chosen = asked if asked is not None and smallest <= asked <= MAX_PART_SIZE else DEFAULT_PART_SIZE
    if -(-(size or 0) // chosen) > MAX_PARTS:
        needed = -(-(size or 0) // MAX_PARTS)
        chosen = -(-needed // 2**20) * 2**20
    return chosen


def part_count(size: int | None, part_size: int) -> int:
    """The highest part number that an upload can have. An empty file is one empty part.

    If one byte is left over, the vendor's Python client adds it to the part before and sends an empty last part.
    """
    return MAX_PARTS if size is None else max(1, -(-size // part_size))


def bare(etag: str) -> str:
    """An ETag without its quotes, which some clients keep and others strip."""
    return etag[1:-1] if len(etag) >= 2 and etag[0] == etag[-1] == '"' else etag


def etag_of(headers: Mapping[str, object]) -> str | None:
    """The ETag among reported headers, whose names may be in any case."""
    for name, value in headers.items():
        if name.lower() == "etag" and isinstance(value, str):
            return bare(value)
    return None


@attrs.frozen
class Uploads:
    """The uploads of all users. Another user's upload is unknown, not forbidden."""

    store: Store
    blobs: Blobs
    locations: Locations
    ids: Ids
    settings: Settings

    def start(self, user: str, wanted: Mapping[str, Any], overwrite: bool) -> Upload:
        place = self.locations.destination(wanted.get("project"), wanted.get("parent"))
        self.locations.check_writable(place.project)
        name = wanted["name"]
        # JSON Schema takes 7.0 for an integer.
        size, asked = (None if wanted.get(key) is None else int(wanted[key]) for key in ("size", "part_size"))
        if size is not None and size > MAX_FILE_SIZE:
            raise Problem(errors.UPLOAD_BAD_START, "The limit for a file is 5 TiB.")
        taken = self.store.find_file(place.folder, name)
        if taken is not None and (taken.folder or not overwrite):
            raise Problem(errors.UPLOAD_NAME_TAKEN, "Use another name, or overwrite=true.")
        now = self.settings.clock()
        upload_id = self.ids.upload(self.store.upload)
        upload = Upload(
            id=upload_id,
            user=user,
            project=place.project,
            parent=place.folder,
            name=name,
            size=size,
            part_size=self._part_size(size, asked),
            md5=wanted.get("md5"),
            overwrite=overwrite,
            initiated=now,
            key=f"uploads/{project_uuid(upload_id)}+{name}",
        )
        with self.store.transaction():
            self.locations.make(place, user, now)
            self.store.add_upload(upload)
        return upload

    def _part_size(self, size: int | None, asked: int | None) -> int:
        fixed = self.settings.part_size
        if fixed is not None and part_count(size, fixed) <= MAX_PARTS:
            return fixed
        return part_size_for(size, asked, self.settings.min_part_size)

    def find(self, user: str, upload_id: str) -> Upload:
        upload = self.store.upload(upload_id)
        if upload is None or upload.user != user:
            raise Problem(errors.UPLOAD_UNKNOWN)
        return upload

    def check_number(self, upload: Upload, number: int) -> int:
        highest = part_count(upload.size, upload.part_size)
        if not 1 <= number <= highest:
            raise Problem(errors.PART_NUMBER_BAD, f"This upload has the part numbers 1 to {highest}.")
        return number

    def report(self, upload: Upload, reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Accept part reports, all of them or none. Of several reports of one part the last counts. Returns them."""
        checked = self._checked(upload, reports)
        with self.store.transaction():
            self.store.keep_reports(upload.id, checked)
        return [report for _, report in checked]

    def complete(self, upload: Upload, reports: Sequence[Mapping[str, Any]]) -> File:
        """The file, made of the parts in the order of their numbers.

        `reports` count as if they had been made before. If the completion is refused, nothing changes: these reports
        are not kept either. Raises Problem: 8007 if the file is not whole, 8005 if the name was taken meanwhile.
        """
        extra = dict(self._checked(upload, reports))
        parts = {part.number: part for part in self.store.parts(upload.id)}
        for number, report in extra.items():
            parts[number] = attrs.evolve(parts.get(number, Part(number)), report=report)
        pieces = self._whole_file(upload, sorted(parts.values(), key=lambda part: part.number))
        taken = self.store.find_file(upload.parent, upload.name)
        if taken is not None and (taken.folder or not upload.overwrite):
            raise Problem(errors.UPLOAD_NAME_TAKEN, "It was created after this upload was started.")
        unused: list[str] = []
        now = self.settings.clock()
        size = sum(piece.size for piece in pieces)
        file_id = self.ids.file(self.store.file)
        file = File(file_id, upload.user, upload.project, upload.parent, upload.name, False, size, now, now, {}, ())
        with self.store.transaction():
            if taken is not None:
                # The documentation does not say when the old file is deleted. Here readers always see one of the two.
                unused = [piece.blob for piece in self.store.pieces(taken.id)]
                self.store.remove_file(taken.id)
            self.store.add_file(file, pieces)
            self.store.remove_upload(upload.id)
        self.blobs.remove(unused)
        return file

    def abort(self, upload: Upload) -> None:
        blobs = {part.blob for part in self.store.parts(upload.id) if part.blob is not None}
        with self.store.transaction():
            self.store.remove_upload(upload.id)
        self.blobs.remove(blobs)

    def keep(self, upload_id: str, number: int, incoming: PartWriter, etag: str) -> bool:
        """Keep a part that storage received, in place of an earlier one. False if the upload has ended meanwhile."""
        if self.store.upload(upload_id) is None:
            return False
        before = self.store.part(upload_id, number)
        incoming.keep()
        self.store.keep_part(upload_id, number, incoming.blob, incoming.size, etag)
        if before is not None and before.blob is not None:
            self.blobs.remove([before.blob])
        return True

    def stored(self, upload_id: str, number: int, size: int, etag: str) -> None:
        """Record a part that another storage received. Raises KeyError if there is no such upload."""
        if self.store.upload(upload_id) is None:
            raise KeyError(upload_id)
        self.store.keep_part(upload_id, number, ELSEWHERE, size, etag)

    def _checked(self, upload: Upload, reports: Sequence[Mapping[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
        checked = []
        for report in reports:
            number = self.check_number(upload, int(report["part_number"]))
            if etag_of(report["response"]["headers"]) is None:
                raise Problem(errors.PART_REPORT_BAD, f"The report of part {number} has no ETag.")
            checked.append((number, _normal(report)))
        return checked

    def _whole_file(self, upload: Upload, parts: Sequence[Part]) -> list[Piece]:
        if not parts:
            raise Problem(errors.UPLOAD_INCOMPLETE, "No part has been reported.")
        pieces = []
        for expected, part in enumerate(parts, start=1):
            if part.number != expected:
                raise Problem(errors.UPLOAD_INCOMPLETE, f"Part {expected} is missing.")
            if part.report is None:
                raise Problem(errors.UPLOAD_INCOMPLETE, f"Part {part.number} was sent but not reported.")
            if part.blob is None or part.size is None:
                raise Problem(errors.UPLOAD_INCOMPLETE, f"Part {part.number} was reported but not sent.")
            if etag_of(part.report["response"]["headers"]) != bare(part.etag or ""):
                raise Problem(errors.UPLOAD_INCOMPLETE, f"Storage returned another ETag for part {part.number}.")
            smallest = self.settings.min_part_size if self.settings.part_size is None else 0
            if part.size < smallest and any(later.size for later in parts[part.number :]):
                raise Problem(errors.UPLOAD_INCOMPLETE, f"Part {part.number} is too small; only the last part may be.")
            pieces.append(Piece(part.blob, part.size))
        size = sum(piece.size for piece in pieces)
        if upload.size is not None and size != upload.size:
            raise Problem(errors.UPLOAD_INCOMPLETE, f"The parts have {size} bytes; {upload.size} were declared.")
        return pieces


def _normal(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report as it is kept and shown: the ETag without quotes, as in the vendor's examples."""
    response = dict(report["response"])
    headers = {
        name: bare(value) if name.lower() == "etag" and isinstance(value, str) else value
        for name, value in response["headers"].items()
    }
    return {"part_number": int(report["part_number"]), "response": {**response, "headers": headers}}
