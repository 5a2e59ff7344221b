"""Limits: names, sizes, numbers of things, at the bound and one beyond."""

from typing import Any

from tests.contract.requests.client import Claim, RawClient, claim

CLAIMS: list[Claim] = []
ODD_NAMES = (
    " ", " x ", ".", "..", "a" * 255, "é" * 255, "a\x00b", "a\nb", "\u202e", "🧬", "con", "a\\b", "-rf", "a%2Fb", "é",
    "\ufeff", "\U0010ffff", "x;y", "~", "*", "a\tb", "'\"<>&",
)  # fmt: skip


@claim(CLAIMS, own=True)
def odd_names(raw: RawClient) -> None:
    """Any name of 1 to 255 characters without a slash is kept as it was given, down to the file."""
    for odd in ODD_NAMES:
        answer = raw.api.call("startUpload", body={"project": raw.target.project, "name": odd, "size": 4}).expect(200)
        started = answer.json()
        upload = raw.known.note_started({"size": 4}, answer)
        raw.known.put_all(upload)
        parts = [upload.report(number) for number in upload.numbers]
        done = raw.api.call("completeUpload", upload_id=upload.id, body={"parts": parts}).expect(200, 201)
        upload.ended = True
        shown = raw.api.call("getFile", file_id=done.json()["id"]).expect(200)
        for name in (started["name"], done.json()["name"], shown.json()["name"]):
            if name != odd:
                raise shown.broken("name_kept", f"{odd!r} became {name!r}")
        found = raw.api.call("listFiles", query={"project": raw.target.project, "name": odd}).expect(200)
        if [item["id"] for item in found.json()["items"]] != [done.json()["id"]]:
            raise found.broken("name_found", f"{odd!r} is not found by its name")


@claim(CLAIMS)
def bad_names(raw: RawClient) -> None:
    """A name with a slash, an empty one, one of 256 characters and what is no text are refused."""
    project = raw.target.project
    names: tuple[Any, ...] = ("", "a/b", "/", "a" * 256, None, 7, [], {})
    for bad in names:
        raw.api.call("startUpload", body={"project": project, "name": bad, "size": 1}).expect(400, check="bad_name")
    raw.api.call("startUpload", body={"project": project, "size": 1}).expect(400, check="missing_name")
    raw.api.call("createFolder", body={"project": project, "type": "folder"}).expect(400, check="missing_name")
    for bad in ("", "a/b", "__x", "a" * 256, None):
        body = {"project": project, "name": bad, "type": "folder"}
        raw.api.call("createFolder", body=body).expect(400, check="bad_name")
    for bad in ("file", "folders", "", None):
        body = {"project": project, "name": raw.known.next_name(), "type": bad}
        raw.api.call("createFolder", body=body).expect(400, check="bad_type")


@claim(CLAIMS)
def sizes(raw: RawClient) -> None:
    """A file has 0 bytes to 5 TiB; beyond is refused, and so is what is no number."""
    name = raw.known.next_name
    for key, bad in (
        *(("size", bad) for bad in (-1, 5 * 2**40 + 1, 2**63, 1.5, "1", None, True)),
        *(("part_size", bad) for bad in (5242880.5, "5242880", None)),
        *(("md5", bad) for bad in ("", "x" * 32, "0" * 31, "0" * 33, 0, None)),
    ):
        body = {"project": raw.target.project, "name": name(), "size": 1, key: bad}
        raw.api.call("startUpload", body=body).expect(400, check="bad_size")


@claim(CLAIMS)
def largest_files(raw: RawClient) -> None:
    """The part size of an answer makes a file of any size fit into 10,000 parts, whatever part size is asked for."""
    for size in (0, 1, 5 * 2**20, 10**12, 5 * 2**40):
        for part_size in (None, 5 * 2**20, 5 * 2**30, 0, -1, 2**20, 6 * 2**30):
            body = {"project": raw.target.project, "name": raw.known.next_name(), "size": size}
            answer = raw.api.call("startUpload", body=body if part_size is None else {**body, "part_size": part_size})
            started = answer.expect(200).json()
            if -(-size // started["part_size"]) > 10000:
                raise answer.broken(
                    "part_count", f"{size} bytes in parts of {started['part_size']} are over 10,000 parts"
                )
            raw.api.call("abortUpload", upload_id=started["upload_id"]).expect(204)


@claim(CLAIMS)
def empty_files(raw: RawClient) -> None:
    """An empty file is one empty part."""
    file = raw.known.complete(0)
    assert file["size"] == 0, f"the size of an empty file is {file['size']}"


@claim(CLAIMS)
def edits(raw: RawClient) -> None:
    """100 files can be edited in one call and 101 cannot; metadata keys and values have their limits."""
    file = raw.known.file()
    items = [{"id": file, "metadata": {"k": str(number)}} for number in range(101)]
    raw.api.call("editFiles", body={"items": items[:100]}).expect(200)
    raw.api.call("editFiles", body={"items": items}).expect(400, check="edit_limit")
    raw.api.call("editFiles", body={"items": []}).expect(400, check="edit_limit")
    keys: tuple[dict[str, Any], ...] = ({"a.b": "1"}, {"$a": "1"}, {"": "1"}, {"a" * 101: "1"})
    values: tuple[dict[str, Any], ...] = ({"a": "1" * 301}, {"a": 1}, {"a": []})
    for bad in (*keys, *values):
        body = {"items": [{"id": file, "metadata": bad}]}
        raw.api.call("editFiles", body=body).expect(400, check="bad_metadata")
    body = {"items": [{"id": file, "metadata": {"é" * 50: "é" * 150}}]}
    outcome = raw.api.call("editFiles", body=body).expect(200)
    if "resource" not in outcome.json()["items"][0]:
        raise outcome.broken("metadata_limit", "100 bytes of key and 300 of value are within the limits")
