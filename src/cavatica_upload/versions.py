"""Which versions are at work: of this package, and of the contract that its client was generated from."""

import json
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


# Looked up once, on import: the search through what is installed takes longer than an API call.
TOOL = _installed("cavatica-upload")
CONTRACT = _installed("cavatica-client")
"""That of openapi.yaml, which the client generated from it carries."""

USER_AGENT = f"cavatica-upload/{TOOL}"
"""What this package calls itself towards servers."""
BOTH = f"cavatica {TOOL} (contract {CONTRACT})"


def document_sha256() -> str:
    """Return the SHA-256 of the openapi.yaml that `make generate` read, in hexadecimal."""
    contract = json.loads(files("cavatica_upload").joinpath("api", "contract.json").read_text(encoding="utf-8"))
    return str(contract["sha256"])
