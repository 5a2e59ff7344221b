"""Which endpoint, and which token: arguments, the environment, the credentials file of the platform's own tools."""

from cavatica_upload.config.settings import Settings, find_settings

__all__ = ["Settings", "find_settings"]
