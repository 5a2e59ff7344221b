"""The moves of files and folders, added to those of uploads."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.contract import codes
from tests.contract.model import asserts
from tests.contract.model.machine_invalid import UploadsAndMisuse
from tests.contract.model.machine_uploads import PICK
from tests.contract.model.model import File

WORDS = st.dictionaries(
    st.sampled_from(("sample_id", "paired_end", "Größe", "note")),
    st.one_of(st.none(), st.sampled_from(("1", "", "sample-07", "é" * 10))),
    max_size=3,
)


class UploadsAndFiles(UploadsAndMisuse):
    """All moves."""

    def any_files(self) -> bool:
        return bool(self.model.plain_files)

    def file(self, pick: int) -> File:
        files = self.model.plain_files
        return files[-1 - pick % len(files)]

    @rule(where=PICK, old_name=st.sampled_from((False, False, True)))
    def make_folder(self, where: int, old_name: bool) -> None:
        context, model = self.context, self.model
        place = model.places[where % len(model.places)]
        names = [known.name for known in model.at(place)]
        name = names[where % len(names)] if old_name and names else context.name()
        body = {"name": name, "type": "folder", **self.context.destination(place)}
        answer = context.api.call("createFolder", body=body)
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
        asserts.file(self.context.api, known)
        asserts.content(self.context.api, known)

    @rule(where=PICK, limit=st.integers(1, 4))
    def list_place(self, where: int, limit: int) -> None:
        place = self.model.places[where % len(self.model.places)]
        context = self.context
        asserts.place(context.api, self.model, place, context.destination(place), limit, alone=context.target.own)

    @precondition(lambda self: self.model.files)
    @rule(pick=PICK)
    def find_by_name(self, pick: int) -> None:
        known = list(self.model.files.values())[-1 - pick % len(self.model.files)]
        query = {**self.context.destination(known.place), "name": known.name}
        answer = self.context.api.call("listFiles", query=query).expect(200)
        asserts.same(answer, "found_by_name", [item["id"] for item in answer.json()["items"]], [known.id])

    @precondition(any_files)
    @rule(pick=PICK, words=WORDS, tags=st.one_of(st.none(), st.lists(st.sampled_from(("pilot", "x y")), max_size=2)))
    def edit(self, pick: int, words: dict[str, str | None], tags: list[str] | None) -> None:
        known = self.file(pick)
        item = {"id": known.id, "metadata": words, **({} if tags is None else {"tags": tags})}
        unknown = [{"id": "0" * 24}] if self.context.target.own else []
        others = [{"id": each.id} for each in self.model.plain_files if each is not known][:1]
        answer = self.context.api.call("editFiles", body={"items": [item, *others, *unknown]}).expect(200)
        outcomes = answer.json()["items"]
        right = [known.id, *(other["id"] for other in others), *(None for _ in unknown)]
        asserts.same(answer, "outcomes", [outcome.get("resource", {}).get("id") for outcome in outcomes], right)
        if unknown:
            asserts.same(answer, "outcome_error", outcomes[-1]["error"].get("status"), 404)
        merged = {**known.metadata, **words}
        known.metadata = {key: value for key, value in merged.items() if value is not None}
        known.tags = known.tags if tags is None else tags
        asserts.file(self.context.api, known)
        self.reached("metadata merged")

    @precondition(any_files)
    @rule(pick=PICK)
    def rename(self, pick: int) -> None:
        """To the name of a neighbour, which is refused, and to a new one."""
        known = self.file(pick)
        taken = [other.name for other in self.model.at(known.place) if other is not known][:1]
        for name in (*taken, self.context.name()):
            answer = self.context.api.call("editFiles", body={"items": [{"id": known.id, "name": name}]}).expect(200)
            outcome = answer.json()["items"][0]
            if name in taken:
                asserts.same(answer, "rename_conflict", outcome.get("error", {}).get("status"), 409)
                asserts.same(answer, "rename_code", outcome["error"].get("code") in codes.NAME_TAKEN, True)
                self.reached("rename conflicts")
            else:
                asserts.same(answer, "renamed", outcome.get("resource", {}).get("name"), name)
                known.name = name
                self.reached("file renamed")
            asserts.file(self.context.api, known)

    @rule(where=PICK)
    def full_folder(self, where: int) -> None:
        """A folder in a folder: the outer one stays as long as it is full."""
        self.make_folder(where, old_name=False)
        outer = self.model.folders[-1]
        name = self.context.name()
        answer = self.context.api.call("createFolder", body={"name": name, "type": "folder", "parent": outer.id})
        inner = answer.expect(200, 201).json()["id"]
        self.model.files[inner] = File(inner, outer.id, name, None)
        asserts.refusal(self.context.api.call("deleteFile", file_id=outer.id), 409)
        again = self.context.api.call("createFolder", body={"name": name, "type": "folder", "parent": outer.id})
        asserts.refusal(again, 409, {5003, 5030})
        self.reached("folder kept while full")
        self.reached("folder conflicts")

    @precondition(lambda self: self.model.files)
    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        known = list(self.model.files.values())[-1 - pick % len(self.model.files)]
        answer = self.context.api.call("deleteFile", file_id=known.id)
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
                    self.context.api.call("abortUpload", upload_id=upload.id).expect(204, 404)
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
            asserts.refusal(self.context.api.call(operation, file_id=file_id), 404)
        self.reached("deleted file used")
