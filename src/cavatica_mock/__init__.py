"""The upload API of CAVATICA and its sister platforms as a server in one process, for tests.

`with MockServer(faults=[Fault("putPart", "status", status=503)]) as mock:` gives `mock.base_url` and `mock.token`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cavatica_mock.faults import Fault, Faults
    from cavatica_mock.server import MockServer

__all__ = ["Fault", "Faults", "MockServer"]

MISSING = "The mock needs {module}, which the extra `mock` installs. In a checkout: pip install ./generated '.[mock]'"


def __getattr__(name: str) -> object:
    """Import a name on first use: pytest imports this package everywhere, also without the extra `mock`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        if name == "MockServer":
            from cavatica_mock.server import MockServer

            return MockServer
        from cavatica_mock import faults

        return getattr(faults, name)
    except ModuleNotFoundError as error:
        raise ImportError(MISSING.format(module=error.name)) from error
