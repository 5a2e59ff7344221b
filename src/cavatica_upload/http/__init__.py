"""HTTP for the API and for storage, and the versions that this program reports to servers and users."""

from importlib.metadata import PackageNotFoundError, version


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


# Found once, on import: the search takes longer than an API call.
TOOL_VERSION = _installed("cavatica-upload")
CONTRACT_VERSION = _installed("cavatica-client")
"""The version of openapi.yaml; the client that is generated from it has the same."""
BOTH_VERSIONS = f"cavatica {TOOL_VERSION} (contract {CONTRACT_VERSION})"
USER_AGENT = f"cavatica-upload/{TOOL_VERSION}"
