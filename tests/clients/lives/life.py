"""The whole life of an upload with the Python client of openapi-generator. Prints what it saw as JSON."""

import json
import os
import urllib.request

import foreign_client as fc

PROJECT = "mlin/pilot"
DATA = b"0123456789"

settings = fc.Configuration(host=os.environ["BASE_URL"], api_key={"authToken": os.environ["TOKEN"]})
api = fc.ApiClient(settings)
uploads, files = fc.UploadsApi(api), fc.FilesApi(api)


def start(name: str, size: int) -> fc.StartedUpload:
    """Start an upload into the project."""
    return uploads.start_upload(fc.StartUploadRequest(project=PROJECT, name=name, size=size, part_size=4))


def put(upload_id: str, number: int, data: bytes) -> fc.PartReport:
    """Send a part to storage; the report of it."""
    part = uploads.get_part_url(upload_id, number)
    request = urllib.request.Request(part.url, data=data, method=part.method, headers=part.headers)
    with urllib.request.urlopen(request) as answer:
        headers = {name: answer.headers[name] for name in part.report.headers}
    return fc.PartReport(part_number=number, response=fc.PartReportResponse(headers=headers))


def refused(call: object, *arguments: object) -> list[int]:
    """Status and code of the error that a call raises."""
    try:
        call(*arguments)
    except fc.ApiException as error:
        return [error.data.status, error.data.code]
    return []


started = start("sample 07.txt", len(DATA))
first, second, third = (put(started.upload_id, number, DATA[4 * number - 4 : 4 * number]) for number in (1, 2, 3))
bulk = uploads.report_uploaded_parts_with_http_info(started.upload_id, fc.PartReportList(parts=[first, second]))
shown = uploads.get_upload(started.upload_id, list_parts=True)
file = uploads.complete_upload(started.upload_id, fc.CompleteUploadRequest(parts=[third]))
details = files.get_file(file.id)

# An empty file is one empty part; every part is reported before, and there is no body.
empty = start("empty.txt", 0)
uploads.report_uploaded_part(empty.upload_id, put(empty.upload_id, 1, b""))
empty_file = uploads.complete_upload(empty.upload_id)

opened = [start(name, 1).upload_id for name in "abc"]
listed: list[str] = []
more = True
while more:
    page = uploads.list_uploads(limit=2, offset=len(listed))
    listed += [upload.upload_id for upload in page.items]
    more = any(link.rel.lower() == "next" for link in page.links or ())
found = files.list_files(project=PROJECT, name=["sample 07.txt", "empty.txt", "no.txt"])
aborted = [uploads.abort_upload_with_http_info(upload_id).status_code for upload_id in opened]

folder = files.create_folder(
    fc.CreateFolderRequest(name="my new folder", type="FOLDER", parent="5bd7c53ee4b04b8fb1a9f63d")
)
edits = [fc.FileEdit(id=file.id, metadata={"sample_id": "s7"}), fc.FileEdit(file_id="0" * 24)]
edited = files.edit_files(fc.EditFilesRequest(items=edits))

print(
    json.dumps(
        {
            "file": file.id,
            "empty": empty_file.id,
            "size": details.size,
            "part_size": started.part_size,
            "bulk": bulk.status_code,
            "reported": [part.part_number for part in shown.parts],
            "open": sorted(listed) == sorted(opened),
            "found": sorted(item.name for item in found.items),
            "aborted": aborted,
            "folder": folder.name,
            "edited": [
                item.resource.metadata["sample_id"] if item.resource else item.error.code for item in edited.items
            ],
            "gone": refused(uploads.get_upload, started.upload_id),
            "taken": refused(start, "sample 07.txt", 1),
        }
    )
)
