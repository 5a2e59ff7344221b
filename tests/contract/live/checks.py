"""One walk through every operation, on nothing but what the visit made itself."""

from collections.abc import Callable, Iterator

from tests.contract import codes
from tests.contract.client import ApiClient
from tests.contract.findings import Outcome
from tests.contract.known_uploads import KnownUploads
from tests.contract.model import asserts

Step = Callable[[], None]


class Walk:
    """Steps in their order; each is a claim of its own, and the next is taken whatever became of it."""

    def __init__(self, api: ApiClient, uploads: KnownUploads, home: str) -> None:
        self.api, self.uploads, self.home = api, uploads, home

    def take(self, outcome: Outcome) -> None:
        for step in self.steps():
            with outcome.claim(" ".join((step.__doc__ or "").split()), self.api.trace):
                step()

    def steps(self) -> Iterator[Step]:
        yield from (self.rights, self.start_and_look, self.report, self.refusals, self.complete_and_read)
        yield from (self.names, self.after_the_end, self.lists, self.edits, self.errors)

    def start(self, size: int = 11) -> None:
        body = {"parent": self.home, "name": self.uploads.next_name(), "size": size}
        answer = self.api.call("startUpload", body=body).expect(200)
        self.known = self.uploads.note_started(body, answer)

    def rights(self) -> None:
        """The project is there, and the rate limit can be asked for."""
        owner, _, name = self.uploads.project.partition("/")
        self.api.call("getProject", project_owner=owner, project_name=name).expect(200)
        self.api.call("getRateLimit").expect(200)

    def start_and_look(self) -> None:
        """An upload that was started can be looked at and is listed."""
        self.start()
        for spelling in ("true", "TRUE", "false"):
            self.api.call("getUpload", upload_id=self.known.id, query={"list_parts": spelling}).expect(200)
        self.api.call("getUpload", upload_id=self.known.id).expect(200)
        listed = self.api.call("listUploads", query={"limit": 100}).expect(200)
        if self.known.id not in {item["upload_id"] for item in listed.json()["items"]}:
            raise listed.broken("listed_uploads", "an open upload is not on the first page of 100")

    def report(self) -> None:
        """A part that was put can be reported, alone and in a list, and is then listed."""
        self.uploads.put(self.known, 1)
        report = self.known.report(1)
        self.api.call("reportUploadedPart", upload_id=self.known.id, body=report).expect(200)
        self.api.call("reportUploadedParts", upload_id=self.known.id, body={"parts": [report]}).expect(200)
        answer = self.api.call("getUpload", upload_id=self.known.id, query={"list_parts": True}).expect(200)
        asserts.same(answer, "uploaded_parts_count", answer.json()["uploaded_parts_count"], 1)

    def refusals(self) -> None:
        """What cannot be is refused: a part number beyond the last, a report without a body, another media type."""
        upload_id = self.known.id
        self.api.call("getPartUrl", upload_id=upload_id, part_number=10001).expect(400)
        self.api.call("reportUploadedParts", upload_id=upload_id, body={}).expect(400)
        path = f"/upload/multipart/{upload_id}/part"
        self.api.send("POST", path, data=b"{}", headers={"Content-Type": "text/plain"}).expect(415)
        wrong = {"part_number": 1, "response": {"headers": {"ETag": "0" * 32}}}
        self.api.call("completeUpload", upload_id=upload_id, body={"parts": [wrong]}).expect(409)

    def complete_and_read(self) -> None:
        """A completed upload is a file with the very bytes that were put."""
        body = {"parts": [self.known.report(1)]}
        answer = self.api.call("completeUpload", upload_id=self.known.id, body=body).expect(200, 201)
        self.known.ended = True
        self.file: str = answer.json()["id"]
        asserts.same(answer, "completed_size", answer.json()["size"], 11)
        shown = self.api.call("getFile", file_id=self.file).expect(200)
        link = self.api.call("getDownloadInfo", file_id=self.file).expect(200)
        fetched = self.api.fetch(link.field("url"))
        asserts.same(fetched, "file_content", fetched.body, self.known.content(1))
        self.name: str = shown.json()["name"]

    def names(self) -> None:
        """A name that is taken is a conflict, unless it may be overwritten."""
        body = {"parent": self.home, "name": self.name, "size": 3}
        asserts.refusal(self.api.call("startUpload", body=body), 409, codes.NAME_TAKEN)
        answer = self.api.call("startUpload", body=body, query={"overwrite": True}).expect(200)
        self.api.call("abortUpload", upload_id=answer.json()["upload_id"]).expect(204)

    def after_the_end(self) -> None:
        """An upload that has ended is not found."""
        asserts.gone(self.api.call("getUpload", upload_id=self.known.id))
        self.start()
        self.api.call("abortUpload", upload_id=self.known.id).expect(204)
        self.known.ended = True
        asserts.gone(self.api.call("getUpload", upload_id=self.known.id))
        asserts.gone(self.api.call("completeUpload", upload_id=self.known.id, body=None))

    def lists(self) -> None:
        """The pages of a folder add up, by either of the ways to list it."""
        for _ in range(2):
            body = {"parent": self.home, "name": self.uploads.next_name(), "type": "folder"}
            self.api.call("createFolder", body=body).expect(200, 201)
        for operation, arguments in (
            ("listFolder", {"file_id": self.home}),
            ("listFiles", {"query": {"parent": self.home}}),
        ):
            found = asserts.pages(self.api, operation, 2, "id", **arguments)
            assert len(found) == 3, f"{operation}: {len(found)} of the 3 that were made"
        answer = self.api.call("listFiles", query={"parent": self.home, "name": self.name}).expect(200)
        asserts.same(answer, "filter_by_name", [item["id"] for item in answer.json()["items"]], [self.file])

    def edits(self) -> None:
        """Metadata are merged, tags are put in place of the old ones."""
        for metadata in ({"sample_id": "s1"}, {"paired_end": "1"}):
            item = {"id": self.file, "metadata": metadata, "tags": ["contract"]}
            answer = self.api.call("editFiles", body={"items": [item]}).expect(200)
        shown = answer.json()["items"][0].get("resource", {}).get("metadata", {})
        merged = (shown.get("sample_id"), shown.get("paired_end"))
        asserts.same(answer, "metadata_merged", merged, ("s1", "1"))

    def errors(self) -> None:
        """Nobody gets in without a token, a method that is not there is refused, and a deleted file is gone."""
        self.api.call("getRateLimit", token="0" * 32).expect(401)
        self.api.send("PUT", f"/files/{self.home}").expect(405)
        self.api.call("deleteFile", file_id=self.file).expect(204)
        asserts.refusal(self.api.call("getFile", file_id=self.file), 404)
