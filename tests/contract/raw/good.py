"""A good request for each operation."""

from typing import Any

from tests.contract import document
from tests.contract.raw.bench import Bench


def request(bench: Bench, operation: document.Operation) -> dict[str, Any]:
    """A request that would be good with a good token."""
    ends = operation.id in ("abortUpload", "completeUpload")
    upload = bench.ledger.start() if ends else bench.ledger.open_upload()
    upload.ended = ends
    owner, _, name = bench.target.project.partition("/")
    filled = {"upload_id": upload.id, "part_number": 1, "project_owner": owner, "project_name": name}
    file = bench.ledger.folder() if operation.id == "listFolder" else bench.ledger.file()
    if operation.id == "deleteFile":
        file = bench.ledger.new_folder()
        bench.ledger.forget(file)
    path = operation.url(**filled, file_id=file)
    if operation.id == "listFiles":
        path += f"?project={bench.target.project}"
    report = upload.report(1)
    bodies = {
        "startUpload": {"project": bench.target.project, "name": bench.ledger.next_name(), "size": 1},
        "createFolder": {"project": bench.target.project, "name": bench.ledger.next_name(), "type": "folder"},
        "editFiles": {"items": [{"id": bench.ledger.file(), "tags": []}]},
        "reportUploadedPart": report,
        "reportUploadedParts": {"parts": [report]},
        "completeUpload": {"parts": [report]},
    }
    body = bodies.get(operation.id)
    return {"method": operation.method, "target": path, **({} if body is None else {"json_body": body})}
