"""The upload API of CAVATICA and its sister platforms as a server in one process, for tests.

`with MockServer(faults=[Fault("putPart", "status", status=503)]) as mock:` gives `mock.base_url` and `mock.token`.
"""

from cavatica_mock.faults import Fault, Faults
from cavatica_mock.server import MockServer

__all__ = ["Fault", "Faults", "MockServer"]
