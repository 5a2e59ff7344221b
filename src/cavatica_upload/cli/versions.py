"""Which versions are at work."""

from importlib.metadata import PackageNotFoundError, version


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


def tool_version() -> str:
    """Return the version of this program."""
    return _version("cavatica-upload")


def contract_version() -> str:
    """Return the version of the contract (openapi.yaml), which is that of the client generated from it."""
    return _version("cavatica-client")


def version_text() -> str:
    """Return one line with both."""
    return f"cavatica {tool_version()} (contract {contract_version()})"
