"""The moves that must not get anywhere: bad numbers, ended uploads, strangers, odd booleans."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.contract import codes
from tests.contract.model import asserts
from tests.contract.model.machine_uploads import PICK, Uploads


class UploadsAndMisuse(Uploads):
    """Moves that a server has to refuse, added to those of uploads."""

    @precondition(Uploads.any_uploads)
    @rule(pick=PICK, bad=st.sampled_from(("0", "-1", "10001", "1.5", "one", "2147483648", "%31e0")))
    def bad_number(self, pick: int, bad: str) -> None:
        known = self.upload(pick)
        asserts.refusal(self.context.api.send("GET", f"/upload/multipart/{known.id}/part/{bad}"), 400)
        if known.count < 10000:
            beyond = known.count + 1
            answer = self.context.api.call("getPartUrl", upload_id=known.id, part_number=beyond)
            asserts.refusal(answer, 400, codes.BAD_PART_NUMBER)
            report = self.report(beyond, "d41d8cd98f00b204e9800998ecf8427e")
            answer = self.context.api.call("reportUploadedPart", upload_id=known.id, body=report)
            asserts.refusal(answer, 400, codes.BAD_PART_NUMBER)
        self.reached("bad part number")

    @precondition(lambda self: self.model.ended)
    @rule(pick=PICK, move=st.integers(0, 5))
    def use_ended(self, pick: int, move: int) -> None:
        upload_id = self.model.ended[-1 - pick % len(self.model.ended)]
        body = self.report(1, "5" * 32)
        moves: list[tuple[str, dict[str, Any]]] = [
            ("getUpload", {}), ("getPartUrl", {"part_number": 1}), ("reportUploadedPart", {"body": body}),
            ("reportUploadedParts", {"body": {"parts": [body]}}), ("completeUpload", {"body": None}),
            ("abortUpload", {}),
        ]  # fmt: skip
        operation, arguments = moves[move]
        asserts.gone(self.context.api.call(operation, upload_id=upload_id, **arguments))
        self.reached("ended upload used")

    @precondition(lambda self: self.model.uploads and self.context.stranger is not None)
    @rule(pick=PICK)
    def stranger(self, pick: int) -> None:
        known, api = self.upload(pick), self.context.stranger
        assert api is not None
        moves: list[tuple[str, dict[str, Any]]] = [
            ("getUpload", {}), ("getPartUrl", {"part_number": 1}), ("abortUpload", {}),
        ]  # fmt: skip
        for operation, arguments in moves:
            asserts.refusal(api.call(operation, upload_id=known.id, **arguments), (403, 404))
        for item in api.call("listUploads", query={"limit": 100}).expect(200).json()["items"]:
            asserts.same(api.call("getRateLimit"), "stranger_list", item["upload_id"] == known.id, False)
        self.reached("stranger kept out")

    @precondition(Uploads.any_uploads)
    @rule(pick=PICK, odd=st.sampled_from(("yes", "1", "on", "0", "", "truee", "null")))
    def odd_boolean(self, pick: int, odd: str) -> None:
        known = self.upload(pick)
        asserts.refusal(self.context.api.call("getUpload", upload_id=known.id, query={"list_parts": odd}), 400)
        self.reached("odd boolean refused")
