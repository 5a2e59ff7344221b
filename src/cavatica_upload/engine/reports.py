"""Between the records of this package and the models of the generated client."""

from collections.abc import Mapping

from cavatica_client.models import HeaderMap, PartReport, PartReportResponse
from cavatica_upload.api.records import ReportedPart
from cavatica_upload.journal.records import SentPart


def report_of(part: SentPart) -> PartReport:
    """Return what the API wants to be told of a part."""
    headers = HeaderMap()
    headers.additional_properties.update(part.headers)
    return PartReport(part_number=part.number, response=PartReportResponse(headers=headers))


def headers_of(part: ReportedPart) -> Mapping[str, str]:
    """Return what storage answered to a part, as it was reported."""
    return part.headers
