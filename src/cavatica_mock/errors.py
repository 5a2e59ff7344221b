"""The platform's error bodies, and the table of which situation gets which code.

The vendor publishes codes with their HTTP status (docs.cavatica.org, API status codes) but does not say which operation
raises which. The second half of this file is therefore inferred from the meanings: to correct it, change a number here.
"""

from typing import Final

CODES: Final[dict[int, tuple[int, str]]] = {
    0: (503, "The platform is under maintenance."),
    1000: (429, "Too many requests: the rate limit of this token is exceeded."),
    3001: (403, "You may not do this in the project."),
    3002: (404, "The project does not exist."),
    3012: (400, "A project has the form owner/project."),
    5000: (503, "The file service is not available."),
    5001: (403, "You may not access this file."),
    5002: (404, "The file does not exist."),
    5003: (409, "A file with this name already exists."),
    5004: (400, "The file id is missing or empty."),
    5005: (400, "The query parameter project is malformed."),
    5022: (400, "The parent is not a folder."),
    5024: (400, "The name is not valid."),
    5026: (404, "The destination folder does not exist."),
    5029: (400, "The request needs a parent or a project."),
    5030: (409, "A folder with this name already exists."),
    5031: (400, "The request has both a parent and a project; give one of them."),
    5033: (400, "The request is not valid."),
    8000: (503, "The upload service is not available."),
    8001: (403, "You may not access this upload."),
    8002: (403, "You may not access this file."),
    8003: (404, "The upload does not exist."),
    8004: (404, "The file does not exist."),
    8005: (409, "A file with this name already exists."),
    8006: (409, "This upload already exists."),
    8007: (409, "The upload could not be completed."),
    8008: (409, "The part could not be reserved; try again."),
    8009: (409, "The upload could not be aborted."),
    8010: (400, "A project has the form owner/project."),
    8011: (400, "The upload id is missing or empty."),
    8012: (400, "The part number is missing or not valid."),
    8013: (400, "The request to start an upload is not valid."),
    8014: (400, "The report of the part is not valid."),
    8015: (400, "The list of parts is not valid; send an object with an array `parts` of part reports."),
    90000: (400, "Bad request."),
    90001: (401, "Not authenticated: the token is missing or not valid."),
    90002: (403, "Forbidden."),
    90003: (404, "Not found."),
    90004: (503, "An unexpected error occurred."),
    90005: (503, "The service is not available."),
    90006: (405, "This method is not allowed for this path."),
    90007: (409, "Conflict."),
    90008: (415, "The content type must be application/json."),
    90009: (500, "The content of the request could not be decoded."),
    90010: (501, "Not implemented."),
}

# Situation -> code, inferred except for NOT_AUTHENTICATED and TOO_MANY_CALLS.
TOO_MANY_CALLS: Final = 1000
NOT_AUTHENTICATED: Final = 90001
METHOD_NOT_ALLOWED: Final = 90006
WRONG_CONTENT_TYPE: Final = 90008
BROKEN: Final = 90004
BAD_REQUEST: Final = 90000
NOT_IMPLEMENTED: Final = 90010

PROJECT_READ_ONLY: Final = 3001
PROJECT_UNKNOWN: Final = 3002
PROJECT_MALFORMED: Final = 3012
DESTINATION_MISSING: Final = 5029
DESTINATION_TWICE: Final = 5031
PARENT_UNKNOWN: Final = 5026
PARENT_NOT_A_FOLDER: Final = 5022

UPLOAD_UNKNOWN: Final = 8003  # never started, another user's, completed or aborted
UPLOAD_BAD_START: Final = 8013
UPLOAD_NAME_TAKEN: Final = 8005
UPLOAD_INCOMPLETE: Final = 8007
PART_NUMBER_BAD: Final = 8012
PART_REPORT_BAD: Final = 8014
PART_LIST_BAD: Final = 8015

FILE_UNKNOWN: Final = 5002
FILE_BAD_REQUEST: Final = 5033
FILE_NAME_TAKEN: Final = 5003
FOLDER_NAME_TAKEN: Final = 5030
FOLDER_NOT_EMPTY: Final = 90007

# A body that cannot be decoded or breaks its schema, by operationId.
BAD_BODY: Final[dict[str, int]] = {
    "startUpload": UPLOAD_BAD_START,
    "reportUploadedPart": PART_REPORT_BAD,
    "reportUploadedParts": PART_LIST_BAD,
    "completeUpload": PART_LIST_BAD,
    "createFolder": FILE_BAD_REQUEST,
    "editFiles": FILE_BAD_REQUEST,
}

# A path parameter that breaks its schema, by the parameter's name.
BAD_PATH: Final[dict[str, int]] = {
    "upload_id": UPLOAD_UNKNOWN,
    "part_number": PART_NUMBER_BAD,
    "file_id": FILE_UNKNOWN,
    "project_owner": PROJECT_MALFORMED,
    "project_name": PROJECT_MALFORMED,
}

# A key of a body, or a query parameter, that has a code of its own.
BAD_KEY: Final[dict[tuple[str, str], int]] = {
    ("startUpload", "project"): 8010,
    ("reportUploadedPart", "part_number"): PART_NUMBER_BAD,
    ("createFolder", "project"): PROJECT_MALFORMED,
    ("createFolder", "name"): 5024,
    ("listFiles", "project"): 5005,
    ("listFiles", "name"): 5024,
}

# Operations that need exactly one of `project` and `parent`.
NEEDS_DESTINATION: Final = frozenset({"startUpload", "createFolder"})

MORE_INFO: Final = "http://docs.cavatica.org/docs/api-status-codes/#"


class Problem(Exception):
    """A refusal with one of the platform's codes. `detail` is a sentence that says more."""

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        self.status, meaning = CODES[code]
        self.message = f"{meaning} {detail}".rstrip()
        super().__init__(self.message)

    def body(self) -> dict[str, object]:
        """The four keys that every error of the platform has."""
        return error_body(self.status, self.code, self.message)


def error_body(status: int, code: int, message: str) -> dict[str, object]:
    return {"status": status, "code": code, "message": message, "more_info": f"{MORE_INFO}{code}"}


def code_of(status: int) -> int:
    """The most general code of an HTTP status, for scripted faults; 503 is maintenance."""
    return 0 if status == 503 else max((code for code, (http, _) in CODES.items() if http == status), default=90004)
