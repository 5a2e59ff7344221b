"""What a visit has made and has to take away again."""

import json

from tests.contract.answer import Answer, Broken
from tests.contract.client import ApiClient
from tests.contract.model.asserts import pages


class Cleanup:
    """Open uploads, files and folders, learnt from the answers themselves, so that nothing is forgotten."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.uploads: dict[str, None] = {}
        self.files: dict[str, None] = {}

    def __len__(self) -> int:
        """How many calls it takes to clean up: one for each thing, and some to look whether anything is left."""
        return len(self.uploads) + len(self.files) + 5

    def observe(self, answer: Answer) -> None:
        """Note what an answer says was made or has ended."""
        operation = answer.operation.id if answer.operation else ""
        steps = answer.request.path.split("/")
        if operation == "startUpload" and answer.status == 200:
            self.uploads.update(dict.fromkeys(self._ids(answer, "upload_id")))
        elif operation == "completeUpload" and answer.status in (200, 201):
            self.uploads.pop(steps[3], None)
            self.files.update(dict.fromkeys(self._ids(answer, "id")))
        elif operation == "abortUpload" and answer.status in (204, 404):
            self.uploads.pop(steps[3], None)
        elif operation == "createFolder" and answer.status in (200, 201):
            self.files.update(dict.fromkeys(self._ids(answer, "id")))
        elif operation == "deleteFile" and answer.status in (204, 404):
            self.files.pop(steps[2], None)

    def clean(self, api: ApiClient) -> list[str]:
        """Take everything away; a list of what could not be, empty when all is gone.

        An upload whose start was never answered is found by its name.
        """
        stuck = []
        for upload_id in [*self.uploads, *self._lost(api)]:
            try:
                api.call("abortUpload", upload_id=upload_id).expect(204, 404)
            except Broken as error:
                stuck.append(f"upload {upload_id}: {error.message}")
        for file_id in reversed(list(self.files)):  # what lies in a folder was made after it
            try:
                api.call("deleteFile", file_id=file_id).expect(204, 404)
            except Broken as error:
                stuck.append(f"file {file_id}: {error.message}")
        return stuck + [f"upload {upload_id} is still listed" for upload_id in self._lost(api)]

    def _lost(self, api: ApiClient) -> list[str]:
        """Uploads of this visit that the platform lists, and that are not known here."""
        try:
            listed = pages(api, "listUploads", 100, "upload_id")
        except Broken:
            return []
        return [
            item["upload_id"]
            for item in listed
            if str(item.get("name", "")).startswith(self.prefix) and item["upload_id"] not in self.uploads
        ]

    @staticmethod
    def _ids(answer: Answer, key: str) -> list[str]:
        try:
            return [str(json.loads(answer.body)[key])]
        except (ValueError, KeyError, TypeError):
            return []
