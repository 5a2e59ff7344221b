"""A program of a user of the generated client, type-checked against the last release and the current client."""

from cavatica_client import AuthenticatedClient
from cavatica_client.api.files import get_file, list_files
from cavatica_client.api.uploads import (
    abort_upload,
    complete_upload,
    get_part_url,
    list_uploads,
    report_uploaded_parts,
    start_upload,
)
from cavatica_client.models import ApiError, FileDetails, PartReportList, StartedUpload, StartUploadRequest


def upload(client: AuthenticatedClient, project: str, report: PartReportList) -> str:
    """Start an upload, request a part URL, report parts, complete, and get the file."""
    body = StartUploadRequest(project=project, name="a.bam", size=10)
    started = start_upload.sync(client=client, body=body)
    if not isinstance(started, StartedUpload):
        raise TypeError(started.message if isinstance(started, ApiError) else "no answer")
    get_part_url.sync(started.upload_id, 1, client=client)
    report_uploaded_parts.sync(started.upload_id, client=client, body=report)
    done = complete_upload.sync(started.upload_id, client=client)
    if not isinstance(done, FileDetails):
        abort_upload.sync_detailed(started.upload_id, client=client)
        raise TypeError("no file")
    found = get_file.sync(done.id, client=client)
    return found.name if isinstance(found, FileDetails) else done.id


def look(client: AuthenticatedClient, project: str) -> None:
    """List files and uploads."""
    list_files.sync(client=client, project=project)
    list_uploads.sync(client=client)
