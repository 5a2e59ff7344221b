"""The moves of files and folders, added to those of uploads."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.contract import codes
from tests.contract.model import looks
from tests.contract.model.machine import PICK
from tests.contract.model.misuse import LivesAndMisuse
from tests.contract.model.world import File

WORDS = st.dictionaries(
    st.sampled_from(("sample_id", "paired_end", "Größe", "note")),
    st.one_of(st.none(), st.sampled_from(("1", "", "sample-07", "é" * 10))),
    max_size=3,
)


class LivesAndFiles(LivesAndMisuse):
    """All moves."""

    def any_files(self) -> bool:
        return bool(self.world.plain_files)

    def file(self, pick: int) -> File:
        files = self.world.plain_files
        return files[-1 - pick % len(files)]

    @rule(where=PICK, old_name=st.sampled_from((False, False, True)))
    def make_folder(self, where: int, old_name: bool) -> None:
        stage, world = self.stage, self.world
        place = world.places[where % len(world.places)]
        names = [known.name for known in world.at(place)]
        name = names[where % len(names)] if old_name and names else stage.name()
        body = {"name": name, "type": "folder", **self.stage.destination(place)}
        answer = stage.wire.call("createFolder", body=body)
        if world.named(place, name) is not None:
            looks.refusal(answer, 409, {5003, 5030})
            self.reached("folder conflicts")
            return
        made = answer.expect(201).json()
        looks.same(answer, "folder_name", made["name"], name)
        world.files[made["id"]] = File(made["id"], place, name, None)
        self.reached("folder made")

    @precondition(any_files)
    @rule(pick=PICK)
    def look_at_file(self, pick: int) -> None:
        known = self.file(pick)
        looks.file(self.stage.wire, known)
        looks.content(self.stage.wire, known)

    @rule(where=PICK, limit=st.integers(1, 4))
    def list_place(self, where: int, limit: int) -> None:
        place = self.world.places[where % len(self.world.places)]
        stage = self.stage
        looks.place(stage.wire, self.world, place, stage.destination(place), limit, alone=stage.target.own)

    @precondition(lambda self: self.world.files)
    @rule(pick=PICK)
    def find_by_name(self, pick: int) -> None:
        known = list(self.world.files.values())[-1 - pick % len(self.world.files)]
        query = {**self.stage.destination(known.place), "name": known.name}
        answer = self.stage.wire.call("listFiles", query=query).expect(200)
        looks.same(answer, "found_by_name", [item["id"] for item in answer.json()["items"]], [known.id])

    @precondition(any_files)
    @rule(pick=PICK, words=WORDS, tags=st.one_of(st.none(), st.lists(st.sampled_from(("pilot", "x y")), max_size=2)))
    def edit(self, pick: int, words: dict[str, str | None], tags: list[str] | None) -> None:
        known = self.file(pick)
        item = {"id": known.id, "metadata": words, **({} if tags is None else {"tags": tags})}
        unknown = [{"id": "0" * 24}] if self.stage.target.own else []
        answer = self.stage.wire.call("editFiles", body={"items": [item, *unknown]}).expect(200)
        outcomes = answer.json()["items"]
        right = [["resource"], ["error"]][: 1 + len(unknown)]
        looks.same(answer, "outcomes", [sorted(outcome) for outcome in outcomes], right)
        if unknown:
            looks.same(answer, "outcome_error", outcomes[1]["error"].get("status"), 404)
        merged = {**known.metadata, **words}
        known.metadata = {key: value for key, value in merged.items() if value is not None}
        known.tags = known.tags if tags is None else tags
        looks.file(self.stage.wire, known)
        self.reached("metadata merged")

    @precondition(any_files)
    @rule(pick=PICK)
    def rename(self, pick: int) -> None:
        """To the name of a neighbour, which is refused, and to a new one."""
        known = self.file(pick)
        taken = [other.name for other in self.world.at(known.place) if other is not known][:1]
        for name in (*taken, self.stage.name()):
            answer = self.stage.wire.call("editFiles", body={"items": [{"id": known.id, "name": name}]}).expect(200)
            outcome = answer.json()["items"][0]
            if name in taken:
                looks.same(answer, "rename_conflict", outcome.get("error", {}).get("status"), 409)
                looks.same(answer, "rename_code", outcome["error"].get("code") in codes.NAME_TAKEN, True)
                self.reached("rename conflicts")
            else:
                looks.same(answer, "renamed", outcome.get("resource", {}).get("name"), name)
                known.name = name
                self.reached("file renamed")
            looks.file(self.stage.wire, known)

    @rule(where=PICK)
    def full_folder(self, where: int) -> None:
        """A folder in a folder: the outer one stays as long as it is full."""
        self.make_folder(where, old_name=False)
        outer = self.world.folders[-1]
        name = self.stage.name()
        answer = self.stage.wire.call("createFolder", body={"name": name, "type": "folder", "parent": outer.id})
        inner = answer.expect(201).json()["id"]
        self.world.files[inner] = File(inner, outer.id, name, None)
        looks.refusal(self.stage.wire.call("deleteFile", file_id=outer.id), 409)
        again = self.stage.wire.call("createFolder", body={"name": name, "type": "folder", "parent": outer.id})
        looks.refusal(again, 409, {5003, 5030})
        self.reached("folder kept while full")
        self.reached("folder conflicts")

    @precondition(lambda self: self.world.files)
    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        known = list(self.world.files.values())[-1 - pick % len(self.world.files)]
        answer = self.stage.wire.call("deleteFile", file_id=known.id)
        if known.content is None and any(self.world.at(known.id)):
            looks.refusal(answer, 409)
            self.reached("folder kept while full")
            return
        if known.content is None and any(upload.place == known.id for upload in self.world.uploads.values()):
            # Nothing says what becomes of uploads into a folder that is deleted: leave that question alone.
            answer.expect(204, 409)
            if answer.status == 204:
                self.world.delete(known)
                for upload in [each for each in self.world.uploads.values() if each.place == known.id]:
                    self.stage.wire.call("abortUpload", upload_id=upload.id).expect(204, 404)
                    self.world.end(upload)
            return
        answer.expect(204)
        self.world.delete(known)
        self.reached("file deleted")

    @precondition(lambda self: self.world.deleted)
    @rule(pick=PICK)
    def use_deleted(self, pick: int) -> None:
        file_id = self.world.deleted[-1 - pick % len(self.world.deleted)]
        for operation in ("getFile", "getDownloadInfo", "deleteFile", "listFolder"):
            looks.refusal(self.stage.wire.call(operation, file_id=file_id), 404)
        self.reached("deleted file used")
