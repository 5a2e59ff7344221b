"""Puts the ids of real uploads and files into the cases that schemathesis generates."""

from collections.abc import Iterator
from typing import Any, Final

import schemathesis
from schemathesis.core.parameters import ParameterLocation

from tests.contract.known_uploads import KnownUpload, KnownUploads

Case = schemathesis.Case[Any]
Fields = dict[str, Any]

LARGEST_PUT: Final = 2**20  # bytes; a part of the usual size would only measure the disk
MANY: Final = 4  # parts; more only take time
FOLDER_OPERATIONS: Final = frozenset({"listFolder", "deleteFile"})


class CaseSeeding:
    """Makes generated cases fit the state of the server, so that they get beyond "not found".

    What schemathesis made invalid on purpose stays invalid: only components that fit their schema are touched. One case
    in four is left as it was drawn, because unknown ids and odd part numbers are worth a try too.
    """

    def __init__(self, known: KnownUploads) -> None:
        self.known = known
        self.turn = 0

    def fit(self, operation_id: str, case: Case) -> None:
        """Fit one case. Which cases are left alone depends only on their order, so that a seed repeats it."""
        self.turn += 1
        meta = case.meta
        if meta is None or case.method.lower() != case.operation.method:
            return
        phase = meta.phase.name.value
        if self.turn % 4 and not meta.is_negative_at(ParameterLocation.PATH) and not self._linked(phase, case):
            self._fit_path(operation_id, case, phase)
        if operation_id == "listFiles" and self.turn % 4 and not meta.is_negative_at(ParameterLocation.QUERY):
            case.query = self._one_place(case.query)
        body = case.body
        if isinstance(body, dict) and not meta.is_negative_at(ParameterLocation.BODY) and phase != "coverage":
            upload = self.known.uploads.get(str(case.path_parameters.get("upload_id")))
            case.body = self._fitted_body(operation_id, body, upload, stateful=phase == "stateful")
        elif operation_id == "completeUpload" and phase == "stateful" and self.turn % 3:
            # An empty body and null are right only if all parts were reported.
            self._report_all(self.known.uploads.get(str(case.path_parameters.get("upload_id"))))

    def _linked(self, phase: str, case: Case) -> bool:
        """Whether a link of the stateful phase set the id: that one is to be used, ended or not."""
        ids = {str(value) for value in case.path_parameters.values()}
        return phase == "stateful" and not ids.isdisjoint(self.known.everything)

    def _fit_path(self, operation_id: str, case: Case, phase: str) -> None:
        values: Fields = dict(case.path_parameters)
        if "upload_id" in values:
            upload = self.known.open_upload()
            values["upload_id"] = upload.id
            if "part_number" in values and phase != "coverage":
                values["part_number"] = (int(values["part_number"]) - 1) % upload.count + 1
        if "file_id" in values:
            if operation_id == "deleteFile":
                values["file_id"] = self.known.new_folder()
            elif operation_id in FOLDER_OPERATIONS:
                values["file_id"] = self.known.folder()
            else:
                values["file_id"] = self.known.file()
        if "project_owner" in values:
            values["project_owner"], values["project_name"] = self.known.project.split("/", 1)
        if values != case.path_parameters:
            case.path_parameters = values

    def _one_place(self, query: Fields) -> Fields:
        """The query with exactly one of `project` and `parent`."""
        fitted = {name: value for name, value in query.items() if name not in ("project", "parent")}
        if "parent" in query and "project" not in query:
            return {**fitted, "parent": self.known.folder()}
        return {**fitted, "project": self.known.project}

    def _fitted_body(self, operation_id: str, body: Fields, upload: KnownUpload | None, *, stateful: bool) -> Any:
        if operation_id in ("startUpload", "createFolder"):
            return self._placed(operation_id, body, stateful=stateful)
        if operation_id == "editFiles" and self.turn % 4:
            keys = ["file_id" if "file_id" in item else "id" for item in body["items"]]
            items = zip(body["items"], keys, strict=True)
            return {**body, "items": [{**item, key: self.known.file()} for item, key in items]}
        if upload is None or upload.ended or not self.turn % 4:
            return body
        if operation_id == "reportUploadedPart":
            return {**body, **self._report(upload, body)}
        if operation_id == "reportUploadedParts":
            return {**body, "parts": list(self._reports(upload, body["parts"]))}
        if operation_id == "completeUpload" and stateful:
            if self.turn % 3 and len(upload.numbers) <= MANY:
                self.known.put_all(upload)
            owed = [number for number in upload.etags if number not in upload.reported]
            return {**body, "parts": [upload.report(number) for number in owed]}
        return body

    def _placed(self, operation_id: str, body: Fields, *, stateful: bool) -> Fields:
        """The body with a project or folder that exists, and a size whose bytes can be sent."""
        fitted = dict(body)
        if "project" in fitted:
            fitted["project"] = self.known.project
        if "parent" in fitted and self.turn % 4:
            fitted["parent"] = self.known.folder()
        if operation_id == "startUpload" and stateful:
            if self.turn % 5:  # otherwise names repeat and conflict
                fitted["name"] = f"{self.known.next_name()} {body['name'][:180]}"
            if "size" in fitted:
                fitted["size"] = self.known.fitting_size(int(fitted["size"]))
        return fitted

    def _report(self, upload: KnownUpload, report: Fields) -> Fields:
        number = (int(report["part_number"]) - 1) % min(upload.count, 3) + 1
        if number not in upload.etags and upload.length(number) <= LARGEST_PUT:
            self.known.put(upload, number)
        return {**report, **upload.report(number)}

    def _reports(self, upload: KnownUpload, reports: list[Fields]) -> Iterator[Fields]:
        for report in reports[:5]:
            yield self._report(upload, report)

    def _report_all(self, upload: KnownUpload | None) -> None:
        if upload is None or upload.ended or len(upload.numbers) > MANY:
            return
        self.known.put_all(upload)
        self.known.api.call("reportUploadedParts", upload_id=upload.id, body={"parts": upload.reports})
        for report in upload.reports:
            upload.note_report(report)
