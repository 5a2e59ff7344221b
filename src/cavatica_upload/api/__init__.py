"""The API: its operations as methods, and its answers, read leniently, as records."""

from cavatica_upload.api.client import Api as Api
