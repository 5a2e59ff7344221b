"""The uploads and files that the suite made, and the calls that make more of them.

Random ids lead nowhere: a bad body that is sent to an unknown upload is refused for the wrong reason. So most requests
get the id of a real upload, and what became of it is noted here.
"""

import hashlib
import itertools
import json
from typing import Any
from urllib.parse import unquote

import attrs

from tests.contract.answer import Answer, Broken
from tests.contract.client import ApiClient

SMALL = 4096  # a part size that a test may send many parts of
NAME_PREFIX = "contract-"
FAULTY = (ValueError, KeyError, TypeError, AttributeError, Broken)  # an answer lacks what the document declares


def part_report(number: int, etag: str) -> dict[str, Any]:
    return {"part_number": number, "response": {"headers": {"ETag": etag}}}


def upload_calls(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A valid call of each operation on an upload; the last one ends it."""
    return [
        ("getUpload", {}), ("getPartUrl", {"part_number": 1}), ("reportUploadedPart", {"body": report}),
        ("reportUploadedParts", {"body": {"parts": [report]}}), ("completeUpload", {"body": {"parts": [report]}}),
        ("abortUpload", {}),
    ]  # fmt: skip


def bare(etag: object) -> Any:
    """An ETag without the quotes that storage puts round it: a server may keep them or not."""
    return etag.strip('"') if isinstance(etag, str) else etag


def stored_etag(grant: dict[str, Any], answer: Answer) -> str:
    """The bare ETag of bytes that storage took as their part URL says. Raises Broken."""
    codes = [codes for holder in (grant, grant["report"]) if (codes := holder.get("success_codes"))]
    if any(answer.status not in each for each in codes or [[200]]):
        raise answer.broken("put", f"expected a success code of the part URL from storage; it names {codes or [200]}")
    wanted = {name.lower() for name in grant["report"]["headers"]}
    if missing := wanted - answer.headers.keys():
        raise answer.broken("report_headers", f"storage does not send what is to be reported: {sorted(missing)}")
    etag = answer.headers.get("etag", "")
    if etag and "etag" not in wanted:
        raise answer.broken("report_headers", "the part URL does not name the ETag, which a report needs")
    return str(bare(etag))


@attrs.define(eq=False)
class KnownUpload:
    """An upload that the server answered for, and where it goes.

    `stored` has the bytes that were put, `etags` what storage answered, `reported` what the API accepted. ETags are
    without quotes.
    """

    id: str
    size: int | None
    part_size: int
    place: str = ""
    name: str = ""
    overwrite: bool = False
    stored: dict[int, bytes] = attrs.field(factory=dict)
    etags: dict[int, str] = attrs.field(factory=dict)
    reported: dict[int, str | None] = attrs.field(factory=dict)
    ended: bool = False

    @property
    def count(self) -> int:
        """The highest part number; an empty file is one empty part."""
        return 10000 if self.size is None else max(1, -(-self.size // self.part_size))

    @property
    def numbers(self) -> range:
        """The parts that make the whole file. Without a size, any number of parts does."""
        if self.size is None:
            return range(1, 3 if self.part_size <= SMALL else 2)
        return range(1, self.count + 1)

    def length(self, number: int) -> int:
        """The bytes of a part."""
        if self.size is None:
            return 5
        return max(0, min(self.part_size, self.size - (number - 1) * self.part_size))

    def content(self, number: int) -> bytes:
        """The bytes of a part: different for each part of each upload."""
        seed = hashlib.sha256(f"{self.id} {number}".encode()).digest()
        length = self.length(number)
        return (seed * (length // len(seed) + 1))[:length]

    def report(self, number: int) -> dict[str, Any]:
        return part_report(number, self.etags.get(number, ""))

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The reports of all parts that were put."""
        return [self.report(number) for number in sorted(self.etags)]

    def note_report(self, report: dict[str, Any]) -> None:
        """The API accepted this report."""
        headers = {name.lower(): value for name, value in report["response"]["headers"].items()}
        etag = headers.get("etag")
        self.reported[int(report["part_number"])] = bare(etag) if isinstance(etag, str) else None

    def whole(self, extra: dict[int, str]) -> bytes | None:
        """The file's bytes if the reports, with these added, are enough to complete; else None."""
        reports = {**self.reported, **extra}
        if not reports or sorted(reports) != list(range(1, len(reports) + 1)):
            return None
        if self.stored.keys() - reports.keys():
            return None  # bytes that were sent would be lost silently
        if any(self.etags.get(number) != etag for number, etag in reports.items()):
            return None
        content = b"".join(self.stored[number] for number in sorted(reports))
        return content if self.size is None or len(content) == self.size else None


class KnownUploads:
    """Uploads, files and folders by id. New ones go into `place`."""

    def __init__(self, api: ApiClient, project: str, run: str) -> None:
        self.api, self.project, self.run = api, project, run
        self.place = {"project": project}
        self._part_size: int | None = None
        self.clear()

    def learn(self) -> None:
        """Find out the server's part size, before anything depends on it. Raises Broken."""
        probe = self.start(3)
        self.api.call("abortUpload", upload_id=probe.id).expect(204)
        self.clear()

    @property
    def several(self) -> int:
        """The size of a file of three parts if parts are small; of a small file if they are not."""
        small = self._part_size if self._part_size and self._part_size <= SMALL else 7
        return 3 * small - 3

    def clear(self) -> None:
        """Forget everything, as the server does in a reset."""
        self.uploads: dict[str, KnownUpload] = {}
        self.folders: list[str] = []
        self.files: list[str] = []
        self._ids: set[str] = set()
        self._numbers = itertools.count(1)

    def next_name(self) -> str:
        """A name that nothing on the server has, and that shows whose it is."""
        return f"{NAME_PREFIX}{self.run}-{next(self._numbers)}.Bam"

    def fitting_size(self, wanted: int) -> int:
        """A size of at most three parts if parts are small, and of a few bytes if they are not."""
        return wanted % (self.several + 4)

    def start(self, size: int | None = None, **extra: Any) -> KnownUpload:
        """Start an upload in the project. Raises Broken if the server refuses."""
        size = self.several if size is None else size
        place = {} if "parent" in extra else self.place
        body = {**place, "name": self.next_name(), "size": size, **extra}
        return self.note_started(self.api.call("startUpload", body=body).expect(200))

    def note_started(self, answer: Answer) -> KnownUpload:
        """Remember an upload that was started. Raises Broken if the answer is not that of a start."""
        size = json.loads(answer.request.body or b"{}").get("size")
        self._part_size = answer.field("part_size", int)
        upload = KnownUpload(answer.field("upload_id"), None if size is None else int(size), self._part_size)
        return self.uploads.setdefault(upload.id, upload)

    def observe(self, answer: Answer) -> None:
        """Note what an accepted request has changed. Raises an error of FAULTY if the answer lacks what it needs."""
        operation = answer.operation.id if answer.operation else ""
        ended = operation in ("abortUpload", "deleteFile") and answer.status == 404
        if not (200 <= answer.status < 300 or ended):
            return
        steps = [unquote(step) for step in answer.request.path.split("/")]
        upload = self.uploads.get(steps[3]) if len(steps) > 3 else None
        match operation:
            case "startUpload":
                self.note_started(answer)
            case "createFolder":
                self.note_folder(answer.field("id"))
            case "deleteFile":
                self.forget(steps[2])
            case "completeUpload":
                self.note_file(answer.field("id"))
            case "reportUploadedPart" | "reportUploadedParts" if upload is not None:
                body = json.loads(answer.request.body or b"")
                for report in body.get("parts", [body]):
                    upload.note_report(report)
        if upload is not None and operation in ("completeUpload", "abortUpload"):
            upload.ended = True

    def open_upload(self) -> KnownUpload:
        """The newest upload that is still open, or a new one."""
        for upload in reversed(self.uploads.values()):
            if not upload.ended and len(upload.numbers) <= SMALL:
                return upload
        return self.start()

    def put(self, upload: KnownUpload, number: int, grant: dict[str, Any] | None = None) -> str:
        """Put a part's bytes to storage, and remember the ETag."""
        if grant is None:
            grant = self.api.call("getPartUrl", upload_id=upload.id, part_number=number).expect(200).json()
        answer = self.api.put(grant, upload.content(number))
        upload.etags[number] = stored_etag(grant, answer)
        upload.stored[number] = upload.content(number)
        return upload.etags[number]

    def put_all(self, upload: KnownUpload) -> None:
        for number in upload.numbers:
            if number not in upload.etags:
                self.put(upload, number)

    def finish(self, upload: KnownUpload, *, backwards: bool = False) -> dict[str, Any]:
        """Complete an upload with the reports of its parts, the last one first if `backwards`: the file's document."""
        reports = upload.reports[:: -1 if backwards else 1]
        answer = self.api.call("completeUpload", upload_id=upload.id, body={"parts": reports}).expect(200, 201)
        upload.ended = True
        file: dict[str, Any] = answer.json()
        self.note_file(file["id"])
        return file

    def complete(self, size: int) -> dict[str, Any]:
        """Upload a new file: its document."""
        upload = self.start(size)
        self.put_all(upload)
        return self.finish(upload)

    def note_file(self, file_id: str) -> None:
        if file_id not in self.files:
            self.files.append(file_id)
        self._ids.add(file_id)

    def note_folder(self, folder_id: str) -> None:
        if folder_id not in self.folders:
            self.folders.append(folder_id)
        self._ids.add(folder_id)

    def file(self) -> str:
        """The id of a file that is there."""
        return self.files[-1] if self.files else str(self.complete(11)["id"])

    def folder(self) -> str:
        """The id of a folder that is there."""
        return self.folders[-1] if self.folders else self.new_folder()

    def new_folder(self, parent: str | None = None, name: str | None = None) -> str:
        place = self.place if parent is None else {"parent": parent}
        body = {**place, "name": name or self.next_name(), "type": "folder"}
        folder: str = self.api.call("createFolder", body=body).expect(200, 201).field("id")
        self.note_folder(folder)
        return folder

    def tidy(self) -> list[str]:
        """Delete what is left, on a server that others use too. Returns what could not be deleted."""
        left: list[str] = []
        calls: list[tuple[str, dict[str, Any]]] = [
            ("abortUpload", {"upload_id": upload.id}) for upload in self.uploads.values() if not upload.ended
        ]
        calls += [("deleteFile", {"file_id": file_id}) for file_id in (*self.files, *reversed(self.folders))]
        for operation, path in calls:
            try:
                self.api.call(operation, **path).expect(204, 404)
            except Broken as error:
                left.append(f"{operation} {path}: {error.message}")
        self.clear()
        return left

    @property
    def everything(self) -> set[str]:
        """Every id that the server gave, also of what has ended."""
        return self._ids | self.uploads.keys()

    def forget(self, file_id: str) -> None:
        """The server has deleted a file or folder."""
        self.files = [known for known in self.files if known != file_id]
        self.folders = [known for known in self.folders if known != file_id]
