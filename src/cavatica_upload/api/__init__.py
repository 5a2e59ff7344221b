"""The API: its operations as methods, and its answers as the document has them."""

from cavatica_upload.api.client import Api

__all__ = ["Api"]
