"""Contains all the data models used in inputs/outputs"""

from .api_error import ApiError
from .complete_upload_request import CompleteUploadRequest
from .completed_file import CompletedFile
from .create_folder_request import CreateFolderRequest
from .download_info import DownloadInfo
from .edit_files_request import EditFilesRequest
from .edit_files_response import EditFilesResponse
from .file_details import FileDetails
from .file_edit import FileEdit
from .file_edit_outcome import FileEditOutcome
from .file_origin import FileOrigin
from .file_page import FilePage
from .file_storage import FileStorage
from .header_map import HeaderMap
from .instance_limit import InstanceLimit
from .metadata import Metadata
from .page_link import PageLink
from .part_report import PartReport
from .part_report_list import PartReportList
from .part_report_response import PartReportResponse
from .part_url import PartUrl
from .part_url_report import PartUrlReport
from .project import Project
from .project_permissions import ProjectPermissions
from .rate import Rate
from .rate_limit_status import RateLimitStatus
from .reserved import Reserved
from .start_upload_request import StartUploadRequest
from .started_upload import StartedUpload
from .upload import Upload
from .upload_page import UploadPage
from .upload_summary import UploadSummary

__all__ = (
    "ApiError",
    "CompletedFile",
    "CompleteUploadRequest",
    "CreateFolderRequest",
    "DownloadInfo",
    "EditFilesRequest",
    "EditFilesResponse",
    "FileDetails",
    "FileEdit",
    "FileEditOutcome",
    "FileOrigin",
    "FilePage",
    "FileStorage",
    "HeaderMap",
    "InstanceLimit",
    "Metadata",
    "PageLink",
    "PartReport",
    "PartReportList",
    "PartReportResponse",
    "PartUrl",
    "PartUrlReport",
    "Project",
    "ProjectPermissions",
    "Rate",
    "RateLimitStatus",
    "Reserved",
    "StartedUpload",
    "StartUploadRequest",
    "Upload",
    "UploadPage",
    "UploadSummary",
)
