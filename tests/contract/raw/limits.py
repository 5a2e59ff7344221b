"""Limits: names, sizes, numbers of things, at the bound and one beyond."""

from typing import Any

from tests.contract.raw.bench import Bench, Claim, claim

CLAIMS: list[Claim] = []
ODD_NAMES = (
    " ", " x ", ".", "..", "a" * 255, "é" * 255, "a\x00b", "a\nb", "\u202e", "🧬", "con", "a\\b", "-rf", "a%2Fb", "é",
    "\ufeff", "\U0010ffff", "x;y", "~", "*", "a\tb", "'\"<>&",
)  # fmt: skip


@claim(CLAIMS, own=True)
def odd_names(bench: Bench) -> None:
    """Any name of 1 to 255 characters without a slash is kept as it was given, down to the file."""
    for odd in ODD_NAMES:
        answer = bench.wire.call("startUpload", body={"project": bench.target.project, "name": odd, "size": 4}).expect(
            200
        )
        started = answer.json()
        upload = bench.ledger.note_started({"size": 4}, started)
        bench.ledger.put_all(upload)
        parts = [upload.report(number) for number in upload.numbers]
        done = bench.wire.call("completeUpload", upload_id=upload.id, body={"parts": parts}).expect(200, 201)
        upload.ended = True
        shown = bench.wire.call("getFile", file_id=done.json()["id"]).expect(200)
        for name in (started["name"], done.json()["name"], shown.json()["name"]):
            if name != odd:
                raise shown.broken("name_kept", f"{odd!r} became {name!r}")
        found = bench.wire.call("listFiles", query={"project": bench.target.project, "name": odd}).expect(200)
        if [item["id"] for item in found.json()["items"]] != [done.json()["id"]]:
            raise found.broken("name_found", f"{odd!r} is not found by its name")


@claim(CLAIMS)
def bad_names(bench: Bench) -> None:
    """A name with a slash, an empty one, one of 256 characters and what is no text are refused."""
    project = bench.target.project
    names: tuple[Any, ...] = ("", "a/b", "/", "a" * 256, None, 7, [], {})
    for bad in names:
        bench.wire.call("startUpload", body={"project": project, "name": bad, "size": 1}).expect(400, check="bad_name")
    bench.wire.call("startUpload", body={"project": project, "size": 1}).expect(400, check="missing_name")
    bench.wire.call("createFolder", body={"project": project, "type": "folder"}).expect(400, check="missing_name")
    for bad in ("", "a/b", "__x", "a b", "é", "a" * 256, None):
        body = {"project": project, "name": bad, "type": "folder"}
        bench.wire.call("createFolder", body=body).expect(400, check="bad_name")
    for bad in ("file", "Folder", "", None):
        body = {"project": project, "name": bench.ledger.next_name(), "type": bad}
        bench.wire.call("createFolder", body=body).expect(400, check="bad_type")


@claim(CLAIMS)
def sizes(bench: Bench) -> None:
    """A file has 0 bytes to 5 TiB, a part size 5 MiB to 5 GiB; beyond is refused, and so is what is no number."""
    name = bench.ledger.next_name
    for key, bad in (
        *(("size", bad) for bad in (-1, 5 * 2**40 + 1, 2**63, 1.5, "1", None, True)),
        *(("part_size", bad) for bad in (0, -1, 5 * 2**20 - 1, 5 * 2**30 + 1, 2**63, 5242880.5, "5242880", None)),
        *(("md5", bad) for bad in ("", "x" * 32, "0" * 31, "0" * 33, 0, None)),
    ):
        body = {"project": bench.target.project, "name": name(), "size": 1, key: bad}
        bench.wire.call("startUpload", body=body).expect(400, check="bad_size")


@claim(CLAIMS)
def largest_files(bench: Bench) -> None:
    """The part size of an answer makes a file of any size fit into 10,000 parts."""
    for size in (0, 1, 5 * 2**20, 10**12, 5 * 2**40):
        for part_size in (None, 5 * 2**20, 5 * 2**30):
            body = {"project": bench.target.project, "name": bench.ledger.next_name(), "size": size}
            answer = bench.wire.call(
                "startUpload", body=body if part_size is None else {**body, "part_size": part_size}
            )
            started = answer.expect(200).json()
            if -(-size // started["part_size"]) > 10000:
                raise answer.broken(
                    "part_count", f"{size} bytes in parts of {started['part_size']} are over 10,000 parts"
                )
            bench.wire.call("abortUpload", upload_id=started["upload_id"]).expect(204)


@claim(CLAIMS)
def empty_files(bench: Bench) -> None:
    """An empty file is one empty part."""
    file = bench.ledger.complete(0)
    assert file["size"] == 0, f"the size of an empty file is {file['size']}"


@claim(CLAIMS, own=True)
def edits(bench: Bench) -> None:
    """100 files can be edited in one call and 101 cannot; metadata keys and values have their limits."""
    file = bench.ledger.file()
    items = [{"id": file, "metadata": {"k": str(number)}} for number in range(101)]
    bench.wire.call("editFiles", body={"items": items[:100]}).expect(200)
    bench.wire.call("editFiles", body={"items": items}).expect(400, check="edit_limit")
    bench.wire.call("editFiles", body={"items": []}).expect(400, check="edit_limit")
    keys: tuple[dict[str, Any], ...] = ({"a.b": "1"}, {"$a": "1"}, {"": "1"}, {"a" * 101: "1"})
    values: tuple[dict[str, Any], ...] = ({"a": "1" * 301}, {"a": 1}, {"a": []})
    for bad in (*keys, *values):
        body = {"items": [{"id": file, "metadata": bad}]}
        bench.wire.call("editFiles", body=body).expect(400, check="bad_metadata")
    body = {"items": [{"id": file, "metadata": {"é" * 50: "é" * 150}}]}
    outcome = bench.wire.call("editFiles", body=body).expect(200)
    if "resource" not in outcome.json()["items"][0]:
        raise outcome.broken("metadata_limit", "100 bytes of key and 300 of value are within the limits")
