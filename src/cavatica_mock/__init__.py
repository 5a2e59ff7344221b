"""The upload API of CAVATICA and its sister platforms as a server in one process, for tests.

    from cavatica_mock import Fault, MockServer

    with MockServer(faults=[Fault("putPart", "status", status=503)]) as mock:
        client = connect(token=mock.token, endpoint=mock.base_url)
"""

from cavatica_mock.faults import Fault, Faults
from cavatica_mock.server import MockServer

__all__ = ["Fault", "Faults", "MockServer"]
