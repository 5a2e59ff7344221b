"""The moves with files and folders, and those that a server must refuse, added to those with uploads."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.contract import rules
from tests.contract.known_uploads import part_report, upload_calls
from tests.contract.model import asserts
from tests.contract.model.machine_uploads import PICK, Uploads
from tests.contract.model.model import File

WORDS = st.dictionaries(
    st.sampled_from(("sample_id", "paired_end", "Größe", "note")),
    st.one_of(st.none(), st.sampled_from(("1", "", "sample-07", "é" * 10))),
    max_size=3,
)


class UploadsAndMisuse(Uploads):
    """Moves that a server must refuse, added to those with uploads."""

    @precondition(Uploads.any_uploads)
    @rule(pick=PICK, bad=st.sampled_from(("0", "-1", "10001", "1.5", "one", "2147483648", "%31e0")))
    def bad_number(self, pick: int, bad: str) -> None:
        known = self.upload(pick)
        asserts.refusal(self.api.send("GET", f"/upload/multipart/{known.id}/part/{bad}"), 400)
        if known.count < 10000:
            beyond = known.count + 1
            answer = self.api.call("getPartUrl", upload_id=known.id, part_number=beyond)
            asserts.refusal(answer, 400, rules.BAD_PART_NUMBER)
            report = part_report(beyond, "d41d8cd98f00b204e9800998ecf8427e")
            answer = self.api.call("reportUploadedPart", upload_id=known.id, body=report)
            asserts.refusal(answer, 400, rules.BAD_PART_NUMBER)
        self.reached("bad part number")

    @precondition(lambda self: self.model.ended)
    @rule(pick=PICK, move=st.integers(0, 5))
    def use_ended(self, pick: int, move: int) -> None:
        upload_id = self.model.ended[-1 - pick % len(self.model.ended)]
        operation, arguments = upload_calls(part_report(1, "5" * 32))[move]
        asserts.gone(self.api.call(operation, upload_id=upload_id, **arguments))
        self.reached("ended upload used")

    @precondition(lambda self: self.model.uploads and self.context.stranger is not None)
    @rule(pick=PICK)
    def stranger(self, pick: int) -> None:
        known, api = self.upload(pick), self.context.stranger
        assert api is not None
        for operation, arguments in upload_calls(part_report(1, "5" * 32)):
            asserts.refusal(api.call(operation, upload_id=known.id, **arguments), (403, 404))
        for item in api.call("listUploads", query={"limit": 100}).expect(200).json()["items"]:
            asserts.same(api.call("getRateLimit"), "stranger_list", item["upload_id"] == known.id, False)
        self.reached("stranger kept out")

    @precondition(Uploads.any_uploads)
    @rule(pick=PICK, odd=st.sampled_from(("yes", "1", "on", "0", "", "truee", "null")))
    def odd_boolean(self, pick: int, odd: str) -> None:
        known = self.upload(pick)
        asserts.refusal(self.api.call("getUpload", upload_id=known.id, query={"list_parts": odd}), 400)
        self.reached("odd boolean refused")


class UploadsAndFiles(UploadsAndMisuse):
    """All moves."""

    def any_files(self) -> bool:
        return bool(self.model.plain_files)

    def file(self, pick: int) -> File:
        files = self.model.plain_files
        return files[-1 - pick % len(files)]

    @rule(where=PICK, old_name=st.sampled_from((False, False, True)))
    def make_folder(self, where: int, old_name: bool) -> None:
        model = self.model
        place, name = self.place_and_name(where, old_name=old_name)
        body = {"name": name, "type": "folder", **self.context.destination(place)}
        answer = self.api.call("createFolder", body=body)
        if model.named(place, name) is not None:
            asserts.refusal(answer, 409, {5003, 5030})
            self.reached("folder conflicts")
            return
        made = answer.expect(200, 201).json()
        asserts.same(answer, "folder_name", made["name"], name)
        model.files[made["id"]] = File(made["id"], place, name, None)
        self.reached("folder made")

    @precondition(any_files)
    @rule(pick=PICK)
    def look_at_file(self, pick: int) -> None:
        known = self.file(pick)
        asserts.file(self.api, known)
        asserts.content(self.api, known)

    @rule(where=PICK, limit=st.integers(1, 4))
    def list_place(self, where: int, limit: int) -> None:
        place = self.model.places[where % len(self.model.places)]
        destination = self.context.destination(place)
        asserts.place(self.api, self.model, place, destination, limit, alone=self.context.target.own)

    @precondition(lambda self: self.model.files)
    @rule(pick=PICK)
    def find_by_name(self, pick: int) -> None:
        known = list(self.model.files.values())[-1 - pick % len(self.model.files)]
        query = {**self.context.destination(known.place), "name": known.name}
        answer = self.api.call("listFiles", query=query).expect(200)
        asserts.same(answer, "found_by_name", [item["id"] for item in answer.json()["items"]], [known.id])

    @precondition(any_files)
    @rule(pick=PICK, words=WORDS, tags=st.one_of(st.none(), st.lists(st.sampled_from(("pilot", "x y")), max_size=2)))
    def edit(self, pick: int, words: dict[str, str | None], tags: list[str] | None) -> None:
        known = self.file(pick)
        item = {"id": known.id, "metadata": words, **({} if tags is None else {"tags": tags})}
        unknown = [{"id": "0" * 24}] if self.context.target.own else []
        others = [{"id": each.id} for each in self.model.plain_files if each is not known][:1]
        answer = self.api.call("editFiles", body={"items": [*unknown, item, *others]}).expect(200)
        outcomes = answer.json()["items"]
        right = [*(None for _ in unknown), known.id, *(other["id"] for other in others)]
        asserts.same(answer, "outcomes", [outcome.get("resource", {}).get("id") for outcome in outcomes], right)
        if unknown:
            asserts.same(answer, "outcome_error", outcomes[0]["error"].get("status"), 404)
        merged = {**known.metadata, **words}
        known.metadata = {key: value for key, value in merged.items() if value is not None}
        known.tags = known.tags if tags is None else tags
        asserts.file(self.api, known)
        self.reached("metadata merged")

    @precondition(any_files)
    @rule(pick=PICK)
    def rename(self, pick: int) -> None:
        """To the name of another file in the folder, which is refused, and to a new name."""
        known = self.file(pick)
        taken = [other.name for other in self.model.at(known.place) if other is not known][:1]
        for name in (*taken, self.context.name()):
            answer = self.api.call("editFiles", body={"items": [{"id": known.id, "name": name}]}).expect(200)
            outcome = answer.json()["items"][0]
            if name in taken:
                asserts.same(answer, "rename_conflict", outcome.get("error", {}).get("status"), 409)
                asserts.same(answer, "rename_code", outcome["error"].get("code") in rules.NAME_TAKEN, True)
                self.reached("rename conflicts")
            else:
                asserts.same(answer, "renamed", outcome.get("resource", {}).get("name"), name)
                known.name = name
                self.reached("file renamed")
            asserts.file(self.api, known)

    @rule(where=PICK)
    def full_folder(self, where: int) -> None:
        """A folder in a folder: the outer one cannot be deleted while it is not empty."""
        self.make_folder(where, old_name=False)
        outer = self.model.folders[-1]
        name = self.context.name()
        answer = self.api.call("createFolder", body={"name": name, "type": "folder", "parent": outer.id})
        inner = answer.expect(200, 201).json()["id"]
        self.model.files[inner] = File(inner, outer.id, name, None)
        asserts.refusal(self.api.call("deleteFile", file_id=outer.id), 409)
        again = self.api.call("createFolder", body={"name": name, "type": "folder", "parent": outer.id})
        asserts.refusal(again, 409, {5003, 5030})
        self.reached("folder kept while full")
        self.reached("folder conflicts")

    @precondition(lambda self: self.model.files)
    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        known = list(self.model.files.values())[-1 - pick % len(self.model.files)]
        answer = self.api.call("deleteFile", file_id=known.id)
        if known.content is None and any(self.model.at(known.id)):
            asserts.refusal(answer, 409)
            self.reached("folder kept while full")
            return
        if known.content is None and any(upload.place == known.id for upload in self.model.uploads.values()):
            # Nothing says what becomes of uploads into a folder that is deleted: leave that question alone.
            answer.expect(204, 409)
            if answer.status == 204:
                self.model.delete(known)
                for upload in [each for each in self.model.uploads.values() if each.place == known.id]:
                    self.api.call("abortUpload", upload_id=upload.id).expect(204, 404)
                    self.model.end(upload)
            return
        answer.expect(204)
        self.model.delete(known)
        self.reached("file deleted")

    @precondition(lambda self: self.model.deleted)
    @rule(pick=PICK)
    def use_deleted(self, pick: int) -> None:
        file_id = self.model.deleted[-1 - pick % len(self.model.deleted)]
        for operation in ("getFile", "getDownloadInfo", "deleteFile", "listFolder"):
            asserts.refusal(self.api.call(operation, file_id=file_id), 404)
        self.reached("deleted file used")
