"""Stops a run that cannot succeed, instead of trying a thousand files."""

from cavatica_upload.errors import CertificateUntrusted, ConfigError, Forbidden, NotFound, Unauthorized, UploadGone

IN_A_ROW = 3
PROJECT_GONE = frozenset({3002, 5026})  # docs.cavatica.org, API status codes: no such project; no such folder


class Circuit:
    """Broken by three files in a row that were refused for want of rights or place.

    A refused token and a certificate that cannot be verified break it at once.
    """

    def __init__(self) -> None:
        self.broken_by: Exception | None = None
        self._in_a_row = 0

    def succeeded(self) -> None:
        """Note that a file was opened or completed."""
        self._in_a_row = 0

    def failed(self, error: Exception) -> None:
        """Note why a file failed."""
        if isinstance(error, Unauthorized | ConfigError | CertificateUntrusted):
            self.broken_by = error
        elif isinstance(error, Forbidden) or (
            isinstance(error, NotFound) and not isinstance(error, UploadGone) and error.code in PROJECT_GONE
        ):
            self._in_a_row += 1
            if self._in_a_row >= IN_A_ROW:
                self.broken_by = error
