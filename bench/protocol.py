"""The API half of the sink: the calls an upload needs, with a delay and a call limit on request."""

import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.shelf import Shelf, Upload, part_md5s
from bench.wire import Request

NOW = "2026-01-01T00:00:00Z"
LATER = "2099-01-01T00:00:00Z"
DEFAULT_PART_SIZE = 32 << 20


class Refused(Exception):
    """An answer that is an error of the platform."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"status": status, "code": code, "message": message, "more_info": ""}


TOO_MANY = (429, Refused(429, 1000, "Rate limit exceeded").body)


@dataclass
class Call:
    """One call: what its path names, and its JSON body."""

    name: str  # an id, or a project's owner/name
    number: int  # of a part
    body: Any


Answer = Callable[[Call], tuple[int, object]]


class CallLimit:
    """So many calls in a window that begins with its first call, as the platform counts them."""

    def __init__(self, calls: int, seconds: float) -> None:
        self.calls, self.seconds = calls, seconds
        self.used, self.ends = 0, 0.0
        self.lock = threading.Lock()

    def take(self, free: bool) -> tuple[bool, dict[str, str]]:
        """Whether one more call is allowed, and the headers that say so."""
        with self.lock:
            now = time.time()
            if now >= self.ends:
                self.used, self.ends = 0, now + self.seconds
            allowed = free or self.used < self.calls
            self.used += allowed and not free
            return allowed, {
                "X-RateLimit-Limit": str(self.calls),
                "X-RateLimit-Remaining": str(self.calls - self.used),
                "X-RateLimit-Reset": str(int(self.ends) + 1),
            }


class Protocol:
    """Answers under `/v2`; strict about ETags at complete unless told to be lenient."""

    def __init__(
        self, shelf: Shelf, storage: str, limit: CallLimit, delay: float, part_size: int | None, lenient: bool
    ) -> None:
        self.shelf, self.storage, self.limit = shelf, storage, limit
        self.delay = delay  # seconds that every call takes
        self.part_size = part_size  # what every upload gets, whatever it asks for
        self.lenient = lenient
        self.base = ""  # set once the port is known
        upload = r"/v2/upload/multipart/(?P<name>[^/]+)"
        routes: list[tuple[str, str, str, Answer]] = [
            ("POST", r"/v2/upload/multipart", "startUpload", self.start_upload),
            ("GET", r"/v2/upload/multipart", "listUploads", self.list_uploads),
            ("GET", upload, "getUpload", self.get_upload),
            ("GET", upload + r"/part/(?P<number>\d+)", "getPartUrl", self.get_part_url),
            ("POST", upload + r"/part/?", "reportUploadedPart", self.report_part),
            ("POST", upload, "reportUploadedParts", self.report_parts),
            ("POST", upload + r"/complete", "completeUpload", self.complete_upload),
            ("DELETE", upload, "abortUpload", self.abort_upload),
            ("GET", r"/v2/files/(?P<name>[^/]+)", "getFile", self.get_file),
            ("GET", r"/v2/files", "listFiles", lambda _call: (200, self.page("files", []))),
            ("GET", r"/v2/projects/(?P<name>.+)", "getProject", self.get_project),
            ("GET", r"/v2/rate_limit", "getRateLimit", self.get_rate_limit),
        ]
        self.routes = [(method, re.compile(path), name, answer) for method, path, name, answer in routes]

    def handle(self, request: Request) -> None:
        """Answer one call, or the harness."""
        body = request.body()
        path = request.path.split("?")[0]
        if path == "/_sink/stats":
            return request.answer_json(200, self.shelf.stats())
        if path == "/_sink/reset":
            self.shelf.reset()
            return request.answer_json(200, {})
        for method, pattern, operation, answer in self.routes:
            match = pattern.fullmatch(path)
            if match and method == request.method:
                named = match.groupdict()
                call = Call(named.get("name", ""), int(named.get("number", 0)), json.loads(body or b"null"))
                return self._answer(request, operation, answer, call)
        return request.answer_json(404, Refused(404, 90003, "Not found").body)

    def _answer(self, request: Request, operation: str, answer: Answer, call: Call) -> None:
        time.sleep(self.delay)
        allowed, headers = self.limit.take(free=operation == "getRateLimit")
        self.shelf.called(operation, refused=not allowed)
        try:
            status, value = answer(call) if allowed else TOO_MANY
        except Refused as refused:
            status, value = refused.status, refused.body
        if status == 204:
            return request.answer(204, headers)
        return request.answer_json(status, value, headers)

    def find(self, call: Call) -> Upload:
        """The open upload that a call is about."""
        upload = self.shelf.uploads.get(call.name)
        if upload is None or upload.state != "open":
            raise Refused(404, 8003, "No such upload")
        return upload

    def start_upload(self, call: Call) -> tuple[int, object]:
        """Open an upload; the ETags of its parts are known once this is answered."""
        part_size = self.part_size or call.body.get("part_size") or DEFAULT_PART_SIZE
        upload = Upload(
            upload_id=secrets.token_hex(16),
            name=call.body["name"],
            project=call.body.get("project") or "bench/bench",
            size=call.body["size"],
            part_size=part_size,
            md5s=part_md5s(self.shelf.source, part_size),
        )
        self.shelf.add(upload)
        return 200, self.described(upload)

    def described(self, upload: Upload) -> dict[str, object]:
        """What is said of an upload at start, in lists and on request."""
        return {
            "href": f"{self.base}/upload/multipart/{upload.upload_id}",
            "upload_id": upload.upload_id,
            "project": upload.project,
            "name": upload.name,
            "size": upload.size,
            "part_size": upload.part_size,
            "parallel_uploads": True,
            "initiated": NOW,
        }

    def page(self, of: str, items: list[dict[str, object]]) -> dict[str, object]:
        """All items, on one page."""
        return {"href": f"{self.base}/{of}", "items": items, "links": []}

    def list_uploads(self, _call: Call) -> tuple[int, object]:
        """Open uploads."""
        items = [self.described(upload) for upload in self.shelf.uploads.values() if upload.state == "open"]
        return 200, self.page("upload/multipart", items)

    def get_upload(self, call: Call) -> tuple[int, object]:
        """One open upload with its reported parts."""
        upload = self.find(call)
        parts = [
            {"part_number": number, "response": {"headers": {"ETag": etag}}}
            for number, etag in sorted(upload.reported.items())
        ]
        return 200, {**self.described(upload), "uploaded_parts_count": len(parts), "parts": parts}

    def get_part_url(self, call: Call) -> tuple[int, object]:
        """Where to put a part."""
        upload = self.find(call)
        return 200, {
            "method": "PUT",
            "url": f"{self.storage}/{upload.upload_id}/{call.number}?Expires=4070908800&Signature=x",
            "expires": LATER,
            "headers": {},
            "success_codes": [200],
            "report": {"success_codes": [200], "headers": ["ETag"]},
        }

    def report_part(self, call: Call) -> tuple[int, object]:
        """Take one report."""
        self.shelf.take_reports(self.find(call), [call.body])
        return 200, call.body

    def report_parts(self, call: Call) -> tuple[int, object]:
        """Take many reports."""
        self.shelf.take_reports(self.find(call), call.body["parts"])
        return 200, {}

    def complete_upload(self, call: Call) -> tuple[int, object]:
        """Take the last reports and make the file."""
        upload = self.find(call)
        self.shelf.take_reports(upload, (call.body or {}).get("parts", []))
        if not (self.lenient or upload.agreed()):
            raise Refused(409, 8007, "Could not complete the upload")
        upload.state = "completed"
        return 201, self.file(upload)

    def abort_upload(self, call: Call) -> tuple[int, object]:
        """Forget an upload."""
        self.find(call).state = "aborted"
        return 204, None

    def file(self, upload: Upload) -> dict[str, object]:
        """What is said of a file."""
        return {
            "href": f"{self.base}/files/{upload.file_id}",
            "path": f"/Projects/bench/{upload.name}",
            "id": upload.file_id,
            "project": upload.project,
            "name": upload.name,
            "type": "file",
            "size": upload.size,
            "created_on": NOW,
            "modified_on": NOW,
        }

    def get_file(self, call: Call) -> tuple[int, object]:
        """A file that was completed."""
        for upload in self.shelf.uploads.values():
            if upload.file_id == call.name and upload.state == "completed":
                storage = {"type": "PLATFORM", "hosted_on_locations": []}
                return 200, {**self.file(upload), "origin": {}, "metadata": {}, "tags": [], "storage": storage}
        raise Refused(404, 5002, "File not found")

    def get_project(self, call: Call) -> tuple[int, object]:
        """Any project is there."""
        return 200, {"href": f"{self.base}/projects/{call.name}", "id": call.name, "name": call.name}

    def get_rate_limit(self, _call: Call) -> tuple[int, object]:
        """What is left of the calls."""
        limit = self.limit
        return 200, {"rate": {"limit": limit.calls, "remaining": limit.calls - limit.used, "reset": int(limit.ends)}}
