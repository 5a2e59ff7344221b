"""Multipart upload to CAVATICA and other Seven Bridges platforms: resumable, verified, with few API calls.

>>> from cavatica_upload import upload
>>> receipt = upload("sample.cram", "owner/project")  # doctest: +SKIP

`Uploader` uploads many files with one pool of threads. `connect` returns a client of the API. `verify` compares a file
on disk with a receipt. The errors are in `cavatica_upload.errors`, the events in `cavatica_upload.events`.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cavatica_upload.public import *  # noqa: F403
    from cavatica_upload.public import __all__ as __all__


def __getattr__(name: str) -> Any:
    """Load the public names. `cavatica --help` and shell completion need none of them, and start faster without."""
    if (name.startswith("_") and name != "__all__") or find_spec(f"{__name__}.{name}"):  # a module: let it be imported
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    names = vars(import_module("cavatica_upload.public"))
    if name not in ("__all__", *names["__all__"]):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals().update({public: names[public] for public in ("__all__", *names["__all__"])})
    return names[name]


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *import_module("cavatica_upload.public").__all__})
